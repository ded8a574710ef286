//! `templates.json`: every template and stack trace in full, for people and tools that look further.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{FindingKind, Novelty, Severity, TraceLanguage},
    staging::LogSource,
};
use serde::Serialize;

use super::{analysis::Analysis, outline::Outline, result::template_order, tally::BySource};
use crate::redact::redact;

/// Name of the artifact.
pub const FILE: &str = "templates.json";

/// The whole artifact.
#[derive(Serialize)]
pub struct Artifact {
    templates: Vec<Template>,
    stack_traces: Vec<StackTrace>,
}

#[derive(Serialize)]
struct Template {
    id: String,
    severity: Severity,
    kind: Option<FindingKind>,
    novelty: Novelty,
    template: String,
    example: String,
    #[serde(flatten)]
    seen: Seen,
}

#[derive(Serialize)]
struct StackTrace {
    id: String,
    language: TraceLanguage,
    exception: String,
    frame: String,
    novelty: Novelty,
    example: Vec<String>,
    example_line_count: u64,
    #[serde(flatten)]
    seen: Seen,
}

#[derive(Serialize)]
struct Seen {
    count: u64,
    first_seen: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
    containers: Vec<Container>,
}

#[derive(Serialize)]
struct Container {
    host: String,
    container: String,
    count: u64,
}

/// Builds it; every text of the logs in it is redacted.
pub fn build(analysis: &Analysis, outline: &Outline, sources: &[LogSource]) -> Artifact {
    let templates = template_order(analysis, outline).into_iter().map(|number| {
        let outlined = &outline.templates[number];
        let class = analysis.drain.templates()[number].class;
        Template {
            id: outlined.id.clone(),
            severity: class.severity,
            kind: class.kind,
            novelty: outlined.novelty,
            template: outlined.text.clone(),
            example: outlined.example.clone(),
            seen: seen(&analysis.templates[number].by_source, sources),
        }
    });
    let stack_traces =
        analysis.traces.iter().zip(&outline.traces).map(|((key, trace), outlined)| StackTrace {
            id: outlined.id.clone(),
            language: key.language,
            exception: key.exception.clone(),
            frame: redact(&key.frame),
            novelty: outlined.novelty,
            example: trace.example.iter().map(|line| redact(line)).collect(),
            example_line_count: trace.example_line_count,
            seen: seen(&trace.by_source, sources),
        });
    Artifact { templates: templates.collect(), stack_traces: stack_traces.collect() }
}

fn seen(by_source: &BySource, sources: &[LogSource]) -> Seen {
    let total = by_source.total();
    let container = |(source, here): (usize, super::tally::Occurrences)| Container {
        host: sources[source].host.clone(),
        container: sources[source].name.clone(),
        count: here.count,
    };
    Seen {
        count: total.count,
        first_seen: total.first,
        last_seen: total.last,
        containers: by_source.iter().map(container).collect(),
    }
}
