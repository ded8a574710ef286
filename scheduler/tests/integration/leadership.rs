//! Who leads, and who takes over.

use std::time::{Duration, Instant};

use cyberbrain_common::db::{self, PoolSize};
use cyberbrain_core::lifecycle::RunStatus;
use cyberbrain_scheduler::{Handle, Options, Service, Standing};
use cyberbrain_testkit::{chaos, wait_for, wait_until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{LIMIT, World};

/// What a standby is allowed.
const TAKE_OVER: Duration = Duration::from_secs(10);

struct Scheduler {
    handle: Handle,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

fn start(url: &str, name: &str) -> Scheduler {
    let pool = db::pool(url, name, PoolSize(12)).unwrap();
    let service = Service::new(pool, Options::new(name));
    let (handle, stop) = (service.handle(), CancellationToken::new());
    Scheduler { handle, work: tokio::spawn(service.run(stop.clone())), stop }
}

impl Scheduler {
    fn leads(&self) -> bool {
        matches!(self.handle.standing(), Standing::Leading { .. })
    }

    async fn leading(&self, limit: Duration) -> i64 {
        wait_for("it to lead", limit, async || match self.handle.standing() {
            Standing::Leading { term } => Some(term),
            Standing::Standby => None,
        })
        .await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.work.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_takes_over_in_less_than_ten_seconds_when_the_leader_is_killed() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    let launcher = tokio::spawn(host.work(8));
    let first = start(&world.db.url, "first");
    assert_eq!(first.leading(LIMIT).await, 1);
    let second = start(&world.db.url, "second");
    let before = world.launch_cpu(4).await;
    wait_until("the first run", LIMIT, async || world.run_status(before).await.is_terminal()).await;
    assert!(first.leads() && !second.leads(), "one leads");

    // No farewell: its tasks end where they are.
    first.work.abort();
    let killed = Instant::now();
    let orphaned = world.launch_cpu(4).await;
    let term = second.leading(LIMIT).await;
    let took = killed.elapsed();
    assert_eq!(term, 2);
    assert!(took < TAKE_OVER, "took over after {took:?}");
    wait_until("the second run", LIMIT, async || world.run_status(orphaned).await.is_terminal()).await;
    assert_eq!(world.run_status(orphaned).await, RunStatus::Success);
    second.stop().await;
    launcher.abort();
    eprintln!(
        "leader killed: standby leads after {:.1} s, its run was done {:.1} s after the kill",
        took.as_secs_f64(),
        killed.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_that_leaves_in_order_is_replaced_at_once() {
    let Some(world) = World::new().await else { return };
    let first = start(&world.db.url, "first");
    first.leading(LIMIT).await;
    let second = start(&world.db.url, "second");
    first.stop().await;
    let left = Instant::now();
    second.leading(LIMIT).await;
    assert!(left.elapsed() < Duration::from_secs(4), "it need not count silence: {:?}", left.elapsed());
    second.stop().await;
    assert_eq!(world.count("select count(*) from leaders").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_steps_back_when_the_row_is_somebody_elses() {
    let Some(world) = World::new().await else { return };
    let scheduler = start(&world.db.url, "first");
    scheduler.leading(LIMIT).await;
    world.execute("update leaders set holder = gen_random_uuid(), term = 7, counter = 0").await;
    wait_until("it to step back", Duration::from_secs(10), async || !scheduler.leads()).await;
    // The other one never beats: it is dead, and is replaced.
    assert_eq!(scheduler.leading(LIMIT).await, 8);
    scheduler.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leader_cut_off_from_the_database_steps_back_and_comes_back() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[]).await;
    let launcher = tokio::spawn(host.work(8));
    let proxy = chaos::Proxy::start(world.db.address().await).await.unwrap();
    let cut_off = start(&world.db.url_through(proxy.address()), "cut off");
    cut_off.leading(LIMIT).await;
    proxy.set(chaos::Mode::Blackhole).await;
    let other = start(&world.db.url, "other");
    let started = Instant::now();
    other.leading(LIMIT).await;
    let took = started.elapsed();
    assert!(took < TAKE_OVER, "took over after {took:?}");
    wait_until("the old leader to notice by itself", Duration::from_secs(15), async || !cut_off.leads())
        .await;
    let run = world.launch_cpu(4).await;
    wait_until("the run", LIMIT, async || world.run_status(run).await.is_terminal()).await;

    // Back again, it follows.
    proxy.set(chaos::Mode::Pass).await;
    other.stop().await;
    cut_off.leading(LIMIT).await;
    let run = world.launch_cpu(4).await;
    wait_until("the next run", LIMIT, async || world.run_status(run).await.is_terminal()).await;
    cut_off.stop().await;
    launcher.abort();
}
