//! What a client says of a directive. Unknown fields are refused while reading.

use cyberbrain_core::{run::CUSTOM_DIRECTIVE_NAME, spec::DirectiveType};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    launch::{
        Params,
        check::{check_line, check_range},
        describe::{directive_name, free_text, lines, optional_free_text, optional_lines},
        limit as launch_limit,
        object::object_only,
        problem::{Pointer, Problems},
    },
    library::check::{check_config, check_name, check_text, limit},
};

/// A directive to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NewDirective {
    /// What a launch calls it, for good. `D1` … `D4` and `custom` are taken.
    #[schema(schema_with = directive_name)]
    pub name: String,
    /// `D4` without it.
    #[serde(default = "custom")]
    pub r#type: DirectiveType,
    #[serde(default)]
    #[schema(schema_with = free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: String,
    /// Reaches workers as a file.
    #[serde(default)]
    #[schema(schema_with = free_text::<{ launch_limit::DIRECTIVE_TEXT_CHARACTERS }>)]
    pub text: String,
    /// Keys or aliases of the jobs that it allows; empty means all.
    #[serde(default)]
    #[schema(schema_with = lines::<{ limit::LISTED_JOBS }, { launch_limit::JOB_CHARACTERS }>)]
    pub jobs: Vec<String>,
    /// For workers; 64 KiB at most.
    #[serde(default)]
    pub config: Params,
    /// Its runs wait until somebody approves them.
    #[serde(default)]
    pub approval_required: bool,
    /// Admitted and unfinished runs at once; without it no limit.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub max_concurrent_runs: Option<u32>,
}

const fn custom() -> DirectiveType {
    DirectiveType::D4
}

/// A change of a directive. What is left out or null stays as it is, but for `max_concurrent_runs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct DirectiveChange {
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: Option<String>,
    /// Reaches workers as a file.
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ launch_limit::DIRECTIVE_TEXT_CHARACTERS }>)]
    pub text: Option<String>,
    /// Keys or aliases of the jobs that it allows; empty means all.
    #[serde(default)]
    #[schema(schema_with = optional_lines::<{ limit::LISTED_JOBS }, { launch_limit::JOB_CHARACTERS }>)]
    pub jobs: Option<Vec<String>>,
    /// Takes the place of the whole configuration.
    #[serde(default)]
    pub config: Option<Params>,
    #[serde(default)]
    pub approval_required: Option<bool>,
    /// null means no limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    pub max_concurrent_runs: Option<Option<u32>>,
    /// Whether launches may name it.
    #[serde(default)]
    pub active: Option<bool>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(from).map(Some)
}

object_only!(NewDirective, DirectiveChange);

impl NewDirective {
    pub(super) fn check(&self, problems: &mut Problems) {
        let root = Pointer::Root;
        let at = root.key("name");
        check_name(&self.name, launch_limit::DIRECTIVE_CHARACTERS, &at, problems);
        if self.name.parse::<DirectiveType>().is_ok() {
            problems.add(&at, "it is a type: a launch means the built-in directive of that type by it");
        }
        if self.name == CUSTOM_DIRECTIVE_NAME {
            problems.add(&at, "it is what runs with a text of their own are listed as; take another name");
        }
        check_text(
            Some(&self.description),
            limit::DESCRIPTION_CHARACTERS,
            &root.key("description"),
            problems,
        );
        check_text(Some(&self.text), launch_limit::DIRECTIVE_TEXT_CHARACTERS, &root.key("text"), problems);
        check_jobs(&self.jobs, problems);
        check_config(Some(&self.config), &root.key("config"), problems);
        check_concurrent(self.max_concurrent_runs, problems);
    }
}

impl DirectiveChange {
    pub(super) fn check(&self, problems: &mut Problems) {
        let root = Pointer::Root;
        let description = self.description.as_ref();
        check_text(description, limit::DESCRIPTION_CHARACTERS, &root.key("description"), problems);
        let text = self.text.as_ref();
        check_text(text, launch_limit::DIRECTIVE_TEXT_CHARACTERS, &root.key("text"), problems);
        check_jobs(self.jobs.as_deref().unwrap_or_default(), problems);
        check_config(self.config.as_ref(), &root.key("config"), problems);
        check_concurrent(self.max_concurrent_runs.flatten(), problems);
    }
}

fn check_jobs(jobs: &[String], problems: &mut Problems) {
    let root = Pointer::Root;
    let at = root.key("jobs");
    if jobs.len() > limit::LISTED_JOBS {
        problems.add(&at, format!("there are {} jobs; {} at most", jobs.len(), limit::LISTED_JOBS));
        return;
    }
    for (index, job) in jobs.iter().enumerate() {
        check_line(job, launch_limit::JOB_CHARACTERS, &at.index(index), problems);
    }
}

fn check_concurrent(runs: Option<u32>, problems: &mut Problems) {
    if let Some(runs) = runs {
        let root = Pointer::Root;
        check_range(runs, &limit::CONCURRENT_RUNS, &root.key("max_concurrent_runs"), problems);
    }
}
