//! The audit trail in the order in which it became readable: what follows a place in it.
//!
//! Guarantees that nothing is ever added before a place that was read: rows are ordered by transaction, and those of
//! transactions that may still be overtaken by an open one are not shown yet. The price: an event comes when every transaction
//! that began to write before its own has ended.

use std::{fmt, num::ParseIntError, str::FromStr};

use cyberbrain_core::{
    audit::Operation,
    ids::{RunId, RunJobId},
};
use uuid::Uuid;

use super::{
    Col, Conn, Error,
    audit_trail::{Record, Row},
};

/// A place in the trail: just after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    tx: i64,
    id: Uuid,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { tx: 0, id: Uuid::nil() };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.tx, self.id)
    }
}

/// The text names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPosition {
    #[error("it is no id of an event")]
    Form,
    #[error("it is no id of an event")]
    Transaction(#[from] ParseIntError),
    #[error("it is no id of an event")]
    Row(#[from] uuid::Error),
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (tx, id) = text.split_once('-').ok_or(InvalidPosition::Form)?;
        if tx.is_empty() || !tx.bytes().all(|byte| byte.is_ascii_digit()) || id.len() != 36 {
            return Err(InvalidPosition::Form);
        }
        Ok(Self { tx: tx.parse()?, id: id.parse()? })
    }
}

/// Which events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Everything,
    Run(RunId),
    RunJob(RunJobId),
}

/// A row of the trail, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub position: Position,
    pub run: Option<RunId>,
    pub run_job: Option<RunJobId>,
    pub record: Record,
}

impl Event {
    /// Whether it is one of these.
    #[must_use]
    pub fn is(&self, of: Of) -> bool {
        match of {
            Of::Everything => true,
            Of::Run(run) => self.run == Some(run),
            Of::RunJob(run_job) => self.run_job == Some(run_job),
        }
    }
}

/// The place after all that can be read now.
///
/// # Errors
/// When the database can't be read.
pub async fn end(connection: &mut Conn) -> Result<Position, Error> {
    let row = sqlx::query!(
        "select tx, id from worker_audit where tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
         order by tx desc, id desc limit 1"
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map_or(Position::START, |row| Position { tx: row.tx, id: row.id }))
}

/// Whether all that follows this place is kept: its row is. One that retention removed is not, nor one of another database.
///
/// # Errors
/// When the database can't be read.
pub async fn is_kept(connection: &mut Conn, at: Position) -> Result<bool, Error> {
    if at == Position::START {
        return Ok(true);
    }
    let kept = sqlx::query_scalar!(
        r#"select exists (select from worker_audit where tx = $1 and id = $2) as "kept!""#,
        at.tx,
        at.id,
    );
    Ok(kept.fetch_one(connection).await?)
}

/// One text per filter, so that each is planned by its index.
macro_rules! following {
    ($filter:tt, $at:expr, $limit:expr $(, $of:expr)?) => {
        sqlx::query_as!(
            Row,
            r#"select tx, id, at, operation as "operation: Col<Operation>", actor, run_id, run_job_id, attempt_id, host,
                 container_id, image, gpus, selection_reason, config_snapshot, success, error
               from worker_audit where "# + $filter + r#" (tx, id) > ($1, $2)
                   and tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
               order by tx, id limit $3"#,
            $at.tx,
            $at.id,
            $limit,
            $($of)?
        )
    };
}

/// What follows, in order; `limit` at most.
///
/// # Errors
/// When the database can't be read.
pub async fn after(connection: &mut Conn, of: Of, at: Position, limit: u32) -> Result<Vec<Event>, Error> {
    let limit = i64::from(limit);
    let rows = match of {
        Of::Everything => following!("", at, limit).fetch_all(connection).await?,
        Of::Run(run) => following!("run_id = $4 and", at, limit, run.uuid()).fetch_all(connection).await?,
        Of::RunJob(run_job) => {
            following!("run_job_id = $4 and", at, limit, run_job.uuid()).fetch_all(connection).await?
        }
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        Self {
            position: Position { tx: row.tx, id: row.id },
            run: row.run_id.map(Into::into),
            run_job: row.run_job_id.map(Into::into),
            record: row.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_nothing_else_is() {
        let at = Position { tx: 7_412, id: Uuid::from_u128(5) };
        assert_eq!(at.to_string(), "7412-00000000-0000-0000-0000-000000000005");
        for at in [at, Position::START, Position { tx: i64::MAX, id: Uuid::max() }] {
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        let id = Uuid::from_u128(5);
        for bad in
            ["", "-", "7", "7-", "7-x", "x-1", &format!("+7-{id}"), &format!("-7-{id}"), &format!("7-{id}x")]
        {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        for bad in [
            format!("9223372036854775808-{id}"),
            format!("7-{}", id.simple()),
            format!("7--{id}"),
            id.to_string(),
        ] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
