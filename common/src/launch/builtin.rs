//! Params that built-in jobs understand, checked when they are launched: a wrong one would only show on a host otherwise.
//!
//! Params of other jobs are theirs. A Run's own params are those of all its RunJobs, so what a job doesn't know is left alone.

use cyberbrain_core::staging::LogParams;
use serde_json::{Map, Value};

use super::problem::{Pointer, Problems};

/// Checks what a RunJob of this job is given: the Run's params, and its own, which go before them.
pub(super) fn check(
    task_key: &str,
    of_run: Option<&Map<String, Value>>,
    own: Option<&Map<String, Value>>,
    at: &Pointer<'_>,
    problems: &mut Problems,
) {
    if task_key != "log_triage" {
        return;
    }
    let all: Map<String, Value> =
        of_run.into_iter().chain(own).flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut add = |key: &str, detail: String| {
        let root = Pointer::Root;
        if own.is_some_and(|own| own.contains_key(key)) {
            problems.add(&at.key("params").key(key), detail);
        } else {
            problems.add(&root.key("params").key(key), detail);
        }
    };
    for key in ["since", "until", "window_hours", "containers", "llm_notes"] {
        let Some(value) = all.get(key) else { continue };
        let alone = Map::from_iter([(key.to_owned(), value.clone())]);
        if let Err(error) = serde_json::from_value::<LogParams>(alone.into()) {
            add(
                key,
                format!(
                    "{error}; since and until are times such as 2026-01-31T06:00:00Z, window_hours is a number, containers are names, llm_notes is true or false"
                ),
            );
            return;
        }
    }
    match serde_json::from_value::<LogParams>(all.into()).map(|params| params.span()) {
        Ok(Ok(_)) => {}
        Ok(Err(bad)) => add(bad.key(), bad.to_string()),
        Err(error) => add("since", error.to_string()),
    }
}
