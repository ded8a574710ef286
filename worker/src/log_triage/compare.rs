//! What is new since an earlier result, and what has become more frequent.

use std::collections::HashMap;

use cyberbrain_core::{
    outcome::{JobResult, LogTriage, Novelty, Severity, is_rising},
    staging::{PreviousResult, Window},
};

use super::signature;

/// An earlier result, ready to be asked; or none.
pub struct Comparison<'a> {
    previous: Option<(&'a PreviousResult, &'a LogTriage)>,
    /// How often, by signature.
    signatures: HashMap<&'a str, u64>,
    /// How often, by id.
    traces: HashMap<&'a str, u64>,
    /// By host and name.
    restarts: HashMap<(&'a str, &'a str), u32>,
    spans: Option<Spans>,
}

/// How long the counts of each result are of.
#[derive(Debug, Clone, Copy)]
struct Spans {
    before_ms: u64,
    now_ms: u64,
}

impl Spans {
    fn of(before: Option<Window>, now: Option<Window>) -> Option<Self> {
        let length = |window: Window| u64::try_from((window.to - window.from).num_milliseconds()).ok();
        Some(Self { before_ms: length(before?)?, now_ms: length(now?)? })
    }
}

impl<'a> Comparison<'a> {
    /// Of this window with this earlier result. One of another job is none.
    pub fn with(previous: Option<&'a PreviousResult>, window: Option<Window>) -> Self {
        let previous = previous.and_then(|previous| match &previous.result {
            JobResult::LogTriage(triage) => Some((previous, triage)),
            JobResult::GpuReport(_) | JobResult::ServiceMap(_) | JobResult::Custom(_) => None,
        });
        let triage = previous.map(|(_, triage)| triage);
        let templates = triage.iter().flat_map(|triage| &triage.templates);
        let traces = triage.iter().flat_map(|triage| &triage.stack_traces);
        let sources = triage.iter().flat_map(|triage| &triage.sources);
        let mut signatures = HashMap::new();
        for template in templates {
            *signatures.entry(template.signature.as_str()).or_insert(0) += template.count;
        }
        Self {
            previous,
            signatures,
            traces: traces.map(|trace| (trace.id.as_str(), trace.count)).collect(),
            restarts: sources
                .map(|source| ((source.host.as_str(), source.container.as_str()), source.restarts))
                .collect(),
            spans: triage.and_then(|triage| Spans::of(triage.window, window)),
        }
    }

    /// What it compares with.
    pub fn previous(&self) -> Option<&'a PreviousResult> {
        self.previous.map(|(previous, _)| previous)
    }

    /// Whether the earlier result could not list all its templates.
    pub fn is_partial(&self) -> bool {
        self.previous.is_some_and(|(_, triage)| triage.templates_left_out > 0)
    }

    /// How often the engine had started this container again by then.
    pub fn restarts(&self, host: &str, container: &str) -> Option<u32> {
        self.restarts.get(&(host, container)).copied()
    }

    /// Of something that was there before.
    fn known(&self, before: u64, now: u64) -> Novelty {
        match self.spans {
            Some(spans) if is_rising(before, spans.before_ms, now, spans.now_ms) => Novelty::Rising,
            Some(_) | None => Novelty::Known,
        }
    }

    /// Whether the earlier result had this template, and about as often.
    pub fn template(&self, signature: &str, severity: Severity, count: u64) -> Novelty {
        let Some((_, triage)) = self.previous else { return Novelty::Uncompared };
        let alike = || {
            let templates = triage.templates.iter();
            templates
                .filter(|template| signature::matches(&template.signature, signature))
                .map(|template| template.count)
                .reduce(|one, other| one + other)
        };
        let before = self.signatures.get(signature).copied().or_else(alike);
        // The gravest are listed first: only of what is graver than the last one listed it is sure that all are.
        let all_listed = triage.templates_left_out == 0
            || triage.templates.last().is_some_and(|least| severity < least.severity);
        match (before, all_listed) {
            (Some(before), _) => self.known(before, count),
            (None, true) => Novelty::New,
            (None, false) => Novelty::Uncompared,
        }
    }

    /// Whether the earlier result had this kind of stack trace.
    pub fn trace(&self, id: &str, count: u64) -> Novelty {
        match (self.previous, self.traces.get(id)) {
            (None, _) => Novelty::Uncompared,
            (Some(_), Some(before)) => self.known(*before, count),
            (Some((_, triage)), None) if triage.stack_traces_left_out > 0 => Novelty::Uncompared,
            (Some(_), None) => Novelty::New,
        }
    }
}

/// Several things together: new if all of them are, rising if one is, else known if one is.
pub fn together(parts: impl IntoIterator<Item = Novelty>) -> Novelty {
    const fn weight(novelty: Novelty) -> u8 {
        match novelty {
            Novelty::New => 0,
            Novelty::Uncompared => 1,
            Novelty::Known => 2,
            Novelty::Rising => 3,
        }
    }
    parts.into_iter().max_by_key(|part| weight(*part)).unwrap_or(Novelty::New)
}
