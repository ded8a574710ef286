//! `validate`: whether a parsed result keeps the limits that make it fit to be stored.

use super::{
    AskFailure, CustomResult, CustomValue, Finding, GpuReport, GpuSummary, JobResult, LogTriage, MAX_CHANGES,
    MAX_CUSTOM_VALUES, MAX_EDGES, MAX_FINDINGS, MAX_GPU_RUN_JOBS, MAX_GPUS, MAX_OVERLAPS, MAX_SERVICES,
    MAX_SOURCES, MAX_STACK_TRACES, MAX_TEMPLATES, MAX_TEXT_CHARACTERS, Problem, ServiceMap, ServiceSummary,
    text::is_forbidden,
};

/// Longest name of a custom value, and longest [`CustomValue::Name`].
const MAX_NAME_CHARACTERS: usize = 64;

/// Checks what the types cannot say: lengths, printable texts, names, finite numbers.
///
/// # Errors
/// The first problem found.
pub fn validate(result: &JobResult) -> Result<(), Problem> {
    match result {
        JobResult::LogTriage(triage) => log_triage(triage),
        JobResult::GpuReport(report) => gpu_report(report),
        JobResult::ServiceMap(map) => service_map(map),
        JobResult::Custom(custom) => custom_result(custom),
    }
}

fn log_triage(triage: &LogTriage) -> Result<(), Problem> {
    count("sources", triage.sources.len(), MAX_SOURCES)?;
    count("templates", triage.templates.len(), MAX_TEMPLATES)?;
    count("stack_traces", triage.stack_traces.len(), MAX_STACK_TRACES)?;
    count("findings", triage.findings.len(), MAX_FINDINGS)?;
    for (at, source) in triage.sources.iter().enumerate() {
        text("sources.host", Some(at), &source.host)?;
        text("sources.container", Some(at), &source.container)?;
    }
    for (at, template) in triage.templates.iter().enumerate() {
        name("templates.id", Some(at), &template.id)?;
        text("templates.signature", Some(at), &template.signature)?;
        if template.signature.contains(' ') {
            return Err(Problem::NotAName { field: "templates.signature", at: Some(at) });
        }
    }
    for (at, trace) in triage.stack_traces.iter().enumerate() {
        name("stack_traces.id", Some(at), &trace.id)?;
        text("stack_traces.exception", Some(at), &trace.exception)?;
        if trace.exception.contains(' ') {
            return Err(Problem::NotAName { field: "stack_traces.exception", at: Some(at) });
        }
    }
    count("model.causes", triage.model.causes.len(), MAX_FINDINGS)?;
    count("model.failures", triage.model.failures.len(), AskFailure::ALL.len())?;
    if let Some(at) = triage.model.causes.iter().position(|cause| cause.confidence_percent > 100) {
        return Err(Problem::NotFinite { field: "model.causes.confidence_percent", at: Some(at) });
    }
    triage.findings.iter().enumerate().try_for_each(|(at, found)| finding(at, found))
}

fn finding(at: usize, finding: &Finding) -> Result<(), Problem> {
    text("findings.host", Some(at), &finding.host)?;
    text("findings.container", Some(at), &finding.container)?;
    finding.subject.as_deref().map_or(Ok(()), |subject| name("findings.subject", Some(at), subject))
}

fn gpu_report(report: &GpuReport) -> Result<(), Problem> {
    count("gpus", report.gpus.len(), MAX_GPUS)?;
    count("overlaps", report.overlaps.len(), MAX_OVERLAPS)?;
    for (at, overlap) in report.overlaps.iter().enumerate() {
        text("overlaps.uuid", Some(at), overlap.uuid.as_str())?;
    }
    report.gpus.iter().enumerate().try_for_each(|(at, gpu)| gpu_summary(at, gpu))
}

fn gpu_summary(at: usize, gpu: &GpuSummary) -> Result<(), Problem> {
    text("gpus.uuid", Some(at), gpu.uuid.as_str())?;
    text("gpus.host", Some(at), &gpu.host)?;
    text("gpus.model", Some(at), &gpu.model)?;
    count("gpus.run_jobs", gpu.run_jobs.len(), MAX_GPU_RUN_JOBS)?;
    let means = [
        ("gpus.used_mib.mean", gpu.used_mib.map(|spread| spread.mean)),
        ("gpus.reserved_mib.mean", gpu.reserved_mib.map(|spread| spread.mean)),
        ("gpus.foreign_mib.mean", gpu.foreign_mib.map(|spread| spread.mean)),
        ("gpus.utilization_percent.mean", gpu.utilization_percent.map(|spread| spread.mean)),
    ];
    means.into_iter().try_for_each(|(field, mean)| finite(field, Some(at), mean.unwrap_or(0.0)))
}

fn service_map(map: &ServiceMap) -> Result<(), Problem> {
    text("host", None, &map.host)?;
    count("services", map.services.len(), MAX_SERVICES)?;
    count("edges", map.edges.len(), MAX_EDGES)?;
    count("changes", map.changes.len(), MAX_CHANGES)?;
    map.services.iter().enumerate().try_for_each(|(at, service)| service_summary(at, service))?;
    for (at, change) in map.changes.iter().enumerate() {
        text("changes.name", Some(at), &change.name)?;
    }
    for (at, edge) in map.edges.iter().enumerate() {
        text("edges.network", Some(at), edge.network.as_deref().unwrap_or(""))?;
        for service in [edge.from, edge.to] {
            if service as usize >= map.services.len() {
                return Err(Problem::NoSuchService { at, service });
            }
        }
    }
    Ok(())
}

fn service_summary(at: usize, service: &ServiceSummary) -> Result<(), Problem> {
    text("services.id", Some(at), &service.id)?;
    text("services.name", Some(at), &service.name)?;
    text("services.image", Some(at), &service.image)?;
    text("services.image_id", Some(at), &service.image_id)?;
    text("services.compose_project", Some(at), service.compose_project.as_deref().unwrap_or(""))?;
    text("services.compose_service", Some(at), service.compose_service.as_deref().unwrap_or(""))
}

fn custom_result(custom: &CustomResult) -> Result<(), Problem> {
    count("values", custom.values.len(), MAX_CUSTOM_VALUES)?;
    for (at, (key, value)) in custom.values.iter().enumerate() {
        let begins_well = key.starts_with(|first: char| first.is_ascii_lowercase());
        let fits = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !begins_well || !fits {
            return Err(Problem::NotAName { field: "values", at: Some(at) });
        }
        bounded("values", Some(at), key, MAX_NAME_CHARACTERS)?;
        match value {
            CustomValue::Bool(_) | CustomValue::Integer(_) => {}
            CustomValue::Number(number) => finite("values", Some(at), *number)?,
            CustomValue::Name(value) => name("values", Some(at), value)?,
        }
    }
    Ok(())
}

fn text(field: &'static str, at: Option<usize>, value: &str) -> Result<(), Problem> {
    if value.chars().any(is_forbidden) {
        return Err(Problem::Unprintable { field, at });
    }
    bounded(field, at, value, MAX_TEXT_CHARACTERS)
}

fn name(field: &'static str, at: Option<usize>, value: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if value.is_empty() || !value.chars().all(fits) {
        return Err(Problem::NotAName { field, at });
    }
    bounded(field, at, value, MAX_NAME_CHARACTERS)
}

fn bounded(field: &'static str, at: Option<usize>, value: &str, limit: usize) -> Result<(), Problem> {
    let length = value.chars().count();
    if length > limit { Err(Problem::TooLong { field, at, length, limit }) } else { Ok(()) }
}

fn count(field: &'static str, length: usize, limit: usize) -> Result<(), Problem> {
    if length > limit { Err(Problem::TooMany { field, length, limit }) } else { Ok(()) }
}

fn finite(field: &'static str, at: Option<usize>, number: f64) -> Result<(), Problem> {
    if number.is_finite() { Ok(()) } else { Err(Problem::NotFinite { field, at }) }
}

#[cfg(test)]
#[path = "validate_test.rs"]
mod tests;
