//! Wakes: none is lost, many are one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cyberbrain_common::wake::Debouncer;

const QUIET: Duration = Duration::from_millis(200);

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
        let started = Instant::now();
        while self.count() < count {
            assert!(started.elapsed() < Duration::from_secs(10), "only {} sends", self.count());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
