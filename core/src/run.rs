//! What a Run keeps of the directive that it was launched with, so that later edits don't change it.

use serde::{Deserialize, Serialize};

use crate::{ids::DirectiveId, spec::DirectiveType};

/// Name of the snapshot of a Run that brought its own directive text.
pub const CUSTOM_DIRECTIVE_NAME: &str = "custom";

/// The directive as it was when the Run was launched; column `runs.directive_snapshot`. `C` is whatever holds the
/// directive's task configuration, which is opaque here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectiveSnapshot<C> {
    /// The version in the library that it was taken from; with a custom text, the one whose rules apply.
    pub id: DirectiveId,
    #[serde(rename = "type")]
    pub kind: DirectiveType,
    /// [`CUSTOM_DIRECTIVE_NAME`] if the launch brought its own text.
    pub name: String,
    pub version: u32,
    pub description: String,
    /// Written by an operator; reaches workers as a file.
    pub text: String,
    pub task_config: C,
    /// Keys of the jobs that it allows; empty means all.
    pub task_list: Vec<String>,
    pub approval_required: bool,
    /// Unfinished admitted Runs of this directive at once; `None` means no limit.
    pub max_concurrent_runs: Option<u32>,
}
