//! Cancelling or retrying many Runs at once, chosen by what they are.
//!
//! Each Run is a transaction of its own, so that one that can't be changed does not undo the others; the answer tells
//! of each. Guarantees: what is asked for again finds only what is left to do: a cancelled Run is not cancelled again,
//! a retried one not retried again. Deliberately absent: all Runs without a filter.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use cyberbrain_core::{audit::Actor, ids::RunId, lifecycle::RunStatus, text_enum};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    cancel::{RunCancel, cancel_run},
    db::{
        self, Conn,
        runs::{self, Filter, Retried},
    },
    launch::{
        self, Repeat,
        check::{check_line, check_range},
        describe::optional_line,
        object::object_only,
        problem::{Pointer, Problems},
        repeat,
    },
};

/// The most Runs of one request.
pub const MOST: u32 = 500;
const DEFAULT: u32 = 100;
/// No further Run is begun after that: the answer has to come within the time limit of requests.
const TIME: Duration = Duration::from_secs(15);
const TEXT_CHARACTERS: usize = 255;

text_enum! {
    /// What is done to the Runs.
    Action("bulk action") {
        Cancel = "cancel",
        Retry = "retry",
    }
}

/// Which Runs. At least one of the filters must be there; they mean what they mean in the list of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BulkRequest {
    /// Cancel takes `pending` and `running`, retry `failed` and `cancelled`; without it both.
    #[serde(default)]
    pub status: Option<RunStatus>,
    /// Key of a job that the run holds.
    #[serde(default)]
    #[schema(schema_with = optional_line::<TEXT_CHARACTERS>)]
    pub job: Option<String>,
    /// Type (D1) or name of the directive.
    #[serde(default)]
    #[schema(schema_with = optional_line::<TEXT_CHARACTERS>)]
    pub directive: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_line::<TEXT_CHARACTERS>)]
    pub tag: Option<String>,
    /// Name of the key that launched it.
    #[serde(default)]
    #[schema(schema_with = optional_line::<TEXT_CHARACTERS>)]
    pub requested_by: Option<String>,
    /// Inclusive.
    #[serde(default)]
    pub created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    #[serde(default)]
    pub created_before: Option<DateTime<Utc>>,
    /// The newest so many; 100 without it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// Only tell which ones they are.
    #[serde(default)]
    pub dry_run: bool,
}

object_only!(BulkRequest);

impl BulkRequest {
    fn check(&self, action: Action) -> Result<(), launch::Error> {
        let mut problems = Problems::default();
        let root = Pointer::Root;
        let texts = [
            ("job", &self.job),
            ("directive", &self.directive),
            ("tag", &self.tag),
            ("requested_by", &self.requested_by),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                check_line(text, TEXT_CHARACTERS, &root.key(name), &mut problems);
            }
        }
        let some_text = texts.iter().any(|(_, text)| text.is_some());
        let some_time = self.created_after.is_some() || self.created_before.is_some();
        if self.status.is_none() && !some_text && !some_time {
            problems.add(&root, "say which runs: give at least one of status, job, directive, tag, requested_by, created_after and created_before");
        }
        if let Some(status) = self.status
            && !action.takes().contains(&status)
        {
            let [one, other] = action.takes();
            problems.add(&root.key("status"), format!("{action} takes {one} and {other} runs only"));
        }
        if let Some(limit) = self.limit {
            check_range(limit, &(1..=MOST), &root.key("limit"), &mut problems);
        }
        problems.finish().map_err(launch::Error::Invalid)
    }

    fn filter(&self, action: Action) -> Filter {
        Filter {
            status: self.status.map_or_else(|| action.takes().to_vec(), |status| vec![status]),
            job: self.job.clone(),
            directive: self.directive.clone(),
            tag: self.tag.clone(),
            requested_by: self.requested_by.clone(),
            created_after: self.created_after,
            created_before: self.created_before,
            since: None,
            retried: match action {
                Action::Cancel => Retried::OrNot,
                Action::Retry => Retried::NotYet,
            },
        }
    }
}

impl Action {
    const fn takes(self) -> [RunStatus; 2] {
        match self {
            Self::Cancel => [RunStatus::Pending, RunStatus::Running],
            Self::Retry => [RunStatus::Failed, RunStatus::Cancelled],
        }
    }
}

/// What became of one Run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, because it was only asked.
    Matches,
    /// Its cancellation is noted.
    Cancelled,
    /// It is done again by this Run.
    Retried(RunId),
    /// Nothing, for this reason.
    Refused(String),
}

/// What became of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub items: Vec<(RunId, Outcome)>,
    /// Whether there are more such Runs: send the request again.
    pub more: bool,
}

/// Does it.
///
/// # Errors
/// [`launch::Error::Invalid`] for a wrong request, or a database error; Runs before the failure stay changed then.
/// Dropping the future leaves the rest undone.
pub async fn bulk(
    connection: &mut Conn,
    action: Action,
    request: &BulkRequest,
    actor: &Actor,
) -> Result<Done, launch::Error> {
    request.check(action)?;
    let limit = i64::from(request.limit.unwrap_or(DEFAULT));
    let found = runs::list(connection, &request.filter(action), None, limit + 1).await?;
    let begun = Instant::now();
    let mut items = Vec::new();
    for run in found.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        if begun.elapsed() > TIME {
            break;
        }
        let outcome =
            if request.dry_run { Outcome::Matches } else { act(connection, action, run.id, actor).await? };
        items.push((run.id, outcome));
    }
    let more = found.len() > items.len();
    Ok(Done { items, more })
}

async fn act(connection: &mut Conn, action: Action, run: RunId, actor: &Actor) -> Result<Outcome, db::Error> {
    match action {
        Action::Cancel => Ok(match cancel_run(connection, run, actor).await? {
            RunCancel::Noted => Outcome::Cancelled,
            RunCancel::AlreadyEnded(status) => Outcome::Refused(format!("it ended meanwhile: {status}")),
        }),
        Action::Retry => match repeat(connection, Repeat::Retry(run), actor, None).await {
            Ok(launched) => Ok(Outcome::Retried(launched.run)),
            Err(launch::Error::Database(error)) => Err(error),
            Err(
                refused @ (launch::Error::Invalid(_)
                | launch::Error::KeyReused
                | launch::Error::KeyBusy
                | launch::Error::NotEnded { .. }
                | launch::Error::NothingToRetry
                | launch::Error::NotRepeatable(_)),
            ) => Ok(Outcome::Refused(refused.to_string())),
        },
    }
}
