//! Who hears that tasks have arrived: every process that listens, not only the consumer that gets the task.

use serde::Deserialize;
use sqlx::PgPool;

use super::Queue;
use crate::wake::{self, Wakes};

/// The channel on which apalis' insert trigger speaks.
pub(super) const INSERT_CHANNEL: &str = "apalis::job::insert";

/// Calls `arrived` for every queue that gets a task, over one connection of its own. The wakes say that some may have
/// been missed: at the start and after each reconnect. Ends when they are dropped.
#[must_use]
pub fn arrivals(pool: &PgPool, arrived: impl Fn(Queue) + Send + Sync + 'static) -> Wakes {
    wake::listen(&pool.connect_options(), INSERT_CHANNEL, move |payload| {
        if let Some(queue) = arrived_in(payload) {
            arrived(queue);
        }
        false
    })
}

/// Which queue a notification of apalis' trigger is about; `None` for other programs' queues.
pub(super) fn arrived_in(payload: &str) -> Option<Queue> {
    #[derive(Deserialize)]
    struct Inserted<'a> {
        #[serde(borrow)]
        job_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_str::<Inserted<'_>>(payload).ok()?.job_type.parse().ok()
}
