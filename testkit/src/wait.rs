//! Waiting for a condition, with a bound and a name, instead of sleeping and hoping.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Polls `condition` until it is true.
///
/// # Panics
/// After `limit`, naming `what` was awaited. A condition that hangs is cut off then too.
pub async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    wait_for(what, limit, async || condition().await.then_some(())).await;
}

/// Polls `find` until it gives a value.
///
/// # Panics
/// After `limit`, naming `what` was awaited. A search that hangs is cut off then too.
pub async fn wait_for<T>(what: &str, limit: Duration, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    // Quick at first, then gentle: most conditions hold within milliseconds.
    let mut pause = Duration::from_millis(2);
    loop {
        match tokio::time::timeout_at(end, find()).await {
            Ok(Some(value)) => return value,
            Ok(None) if Instant::now() + pause < end => sleep(pause).await,
            Ok(None) | Err(_) => panic!("waited {limit:?} in vain: {what}"),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{wait_for, wait_until};

    #[tokio::test]
    async fn gives_the_value_once_it_is_there() {
        let mut looks = 0;
        let value = wait_for("the third look", Duration::from_secs(5), async || {
            looks += 1;
            (looks == 3).then_some("here")
        })
        .await;
        assert_eq!((value, looks), ("here", 3));
    }

    #[tokio::test]
    #[should_panic(expected = "waited 30ms in vain: a cow to fly")]
    async fn names_what_never_came() {
        wait_until("a cow to fly", Duration::from_millis(30), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "in vain: an answer")]
    async fn cuts_off_a_condition_that_hangs() {
        wait_until("an answer", Duration::from_millis(30), async || std::future::pending().await).await;
    }
}
