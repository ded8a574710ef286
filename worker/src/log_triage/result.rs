//! The typed result: counts, ids and closed kinds within the limits, and no word of the logs.

use std::cmp::Reverse;

use cyberbrain_core::{
    outcome::{
        JobResult, LogTriage, MAX_FINDINGS, MAX_SOURCES, MAX_STACK_TRACES, MAX_TEMPLATES, ModelOpinion,
        Severity, SeverityCounts, SourceSummary, StackTraceCount, TemplateCount, clean_text,
    },
    staging::{LogIndex, LogSource, Window},
};

use super::{
    analysis::Analysis, compare::Comparison, drain::TemplateNumber, findings::Found, outline::Outline,
};
use crate::{
    error::Error,
    files::{self, shorten},
};

/// Builds the result. Its lists are shortened until it is small enough, which only a host with hundreds of
/// containers of very long names needs.
pub fn build(
    analysis: &Analysis,
    outline: &Outline,
    found: &[Found],
    comparison: &Comparison<'_>,
    index: &LogIndex,
    model: ModelOpinion,
    window: Option<Window>,
) -> Result<JobResult, Error> {
    let total = |count: fn(&super::analysis::SourceTally) -> u64| analysis.sources.iter().map(count).sum();
    let mut severities = SeverityCounts::default();
    for tally in &analysis.sources {
        Severity::ALL.iter().for_each(|&severity| severities.add(severity, tally.severities.of(severity)));
    }
    let mut triage = LogTriage {
        window,
        compared_with: comparison.previous().map(|previous| previous.run_id),
        entries: total(|tally| tally.entries),
        lines: total(|tally| tally.lines),
        bytes: total(|tally| tally.bytes),
        malformed_lines: total(|tally| tally.malformed_lines),
        cut_lines: total(|tally| tally.cut_lines),
        severities,
        sources: source_summaries(analysis, &index.sources),
        sources_left_out: 0,
        containers_left_out: index.left_out.count,
        templates: templates(analysis, outline),
        templates_left_out: 0,
        untemplated_entries: analysis.untemplated_entries,
        stack_traces: stack_traces(analysis, outline),
        stack_traces_left_out: analysis.untold_traces,
        findings: found.iter().map(|found| found.finding.clone()).collect(),
        findings_left_out: 0,
        model,
    };
    shorten(&mut triage.sources, MAX_SOURCES, &mut triage.sources_left_out);
    shorten(&mut triage.templates, MAX_TEMPLATES, &mut triage.templates_left_out);
    shorten(&mut triage.stack_traces, MAX_STACK_TRACES, &mut triage.stack_traces_left_out);
    shorten(&mut triage.findings, MAX_FINDINGS, &mut triage.findings_left_out);
    files::fit(JobResult::LogTriage(triage), |result| {
        if let JobResult::LogTriage(triage) = result {
            let halves =
                [triage.sources.len(), triage.templates.len(), triage.findings.len()].map(|all| all / 2);
            shorten(&mut triage.sources, halves[0], &mut triage.sources_left_out);
            shorten(&mut triage.templates, halves[1], &mut triage.templates_left_out);
            shorten(&mut triage.findings, halves[2], &mut triage.findings_left_out);
        }
    })
}

/// The templates in the order in which they are listed: the gravest, most frequent first.
pub fn template_order(analysis: &Analysis, outline: &Outline) -> Vec<TemplateNumber> {
    let mut order: Vec<TemplateNumber> = (0..outline.templates.len()).collect();
    let severity = |number: TemplateNumber| analysis.drain.templates()[number].class.severity;
    order.sort_by_key(|&number| (severity(number), Reverse(outline.templates[number].count), number));
    order
}

fn templates(analysis: &Analysis, outline: &Outline) -> Vec<TemplateCount> {
    let count = |number: TemplateNumber| {
        let outlined = &outline.templates[number];
        TemplateCount {
            id: outlined.id.clone(),
            signature: outlined.signature.clone(),
            severity: analysis.drain.templates()[number].class.severity,
            count: outlined.count,
            novelty: outlined.novelty,
        }
    };
    template_order(analysis, outline).into_iter().map(count).collect()
}

fn stack_traces(analysis: &Analysis, outline: &Outline) -> Vec<StackTraceCount> {
    let count =
        |(key, outlined): (&super::analysis::TraceKey, &super::outline::TraceOutline)| StackTraceCount {
            id: outlined.id.clone(),
            language: key.language,
            exception: clean_text(&key.exception).replace(' ', "_"),
            count: outlined.count,
        };
    let mut traces: Vec<StackTraceCount> = analysis.traces.keys().zip(&outline.traces).map(count).collect();
    traces.sort_by(|a, b| (Reverse(a.count), &a.id).cmp(&(Reverse(b.count), &b.id)));
    traces
}

fn source_summaries(analysis: &Analysis, sources: &[LogSource]) -> Vec<SourceSummary> {
    let summary = |(tally, source): (&super::analysis::SourceTally, &LogSource)| SourceSummary {
        host: clean_text(&source.host),
        container: clean_text(&source.name),
        lines: tally.lines,
        bytes: tally.bytes,
        dropped_bytes: source.dropped_bytes,
        dropped_lines: source.dropped_lines,
        reading: source.reading,
        restarts: source.restart_count,
        severities: tally.severities,
        stack_traces: tally.stack_traces,
    };
    let mut summaries: Vec<SourceSummary> = analysis.sources.iter().zip(sources).map(summary).collect();
    let errors = |counts: SeverityCounts| counts.fatal + counts.error;
    summaries.sort_by_key(|summary| Reverse(errors(summary.severities)));
    summaries
}
