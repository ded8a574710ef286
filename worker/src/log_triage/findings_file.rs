//! `findings.json`: every finding in full, in the order of the report, for people and tools that look further.
//!
//! Every text of the logs in it is redacted. Bounded: [`MAX_LISTED`] findings, and of each as many messages as
//! [`MAX_MESSAGES`]; what is left out is counted.

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{FindingKind, Novelty, Severity},
    staging::LogSource,
};
use serde::Serialize;

use super::{
    analysis::Analysis,
    findings::{About, Found},
    outline::Outline,
};
use crate::redact::redact;

/// Name of the artifact.
pub const FILE: &str = "findings.json";
/// Findings that are listed.
const MAX_LISTED: usize = 2_000;
/// Messages that are listed per finding, the most frequent ones.
const MAX_MESSAGES: usize = 20;

/// The whole artifact.
#[derive(Serialize)]
pub struct FindingsFile {
    findings: Vec<Listed>,
    findings_left_out: usize,
}

#[derive(Serialize)]
struct Listed {
    /// As in the report, from 1.
    number: usize,
    kind: FindingKind,
    severity: Severity,
    novelty: Novelty,
    host: String,
    container: String,
    count: u64,
    /// Over the time that was read of this container; absent if its beginning is not known.
    per_hour: Option<f64>,
    first_seen: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
    messages: Vec<Message>,
    messages_left_out: usize,
    /// Of a stack trace, its first lines.
    stack_trace: Vec<String>,
}

#[derive(Serialize)]
struct Message {
    /// That of the template in `templates.json`.
    id: String,
    template: String,
    example: String,
    /// In this container.
    count: u64,
}

/// Builds it.
pub fn build(analysis: &Analysis, outline: &Outline, found: &[Found], sources: &[LogSource]) -> FindingsFile {
    let listed = found.iter().take(MAX_LISTED).enumerate().map(|(at, found)| {
        let finding = &found.finding;
        let numbers = match &found.about {
            About::Templates(numbers) => numbers.as_slice(),
            About::Trace(_) | About::Burst(_) | About::Container(_) => &[],
        };
        let message = |&number: &usize| {
            let outlined = &outline.templates[number];
            Message {
                id: outlined.id.clone(),
                template: outlined.text.clone(),
                example: outlined.example.clone(),
                count: analysis.templates[number].by_source.of(found.source).map_or(0, |here| here.count),
            }
        };
        let stack_trace = match &found.about {
            About::Trace(key) => analysis.traces[key].example.iter().map(|line| redact(line)).collect(),
            About::Templates(_) | About::Burst(_) | About::Container(_) => Vec::new(),
        };
        Listed {
            number: at + 1,
            kind: finding.kind,
            severity: finding.severity,
            novelty: finding.novelty,
            host: finding.host.clone(),
            container: finding.container.clone(),
            count: finding.count,
            per_hour: per_hour(finding.count, &sources[found.source]),
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            messages: numbers.iter().take(MAX_MESSAGES).map(message).collect(),
            messages_left_out: numbers.len().saturating_sub(MAX_MESSAGES),
            stack_trace,
        }
    });
    FindingsFile { findings: listed.collect(), findings_left_out: found.len().saturating_sub(MAX_LISTED) }
}

fn per_hour(count: u64, source: &LogSource) -> Option<f64> {
    let milliseconds = (source.until - source.since?).num_milliseconds();
    (milliseconds > 0).then(|| (count as f64 * 3_600_000.0 / milliseconds as f64 * 1_000.0).round() / 1_000.0)
}
