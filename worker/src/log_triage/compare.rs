//! What is new since an earlier result.

use std::collections::HashSet;

use cyberbrain_core::{
    outcome::{JobResult, LogTriage, Novelty, Severity},
    staging::PreviousResult,
};

use super::signature;

/// An earlier result, ready to be asked; or none.
pub struct Comparison<'a> {
    previous: Option<(&'a PreviousResult, &'a LogTriage)>,
    signatures: HashSet<&'a str>,
    traces: HashSet<&'a str>,
}

impl<'a> Comparison<'a> {
    /// With this earlier result. One of another job is none.
    pub fn with(previous: Option<&'a PreviousResult>) -> Self {
        let previous = previous.and_then(|previous| match &previous.result {
            JobResult::LogTriage(triage) => Some((previous, triage)),
            JobResult::GpuReport(_) | JobResult::ServiceMap(_) | JobResult::Custom(_) => None,
        });
        let triage = previous.map(|(_, triage)| triage);
        let templates = triage.iter().flat_map(|triage| &triage.templates);
        let traces = triage.iter().flat_map(|triage| &triage.stack_traces);
        Self {
            previous,
            signatures: templates.map(|template| template.signature.as_str()).collect(),
            traces: traces.map(|trace| trace.id.as_str()).collect(),
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

    /// Whether the earlier result had this template.
    pub fn template(&self, signature: &str, severity: Severity) -> Novelty {
        let Some((_, triage)) = self.previous else { return Novelty::Uncompared };
        let known = self.signatures.contains(signature)
            || triage.templates.iter().any(|template| signature::matches(&template.signature, signature));
        // The gravest are listed first: only of what is graver than the last one listed it is sure that all are.
        let all_listed = triage.templates_left_out == 0
            || triage.templates.last().is_some_and(|least| severity < least.severity);
        match (known, all_listed) {
            (true, _) => Novelty::Known,
            (false, true) => Novelty::New,
            (false, false) => Novelty::Uncompared,
        }
    }

    /// Whether the earlier result had this kind of stack trace.
    pub fn trace(&self, id: &str) -> Novelty {
        match self.previous {
            None => Novelty::Uncompared,
            Some(_) if self.traces.contains(id) => Novelty::Known,
            Some((_, triage)) if triage.stack_traces_left_out > 0 => Novelty::Uncompared,
            Some(_) => Novelty::New,
        }
    }
}

/// Several things together: new if all of them are, known if one is.
pub fn together(parts: impl IntoIterator<Item = Novelty>) -> Novelty {
    let mut out = Novelty::New;
    for part in parts {
        match part {
            Novelty::Known => return Novelty::Known,
            Novelty::Uncompared => out = Novelty::Uncompared,
            Novelty::New => {}
        }
    }
    out
}
