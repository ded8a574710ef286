//! Names, fingerprints and readable texts of what was found: everything that is derived once and used by
//! findings, result, report and artifact alike.

use cyberbrain_core::outcome::Novelty;

use super::{analysis::Analysis, compare::Comparison, signature};
use crate::redact::redact;

/// Derived facts, in the order of what they belong to.
pub struct Outline {
    /// By number of the template.
    pub templates: Vec<TemplateOutline>,
    /// In the order of [`Analysis::traces`].
    pub traces: Vec<TraceOutline>,
}

pub struct TemplateOutline {
    pub id: String,
    pub signature: String,
    pub novelty: Novelty,
    /// Fit to be shown.
    pub text: String,
    /// Fit to be shown.
    pub example: String,
    pub count: u64,
}

pub struct TraceOutline {
    pub id: String,
    pub novelty: Novelty,
    pub count: u64,
}

/// Derives them.
pub fn outline(analysis: &Analysis, comparison: &Comparison<'_>) -> Outline {
    let templates = analysis.drain.templates().iter().zip(&analysis.templates).map(|(template, seen)| {
        let words = || template.words.iter().map(AsRef::as_ref);
        let text = words().collect::<Vec<&str>>().join(" ");
        let signature = signature::signature(words());
        let class = template.class;
        let kind = class.kind.map_or("", |kind| kind.as_str());
        TemplateOutline {
            id: signature::id(&[class.severity.as_str(), kind, &text]),
            novelty: comparison.template(&signature, class.severity, seen.by_source.total().count),
            signature,
            text: redact(&text),
            example: redact(&seen.example),
            count: seen.by_source.total().count,
        }
    });
    let traces = analysis.traces.iter().map(|(key, seen)| {
        let id = signature::id(&[key.language.as_str(), &key.exception, &key.frame]);
        let count = seen.by_source.total().count;
        TraceOutline { novelty: comparison.trace(&id, count), id, count }
    });
    Outline { templates: templates.collect(), traces: traces.collect() }
}
