//! Queues that a person has paused.

use super::{Conn, Error};
use crate::queue::QueueKind;

/// Which of these queues are paused now.
///
/// # Errors
/// A database error.
pub async fn paused_of(connection: &mut Conn, queues: &[QueueKind]) -> Result<Vec<QueueKind>, Error> {
    let names: Vec<String> = queues.iter().map(|queue| queue.as_str().to_owned()).collect();
    let paused = sqlx::query_scalar!("select queue from queue_pauses where queue = any($1)", &names)
        .fetch_all(connection)
        .await?;
    Ok(queues.iter().copied().filter(|queue| paused.iter().any(|name| name == queue.as_str())).collect())
}
