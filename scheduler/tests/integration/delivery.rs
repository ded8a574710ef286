//! The queue wakes, the scan guarantees: each is enough by itself.

use std::time::{Duration, Instant};

use cyberbrain_core::lifecycle::RunStatus;
use cyberbrain_scheduler::{Delivery, Options, Signal, Term};
use cyberbrain_testkit::wait_until;
use tokio_util::sync::CancellationToken;

use crate::world::{LIMIT, World};

/// One Run of CPU jobs, more than fit at once, from its launch to its report.
async fn deliver(delivery: Delivery, scan_every: Duration) -> Option<(World, Duration)> {
    let world = World::new().await?;
    let host = world.host("alpha", &[]).await;
    world.execute("update hosts set max_attempts = 4").await;
    let options = Options { delivery, scan_every, ..Options::new("test") };
    let stop = CancellationToken::new();
    let term = tokio::spawn(Term::new(world.pool.clone(), options, Signal::default()).run(stop.clone()));
    let launcher = tokio::spawn(host.work(4));
    let started = Instant::now();
    let run = world.launch_cpu(20).await;
    wait_until("the run to be closed", LIMIT, async || world.run_status(run).await.is_terminal()).await;
    let elapsed = started.elapsed();
    stop.cancel();
    term.await.unwrap();
    launcher.abort();
    assert_eq!(world.run_status(run).await, RunStatus::Success);
    Some((world, elapsed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_the_queue_off_the_scan_alone_delivers() {
    let Some((world, elapsed)) = deliver(Delivery::ScanOnly, Duration::from_millis(200)).await else {
        return;
    };
    let taken = world
        .count(
            "select count(*) from apalis.jobs where job_type in ('runs', 'run_jobs') and status <> 'Pending'",
        )
        .await;
    assert_eq!(taken, 0, "nobody took a task");
    assert!(world.count("select count(*) from apalis.jobs where job_type = 'runs'").await >= 1);
    eprintln!("scan alone, every 200 ms: 20 run jobs, 4 at once, in {:.2} s", elapsed.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_the_scan_off_the_queue_alone_delivers() {
    // A scan that came would come too late.
    let Some((world, elapsed)) = deliver(Delivery::QueueOnly, Duration::from_secs(3_600)).await else {
        return;
    };
    let left = world
        .count(
            "select count(*) from apalis.jobs where job_type in ('runs', 'run_jobs') and status = 'Pending'",
        )
        .await;
    assert_eq!(left, 0, "every task was taken");
    eprintln!("queue alone: 20 run jobs, 4 at once, in {:.2} s", elapsed.as_secs_f64());
}
