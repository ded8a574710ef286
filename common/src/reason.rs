//! Why somebody changes a machine or a queue: one line that stays with the change and in the audit trail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::launch::{
    Problem,
    check::check_line,
    describe::line,
    object::object_only,
    problem::{Pointer, Problems},
};

/// The longest reason, in characters.
pub const REASON_CHARACTERS: usize = 500;

/// A reason that must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ReasonRequest {
    /// One line; shown with the change and kept in the audit trail.
    #[schema(schema_with = line::<REASON_CHARACTERS>)]
    pub reason: String,
}

object_only!(ReasonRequest);

impl ReasonRequest {
    /// The reason.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<&str, Vec<Problem>> {
        let mut problems = Problems::default();
        check_line(&self.reason, REASON_CHARACTERS, &Pointer::Root.key("reason"), &mut problems);
        problems.finish()?;
        Ok(&self.reason)
    }
}
