//! Params that built-in jobs understand, checked when they are launched: a wrong one would only show on a host otherwise.
//!
//! Params of other jobs are theirs. A Run's own params are those of all its RunJobs, so what a job doesn't know is left alone.

use cyberbrain_core::{
    job_kind::JobKind,
    staging::{GpuReportParams, LogParams, ServiceMapParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Pointer, Problems};

/// Checks what a RunJob of this job is given: the Run's params, and its own, which go before them.
pub(super) fn check(
    kind: JobKind,
    of_run: Option<&Map<String, Value>>,
    own: Option<&Map<String, Value>>,
    at: &Pointer<'_>,
    problems: &mut Problems,
) {
    let all: Map<String, Value> =
        of_run.into_iter().chain(own).flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Err(Wrong { key, detail }) = problem(kind, all) {
        let (root, place) =
            (Pointer::Root, if own.is_some_and(|own| own.contains_key(key)) { Some(at) } else { None });
        problems.add(&place.unwrap_or(&root).key("params").key(key), detail);
    }
}

/// One param that is wrong.
struct Wrong {
    key: &'static str,
    detail: String,
}

fn problem(kind: JobKind, all: Map<String, Value>) -> Result<(), Wrong> {
    match kind {
        JobKind::LogTriage => {
            const TIME: &str = "a time such as 2026-01-31T06:00:00Z";
            each_is::<LogParams>(
                &all,
                &[
                    ("since", TIME),
                    ("until", TIME),
                    ("window_hours", "a number of hours"),
                    ("containers", "a list of names"),
                    ("llm_notes", "true or false"),
                ],
            )?;
            let wrong = |error: serde_json::Error| Wrong { key: "since", detail: error.to_string() };
            let params: LogParams = serde_json::from_value(all.into()).map_err(wrong)?;
            params.span().map(|_| ()).map_err(|bad| Wrong { key: bad.key(), detail: bad.to_string() })
        }
        JobKind::GpuReport => {
            each_is::<GpuReportParams>(&all, &[("window_hours", "a number of hours up to 744")])
        }
        JobKind::ServiceMap => each_is::<ServiceMapParams>(&all, &[("scope", "allowlist or all")]),
        JobKind::Custom => Ok(()),
    }
}

/// Whether each param alone has its form.
fn each_is<P: DeserializeOwned>(
    all: &Map<String, Value>,
    forms: &[(&'static str, &str)],
) -> Result<(), Wrong> {
    for &(key, form) in forms {
        let Some(value) = all.get(key) else { continue };
        let alone = Map::from_iter([(key.to_owned(), value.clone())]);
        serde_json::from_value::<P>(alone.into())
            .map_err(|error| Wrong { key, detail: format!("{error}; {key} is {form}") })?;
    }
    Ok(())
}
