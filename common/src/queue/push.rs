//! Writing tasks, inside the transaction of the rows that they speak of.

use std::collections::BTreeMap;

use apalis::prelude::TaskBuilder;
use apalis_postgres::{PgTask, queries::push_tasks};
use sqlx::PgConnection;

use super::{Error, Queue, Task, database_error, task::encode};

/// The most rows that one INSERT carries.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Writes `tasks` to their queues over `connection`: give it an open transaction. They exist when that
/// commits, which also wakes their consumers, and never if it does not.
///
/// # Errors
/// [`Error::Push`] aborts the transaction. Not cancel-safe: roll back if this future is dropped.
pub async fn push<T: Task>(connection: &mut PgConnection, tasks: &[T]) -> Result<(), Error> {
    let mut queues: BTreeMap<Queue, Vec<PgTask>> = BTreeMap::new();
    for task in tasks {
        let queue = task.queue();
        let payload = encode(task).map_err(|source| Error::Encode { queue, source })?;
        // `run_at` 0: apalis would stamp this machine's clock, and a clock ahead of the database's delays
        // the start and suppresses the notification. One attempt: apalis retries at once, without a pause.
        queues
            .entry(queue)
            .or_default()
            .push(TaskBuilder::new(payload).run_at_timestamp(0).max_attempts(1).build());
    }
    for (queue, mut rest) in queues {
        let name = queue.to_string();
        while !rest.is_empty() {
            let next = rest.split_off(rest.len().min(ROWS_PER_STATEMENT));
            let count = rest.len();
            push_tasks(&mut *connection, &name, rest).await.map_err(|source| Error::Push {
                queue,
                count,
                source: database_error(source),
            })?;
            rest = next;
        }
    }
    Ok(())
}
