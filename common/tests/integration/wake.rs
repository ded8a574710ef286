//! Wakes: none is lost, many are one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cyberbrain_common::wake::{Debouncer, Wakes, listen};
use cyberbrain_testkit::{
    TestDb,
    chaos::{Mode, Proxy},
    wait_until,
};
use sqlx::{PgPool, postgres::PgConnectOptions};

const QUIET: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(20);
const CHANNEL: &str = "cyberbrain_test";

struct Sends {
    count: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
}

impl Sends {
    fn new(failures: usize) -> Self {
        Self { count: Arc::default(), failures: Arc::new(failures.into()) }
    }

    fn debouncer(&self) -> Debouncer {
        let (count, failures) = (Arc::clone(&self.count), Arc::clone(&self.failures));
        Debouncer::spawn("test", QUIET, move || {
            let failed =
                failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if !failed {
                count.fetch_add(1, Ordering::SeqCst);
            }
            std::future::ready(if failed { Err("on purpose") } else { Ok(()) })
        })
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    async fn reaches(&self, count: usize) {
        wait_until("enough sends", SOON, async || self.count() >= count).await;
    }
}

#[tokio::test]
async fn the_first_wake_is_sent_at_once_and_those_that_follow_as_one_at_the_end() {
    let sends = Sends::new(0);
    let debouncer = sends.debouncer();
    let started = Instant::now();
    debouncer.wake();
    sends.reaches(1).await;
    assert!(started.elapsed() < QUIET, "the first one had to wait");
    for _ in 0..1_000 {
        debouncer.wake();
    }
    sends.reaches(2).await;
    assert!(started.elapsed() >= QUIET, "the quiet time was not kept");
    // Nothing more comes of the thousand.
    tokio::time::sleep(QUIET * 2).await;
    assert_eq!(sends.count(), 2);
}

#[tokio::test]
async fn a_wake_while_a_send_is_under_way_is_sent_after_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (counted, gated) = (Arc::clone(&count), Arc::clone(&gate));
    let debouncer = Debouncer::spawn("test", Duration::from_millis(1), move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gated);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<(), &str>(())
        }
    });
    debouncer.wake();
    while count.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    debouncer.wake();
    gate.add_permits(2);
    debouncer.close().await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_failed_send_is_tried_again() {
    let sends = Sends::new(3);
    let debouncer = sends.debouncer();
    debouncer.wake();
    sends.reaches(1).await;
    debouncer.close().await;
}

#[tokio::test]
async fn closing_sends_what_is_still_to_be_sent() {
    let sends = Sends::new(0);
    let debouncer = sends.debouncer();
    debouncer.wake();
    sends.reaches(1).await;
    debouncer.wake();
    let closing = Instant::now();
    debouncer.close().await;
    assert_eq!(sends.count(), 2);
    assert!(closing.elapsed() < QUIET, "closing waited for the quiet time");

    let idle = Sends::new(0);
    idle.debouncer().close().await;
    assert_eq!(idle.count(), 0);
}

async fn woken(wakes: &mut Wakes) {
    tokio::time::timeout(SOON, wakes.next()).await.expect("a wake comes");
}

/// A connection that listens wakes once; after that only what is sent does.
async fn listening(options: &PgConnectOptions) -> Wakes {
    let mut wakes = listen(options, CHANNEL, |payload| payload != "for somebody else");
    woken(&mut wakes).await;
    wakes
}

async fn notify(pool: &PgPool, payload: &str) {
    sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(payload).execute(pool).await.unwrap();
}

#[tokio::test]
async fn a_notification_wakes_every_listener_that_wants_it() {
    let Some(database) = TestDb::new().await else { return };
    let pool = database.pool();
    let mut first = listening(&pool.connect_options()).await;
    let mut second = first.clone();
    let debouncer = Debouncer::notify(pool.clone(), CHANNEL, QUIET);
    debouncer.wake();
    woken(&mut first).await;
    woken(&mut second).await;

    notify(&pool, "for somebody else").await;
    let unwanted = tokio::time::timeout(QUIET, first.next()).await;
    assert!(unwanted.is_err(), "woken by what was not wanted");
    notify(&pool, "for us").await;
    woken(&mut first).await;
    debouncer.close().await;
}

#[tokio::test]
async fn a_listener_wakes_after_a_lost_connection_and_listens_again() {
    let Some(database) = TestDb::new().await else { return };
    let pool = database.pool();
    let proxy = Proxy::start(database.address().await).await.unwrap();
    let mut wakes = listening(&database.url_through(proxy.address()).parse().unwrap()).await;

    proxy.set(Mode::Cut).await;
    // Nobody hears this one.
    notify(&pool, "").await;
    proxy.set(Mode::Pass).await;
    woken(&mut wakes).await;

    notify(&pool, "").await;
    woken(&mut wakes).await;
}

#[tokio::test]
async fn the_connection_ends_with_the_last_listener() {
    let Some(database) = TestDb::new().await else { return };
    let options = (*database.pool().connect_options()).clone().application_name("cyberbrain-listening");
    let wakes = listening(&options).await;
    let connections = async || -> i64 {
        sqlx::query_scalar(
            "select count(*) from pg_stat_activity where application_name = 'cyberbrain-listening'",
        )
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap()
    };
    assert_eq!(connections().await, 1);
    drop(wakes);
    wait_until("the connection is closed", SOON, async || connections().await == 0).await;
}
