//! Limits and contradictions that show without looking into the library.

use std::ops::RangeInclusive;

use cyberbrain_core::spec::GpuPolicy;
use serde_json::{Map, Value};

use super::{
    Error,
    params::Params,
    problem::{Pointer, Problems},
    request::{GpuWish, LaunchRequest, RunJobRequest, limit},
};

/// Finds everything that is wrong by itself.
///
/// # Errors
/// [`Error::Invalid`] with at least one problem.
pub(super) fn check(request: &LaunchRequest) -> Result<(), Error> {
    let mut problems = Problems::default();
    let root = Pointer::Root;
    if let Some(directive) = &request.directive {
        check_line(directive, limit::DIRECTIVE_CHARACTERS, &root.key("directive"), &mut problems);
    }
    if let Some(text) = &request.custom_directive_text {
        check_text(text, &root.key("custom_directive_text"), &mut problems);
    }
    check_range(request.priority, &limit::PRIORITY, &root.key("priority"), &mut problems);
    check_tags(&request.tags, &root.key("tags"), &mut problems);
    check_params(request.params.as_ref(), &root.key("params"), &mut problems);
    check_jobs(request, &root, &mut problems);
    problems.or(())
}

pub(crate) fn check_tags(tags: &[String], at: &Pointer<'_>, problems: &mut Problems) {
    if tags.len() > limit::TAGS {
        problems.add(at, format!("there are {} tags; {} at most", tags.len(), limit::TAGS));
        return;
    }
    for (index, tag) in tags.iter().enumerate() {
        check_line(tag, limit::TAG_CHARACTERS, &at.index(index), problems);
    }
}

fn check_jobs(request: &LaunchRequest, root: &Pointer<'_>, problems: &mut Problems) {
    let (jobs, run_jobs) = (root.key("jobs"), root.key("run_jobs"));
    if !request.jobs.is_empty() && !request.run_jobs.is_empty() {
        problems.add(&run_jobs, "give either jobs or run_jobs, not both; run_jobs can say all that jobs can");
    }
    for (count, at) in [(request.jobs.len(), &jobs), (request.run_jobs.len(), &run_jobs)] {
        if count > limit::RUN_JOBS {
            let most = limit::RUN_JOBS;
            problems.add(
                at,
                format!("there are {count} run jobs; a run has {most} at most: launch several runs"),
            );
            return;
        }
    }
    for (index, job) in request.jobs.iter().enumerate() {
        check_line(job, limit::JOB_CHARACTERS, &jobs.index(index), problems);
    }
    for (index, run_job) in request.run_jobs.iter().enumerate() {
        if problems.is_full() {
            return;
        }
        check_run_job(run_job, &run_jobs.index(index), problems);
    }
}

fn check_run_job(run_job: &RunJobRequest, at: &Pointer<'_>, problems: &mut Problems) {
    check_line(&run_job.job, limit::JOB_CHARACTERS, &at.key("job"), problems);
    if let Some(name) = &run_job.name {
        check_line(name, limit::NAME_CHARACTERS, &at.key("name"), problems);
    }
    check_params(run_job.params.as_ref(), &at.key("params"), problems);
    if run_job.inputs.len() > limit::INPUTS {
        let given = run_job.inputs.len();
        problems.add(&at.key("inputs"), format!("there are {given} inputs; {} at most", limit::INPUTS));
    }
    if let Some(priority) = run_job.priority {
        check_range(priority, &limit::PRIORITY, &at.key("priority"), problems);
    }
    if let Some(seconds) = run_job.timeout_seconds {
        check_range(seconds, &limit::TIMEOUT_SECONDS, &at.key("timeout_seconds"), problems);
    }
    if let Some(gpu) = &run_job.gpu {
        check_gpu(gpu, &at.key("gpu"), problems);
    }
}

pub(crate) fn check_gpu(gpu: &GpuWish, at: &Pointer<'_>, problems: &mut Problems) {
    let ranges = [
        ("count", gpu.count, limit::GPUS),
        ("min_vram_mib", gpu.min_vram_mib, limit::VRAM_MIB),
        ("index", gpu.index, limit::GPU_INDEX),
        ("prefer_wait_seconds", gpu.prefer_wait_seconds, limit::PREFER_WAIT_SECONDS),
    ];
    for (field, value, range) in ranges {
        if let Some(value) = value {
            check_range(value, &range, &at.key(field), problems);
        }
    }
    if let Some(uuid) = &gpu.uuid {
        check_line(uuid.as_str(), limit::PLACE_CHARACTERS, &at.key("uuid"), problems);
    }
    if let Some(host) = &gpu.host {
        check_line(host, limit::PLACE_CHARACTERS, &at.key("host"), problems);
    }
    check_gpu_together(gpu, at, problems);
}

/// Fields that contradict each other.
fn check_gpu_together(gpu: &GpuWish, at: &Pointer<'_>, problems: &mut Problems) {
    let names_card = gpu.uuid.is_some() || gpu.index.is_some();
    if gpu.policy == Some(GpuPolicy::None)
        && (names_card || gpu.count.is_some() || gpu.min_vram_mib.is_some())
    {
        problems.add(&at.key("policy"), "the policy none goes without count, min_vram_mib, uuid and index");
    }
    if gpu.prefer_wait_seconds.is_some() && gpu.policy.is_some_and(|policy| policy != GpuPolicy::Prefer) {
        problems
            .add(&at.key("prefer_wait_seconds"), "only the policy prefer waits and then takes a CPU place");
    }
    if gpu.uuid.is_some() && gpu.index.is_some() {
        problems.add(&at.key("index"), "name a card by uuid or by index, not by both");
    }
    if gpu.host.is_some() && gpu.index.is_none() {
        problems.add(&at.key("host"), "host goes with index: it says whose card is meant");
    }
    if names_card && gpu.count.is_some_and(|count| count > 1) {
        problems.add(&at.key("count"), "a named card is one card; leave out count, or uuid and index");
    }
    if gpu.strict.is_some() && !names_card {
        problems.add(&at.key("strict"), "strict goes with uuid or index: it says that no other card will do");
    }
}

fn check_params(params: Option<&Params>, at: &Pointer<'_>, problems: &mut Problems) {
    let Some(params) = params else { return };
    let bytes = params.json_bytes();
    if bytes > limit::PARAMS_BYTES {
        let most = limit::PARAMS_BYTES;
        problems
            .add(at, format!("the params have {bytes} bytes; {most} at most: upload large data as a file"));
        return;
    }
    check_object(params.as_map(), at, problems);
}

/// PostgreSQL can't store the NUL character, in keys or in values.
pub(crate) fn check_object(map: &Map<String, Value>, at: &Pointer<'_>, problems: &mut Problems) {
    for (key, value) in map {
        if key.contains('\0') {
            problems.add(at, "a key contains the NUL character");
        }
        check_value(value, &at.key(key), problems);
    }
}

fn check_value(value: &Value, at: &Pointer<'_>, problems: &mut Problems) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) if text.contains('\0') => problems.add(at, "it contains the NUL character"),
        Value::String(_) => {}
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_value(item, &at.index(index), problems);
            }
        }
        Value::Object(map) => check_object(map, at, problems),
    }
}

/// One line: something in it, not too long, no control characters.
pub(crate) fn check_line(text: &str, most: usize, at: &Pointer<'_>, problems: &mut Problems) {
    if text.trim().is_empty() {
        problems.add(at, "it is empty");
    } else if text.chars().count() > most {
        problems.add(at, format!("it has more than {most} characters"));
    }
    if text.contains('\0') {
        problems.add(at, "it contains the NUL character");
    } else if text.chars().any(char::is_control) {
        problems.add(at, "it contains a control character");
    }
}

fn check_text(text: &str, at: &Pointer<'_>, problems: &mut Problems) {
    if text.trim().is_empty() {
        problems.add(at, "it is empty; leave it out to use the directive's own text");
    }
    check_stored(text, limit::DIRECTIVE_TEXT_CHARACTERS, at, problems);
}

/// A text that the database can store: not too long, without NUL.
pub(crate) fn check_stored(text: &str, most: usize, at: &Pointer<'_>, problems: &mut Problems) {
    if text.chars().count() > most {
        problems.add(at, format!("it has more than {most} characters"));
    }
    if text.contains('\0') {
        problems.add(at, "it contains the NUL character");
    }
}

pub(crate) fn check_range<T: PartialOrd + std::fmt::Display + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    at: &Pointer<'_>,
    problems: &mut Problems,
) {
    if !range.contains(&value) {
        problems.add(at, format!("{value} is not between {} and {}", range.start(), range.end()));
    }
}
