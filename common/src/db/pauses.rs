//! Queues that a person has paused.

use chrono::{DateTime, Utc};

use super::{Col, Conn, Error};
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

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub queue: QueueKind,
    pub by: String,
    pub reason: String,
    pub at: DateTime<Utc>,
}

/// Every pause.
///
/// # Errors
/// A database error.
pub async fn all(connection: &mut Conn) -> Result<Vec<Pause>, Error> {
    let rows = sqlx::query!(
        r#"select queue as "queue: Col<QueueKind>", paused_by, reason, paused_at from queue_pauses order by queue"#
    )
    .fetch_all(connection)
    .await?;
    let pauses = rows.into_iter().map(|row| Pause {
        queue: row.queue.0,
        by: row.paused_by,
        reason: row.reason,
        at: row.paused_at,
    });
    Ok(pauses.collect())
}

/// Pauses these queues; the first pause of a queue stays, with a new reason.
///
/// # Errors
/// A database error.
pub async fn pause(connection: &mut Conn, queues: &[QueueKind], by: &str, reason: &str) -> Result<(), Error> {
    let names: Vec<String> = queues.iter().map(|queue| queue.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into queue_pauses (queue, paused_by, reason) select name, $2, $3 from unnest($1::text[]) as q(name)
         on conflict (queue) do update set paused_by = excluded.paused_by, reason = excluded.reason",
        &names,
        by,
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the pauses of these queues back.
///
/// # Errors
/// A database error.
pub async fn resume(connection: &mut Conn, queues: &[QueueKind]) -> Result<(), Error> {
    let names: Vec<String> = queues.iter().map(|queue| queue.as_str().to_owned()).collect();
    sqlx::query!("delete from queue_pauses where queue = any($1)", &names).execute(connection).await?;
    Ok(())
}
