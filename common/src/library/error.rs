//! Why a change of the library did not happen.

use crate::{db, launch::Problem};

/// A change that changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong: every problem that was found, at least one.
    #[error("the request has {} problems", .0.len())]
    Invalid(Vec<Problem>),
    #[error("there is no {what} {name}")]
    Unknown { what: &'static str, name: String },
    /// It was made for another version.
    #[error("its version is {current} now: read it again, then decide")]
    Stale { current: u32 },
    /// What there is does not allow it.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("the change could not be stored")]
    Database(#[from] db::Error),
}

/// What there is that a change collides with, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    #[error("there is a directive {name:?} already, active or not: change that one, or take another name")]
    DirectiveExists { name: String },
    #[error("directive {name:?} is built in and stays: switch it off by setting active to false, or edit it")]
    DirectiveBuiltin { name: String },
    #[error(
        "its key or one of its aliases is that of another job already; GET /api/v1/jobs lists them: take other names"
    )]
    JobNameTaken,
    #[error("job {job:?} is built in and stays: switch it off by setting active to false, or edit it")]
    JobBuiltin { job: String },
    #[error("image {image} is on the allowlist already, active or not: change that entry")]
    ImageListed { image: String },
    #[error("the built-in image stays on the allowlist: switch it off by setting active to false")]
    ImageBuiltin,
    #[error("there is an entry for container {id:?} already, enabled or not: change that one")]
    ContainerListed { id: String },
}
