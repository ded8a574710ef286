//! Two schedulers that both act: promise 3 under the worst of circumstances.

use std::time::{Duration, Instant};

use cyberbrain_core::lifecycle::RunStatus;
use cyberbrain_scheduler::{Options, Signal, Term};
use cyberbrain_testkit::{seeded_rng, wait_until};
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use crate::{history, world::World};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_schedulers_a_thousand_run_jobs_eight_gpus_and_no_double_booking() {
    const RUN_JOBS: usize = 1_000;
    let Some(world) = World::new().await else { return };
    let mut rng = seeded_rng("two_schedulers");
    let hosts = [world.host("alpha", &[24_576; 4]).await, world.host("beta", &[24_576; 4]).await];
    let sizes = [1_000, 3_000, 6_000, 12_000, 20_000];
    let wanted: Vec<u32> = (0..RUN_JOBS).map(|_| sizes[rng.random_range(0..sizes.len())]).collect();

    // Both lead, as far as they are concerned: no election stands between them.
    let stop = CancellationToken::new();
    let schedulers: Vec<_> = ["first", "second"]
        .map(|name| {
            let options = Options { scan_every: Duration::from_millis(200), ..Options::new(name) };
            let pool = cyberbrain_common::db::pool(&world.db.url, name, cyberbrain_common::db::PoolSize(12))
                .unwrap();
            tokio::spawn(Term::new(pool, options, Signal::default()).run(stop.clone()))
        })
        .into_iter()
        .collect();
    let launchers: Vec<_> = hosts.iter().map(|host| tokio::spawn(host.clone().work(24))).collect();

    let started = Instant::now();
    let run = world.launch_gpu(&wanted).await;
    wait_until("the run to be closed", Duration::from_secs(240), async || {
        world.run_status(run).await.is_terminal()
    })
    .await;
    let elapsed = started.elapsed();
    stop.cancel();
    for scheduler in schedulers {
        scheduler.await.unwrap();
    }
    for launcher in launchers {
        launcher.abort();
    }

    assert_eq!(world.run_status(run).await, RunStatus::Success);
    let (leases, cards) = history::read(&world.pool).await;
    assert_eq!(history::overlaps(&leases, &cards), [], "leases overlap beyond a card's memory");
    assert!(leases.len() >= RUN_JOBS, "{} leases", leases.len());
    let together = most_at_once(&leases);
    assert!(together > 1, "nothing was ever shared, so nothing was tested");
    let assigned = world.count("select count(*) from worker_audit where operation = 'assign'").await;
    let twice = world
        .count("select count(*) from (select run_job_id from attempts where state = 'done' group by 1 having count(*) > 1) t")
        .await;
    assert_eq!(twice, 0, "a run job ran twice");
    let ledger = world.count("select count(*) from gpus where reserved_mib <> 0").await;
    assert_eq!(ledger, 0, "everything was given back");
    eprintln!(
        "two schedulers: {RUN_JOBS} run jobs, {assigned} placements, {} leases, at most {together} at once on a card, {:.1} s, {:.0} placements/s",
        leases.len(),
        elapsed.as_secs_f64(),
        assigned as f64 / elapsed.as_secs_f64(),
    );
}

/// The most leases that one card ever had at once.
fn most_at_once(leases: &[history::Lease]) -> usize {
    leases
        .iter()
        .map(|lease| {
            let holds = |other: &&history::Lease| {
                other.gpu == lease.gpu
                    && other.from <= lease.from
                    && other.to.is_none_or(|to| to > lease.from)
            };
            leases.iter().filter(holds).count()
        })
        .max()
        .unwrap_or(0)
}
