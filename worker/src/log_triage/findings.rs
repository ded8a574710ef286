//! What of all that was found deserves a person's attention, in which order.

use std::{cmp::Reverse, collections::BTreeMap};

use cyberbrain_core::{
    outcome::{Finding, FindingKind, Novelty, Severity, TraceLanguage, clean_text},
    staging::{LastExit, LogSource},
};

use super::{
    analysis::{Analysis, TraceKey},
    compare::{Comparison, together},
    drain::TemplateNumber,
    outline::Outline,
    tally::{Burst, Occurrences},
};

/// Fewer refused logins that are no errors are people who mistyped.
const AUTH_FAILURES_AT_LEAST: u64 = 3;

/// So many findings of every kind come before all others.
const FIRST_OF_KIND: usize = 5;

/// A finding and what it is about.
#[derive(Debug)]
pub struct Found {
    pub finding: Finding,
    /// Place in the log index.
    pub source: usize,
    pub about: About,
}

/// What a finding is about.
#[derive(Debug)]
pub enum About {
    /// The most frequent first; never empty.
    Templates(Vec<TemplateNumber>),
    Trace(TraceKey),
    Burst(Burst),
    /// The container itself, as the engine tells of it.
    Container(Ending),
}

/// How the engine says that a container fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// How often it was started again: since the compared result, or ever.
    pub restarts: u32,
    pub last: Option<LastExit>,
}

/// All findings, the most important first.
pub fn find(
    analysis: &Analysis,
    outline: &Outline,
    sources: &[LogSource],
    comparison: &Comparison<'_>,
) -> Vec<Found> {
    let mut found = Vec::new();
    for (source, log) in sources.iter().enumerate() {
        found.extend(from_templates(analysis, outline, source));
        found.extend(from_traces(analysis, outline, source));
        found.extend(from_bursts(analysis, source));
        found.extend(from_container(source, log, comparison));
    }
    for Found { finding, source, .. } in &mut found {
        let LogSource { host, name, .. } = &sources[*source];
        finding.host = clean_text(host);
        finding.container = clean_text(name);
    }
    found.sort_by_key(rank);
    spread(found)
}

/// The first few of every kind before the rest: a hundred stack traces must not hide the one time-out.
fn spread(found: Vec<Found>) -> Vec<Found> {
    let mut of_kind: BTreeMap<FindingKind, usize> = BTreeMap::new();
    let (mut first, rest): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|found| {
        let count = of_kind.entry(found.finding.kind).or_default();
        *count += 1;
        *count <= FIRST_OF_KIND
    });
    first.extend(rest);
    first
}

/// Urgency, then what is new, then what is graver, then what is frequent; the rest makes the order total.
fn rank(found: &Found) -> impl Ord + use<> {
    let Finding { kind, severity, novelty, count, ref subject, .. } = found.finding;
    let novelty = match novelty {
        Novelty::New => 0,
        Novelty::Rising => 1,
        Novelty::Uncompared => 2,
        Novelty::Known => 3,
    };
    (urgency(kind), novelty, severity, Reverse(count), kind, found.source, subject.clone())
}

const fn urgency(kind: FindingKind) -> u8 {
    match kind {
        FindingKind::OutOfMemory | FindingKind::DiskFull | FindingKind::CrashLoop | FindingKind::Crash => 0,
        FindingKind::StackTrace | FindingKind::ErrorBurst | FindingKind::ServerErrors => 1,
        FindingKind::AuthFailure
        | FindingKind::Timeout
        | FindingKind::ConnectionFailure
        | FindingKind::Errors => 2,
        FindingKind::NewMessage | FindingKind::RisingMessage => 3,
    }
}

/// One finding per kind; and one per message that is an error of no known kind, or new.
fn from_templates(analysis: &Analysis, outline: &Outline, source: usize) -> Vec<Found> {
    let mut kinds: Vec<(FindingKind, Vec<(TemplateNumber, Occurrences)>)> = Vec::new();
    let mut found = Vec::new();
    for (number, seen) in analysis.templates.iter().enumerate() {
        let Some(here) = seen.by_source.of(source) else { continue };
        let class = analysis.drain.templates()[number].class;
        match class.kind {
            // Told by the traces themselves.
            Some(FindingKind::StackTrace) => {}
            Some(kind) => match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, templates)) => templates.push((number, here)),
                None => kinds.push((kind, vec![(number, here)])),
            },
            None => {
                let kind = match (class.severity, outline.templates[number].novelty) {
                    (Severity::Fatal | Severity::Error, _) => FindingKind::Errors,
                    (_, Novelty::New) => FindingKind::NewMessage,
                    // More of what is no warning is more work, not more trouble.
                    (Severity::Warning, Novelty::Rising) => FindingKind::RisingMessage,
                    (_, Novelty::Rising | Novelty::Known | Novelty::Uncompared) => continue,
                };
                found.push(of_templates(analysis, outline, source, kind, vec![(number, here)]));
            }
        }
    }
    let of_kinds =
        kinds.into_iter().map(|(kind, templates)| of_templates(analysis, outline, source, kind, templates));
    found.extend(of_kinds.filter(|found| !is_trifle(&found.finding)));
    found
}

fn is_trifle(finding: &Finding) -> bool {
    finding.kind == FindingKind::AuthFailure
        && finding.severity > Severity::Error
        && finding.count < AUTH_FAILURES_AT_LEAST
}

fn of_templates(
    analysis: &Analysis,
    outline: &Outline,
    source: usize,
    kind: FindingKind,
    mut templates: Vec<(TemplateNumber, Occurrences)>,
) -> Found {
    templates.sort_by_key(|(number, here)| (Reverse(here.count), *number));
    let mut total = Occurrences::default();
    templates.iter().for_each(|(_, here)| total.merge(*here));
    let numbers: Vec<TemplateNumber> = templates.iter().map(|(number, _)| *number).collect();
    let severity = |&number: &TemplateNumber| analysis.drain.templates()[number].class.severity;
    let finding = finding(
        kind,
        numbers.iter().map(severity).min().unwrap_or(Severity::Unstated),
        together(numbers.iter().map(|&number| outline.templates[number].novelty)),
        total,
        numbers.first().map(|&number| outline.templates[number].id.clone()),
    );
    Found { finding, source, about: About::Templates(numbers) }
}

fn from_traces<'a>(
    analysis: &'a Analysis,
    outline: &'a Outline,
    source: usize,
) -> impl Iterator<Item = Found> + 'a {
    analysis.traces.iter().zip(&outline.traces).filter_map(move |((key, seen), outlined)| {
        let here = seen.by_source.of(source)?;
        let (kind, severity) = match key.language {
            TraceLanguage::Go => (FindingKind::Crash, Severity::Fatal),
            TraceLanguage::Python | TraceLanguage::Java | TraceLanguage::JavaScript | TraceLanguage::Rust => {
                (FindingKind::StackTrace, Severity::Error)
            }
        };
        let finding = finding(kind, severity, outlined.novelty, here, Some(outlined.id.clone()));
        Some(Found { finding, source, about: About::Trace(key.clone()) })
    })
}

fn from_bursts(analysis: &Analysis, source: usize) -> impl Iterator<Item = Found> {
    analysis.sources[source].bursts().into_iter().map(move |burst| {
        let seen = Occurrences { count: burst.count, first: Some(burst.from), last: Some(burst.to) };
        // That there was a burst before says nothing about this one.
        let finding = finding(FindingKind::ErrorBurst, Severity::Error, Novelty::Uncompared, seen, None);
        Found { finding, source, about: About::Burst(burst) }
    })
}

/// So many restarts are no accident.
const CRASH_LOOP_AT_LEAST: u32 = 3;

/// What the engine tells: a container that is started again and again, and one that the kernel killed for its memory. Its log
/// may say nothing of either.
fn from_container(
    source: usize,
    log: &LogSource,
    comparison: &Comparison<'_>,
) -> impl Iterator<Item = Found> + use<> {
    let before = comparison.restarts(&clean_text(&log.host), &clean_text(&log.name));
    // A container that was made anew counts from zero again.
    let restarts = before.filter(|before| *before <= log.restart_count);
    let restarts = restarts.map_or(log.restart_count, |before| log.restart_count - before);
    let in_window = |exit: &LastExit| exit.at < log.until && log.since.is_none_or(|since| exit.at >= since);
    let last = log.last_exit.filter(in_window);
    let about = Ending { restarts, last: log.last_exit };
    let seen = |count| Occurrences { count, first: last.map(|exit| exit.at), last: last.map(|exit| exit.at) };
    // Restarts of long ago are told by their time: the last one must lie in the window.
    let looping = (restarts >= CRASH_LOOP_AT_LEAST && last.is_some()).then(|| {
        let novelty = match (comparison.previous(), before) {
            (None, _) => Novelty::Uncompared,
            (Some(_), Some(before)) if before >= CRASH_LOOP_AT_LEAST => Novelty::Known,
            (Some(_), _) => Novelty::New,
        };
        finding(FindingKind::CrashLoop, Severity::Fatal, novelty, seen(u64::from(restarts)), None)
    });
    let killed = last
        .filter(|exit| exit.out_of_memory)
        .map(|_| finding(FindingKind::OutOfMemory, Severity::Fatal, Novelty::Uncompared, seen(1), None));
    looping.into_iter().chain(killed).map(move |finding| Found {
        finding,
        source,
        about: About::Container(about),
    })
}

/// A finding whose place is filled in later.
fn finding(
    kind: FindingKind,
    severity: Severity,
    novelty: Novelty,
    seen: Occurrences,
    subject: Option<String>,
) -> Finding {
    Finding {
        kind,
        severity,
        novelty,
        host: String::new(),
        container: String::new(),
        count: seen.count,
        first_seen: seen.first,
        last_seen: seen.last,
        subject,
    }
}

#[cfg(test)]
#[path = "findings_test.rs"]
mod tests;
