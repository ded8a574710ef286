//! What log triage tells, held against the logs as the engine has them.

use std::collections::BTreeMap;

use cyberbrain_core::outcome::FindingKind;

use super::{
    landscape::{Landscape, Line},
    markdown::{number, table},
    model,
    outcome::{Outcome, count},
    truth::{Counts, Finding, counts},
};

/// Each container and the lines that must have been read of it.
pub type Read<'a> = BTreeMap<&'a str, Vec<Line>>;

/// All containers and all that is in their logs.
pub fn everything(planted: &Landscape) -> Read<'_> {
    planted.names().into_iter().map(|name| (name, planted.lines(name))).collect()
}

/// Every number of the result, of its own report, and of the Run's report.
pub async fn holds(outcome: &Outcome, read: &Read<'_>, expected: &[Finding]) {
    let result = outcome.result("log_triage").await;
    let own = outcome.artifact("log_triage", "report.md").await;
    let truth: BTreeMap<&str, Counts> = read.iter().map(|(name, lines)| (*name, counts(lines))).collect();
    containers(&result, &own, &truth);
    findings(outcome, &result, &own, expected);
    messages(&result, &own, &truth);
    headline(outcome, &truth, expected);
}

fn containers(result: &serde_json::Value, own: &str, truth: &BTreeMap<&str, Counts>) {
    let sources = result["sources"].as_array().unwrap();
    assert_eq!(sources.len(), truth.len(), "{sources:#?}");
    let rows = table(own, "## Containers");
    assert_eq!(rows.len(), truth.len());
    for (name, truly) in truth {
        let source = sources.iter().find(|source| source["container"] == *name).unwrap();
        assert_eq!((count(&source["lines"]), count(&source["bytes"])), (truly.lines, truly.bytes), "{name}");
        let row = rows.iter().find(|row| row["Container"] == *name).unwrap();
        assert_eq!(number(&row["Lines"]), truly.lines, "{name}");
        for severity in ["fatal", "error", "warning", "info", "debug", "unstated"] {
            let expected = truly.by_severity.get(severity).copied().unwrap_or_default();
            assert_eq!(count(&source["severities"][severity]), expected, "{severity} of {name}");
            let column = severity[..1].to_uppercase() + &severity[1..];
            assert_eq!(number(&row[&column]), expected, "{severity} of {name}");
            // Nothing was planted that is a stack trace, or that has to be left out.
            assert_eq!(number(&row["Stack traces"]), 0);
            assert_eq!((&source["dropped_lines"], &source["reading"]), (&0.into(), &"complete".into()));
        }
    }
    let sum = |of: fn(&Counts) -> u64| truth.values().map(of).sum::<u64>();
    assert_eq!(count(&result["lines"]), sum(|truly| truly.lines));
    assert_eq!(count(&result["entries"]), sum(|truly| truly.lines), "no line is joined to another");
    assert_eq!(count(&result["bytes"]), sum(|truly| truly.bytes));
    assert_eq!(count(&result["malformed_lines"]) + count(&result["cut_lines"]), 0);
}

fn findings(outcome: &Outcome, result: &serde_json::Value, own: &str, expected: &[Finding]) {
    let told = |list: &serde_json::Value, kind: &str| -> Vec<Finding> {
        let finding = |finding: &serde_json::Value| {
            let text = |key: &str| finding[key].as_str().unwrap().to_owned();
            (text(kind), text("container"), count(&finding["count"]))
        };
        list.as_array().unwrap().iter().map(finding).collect()
    };
    let in_order = told(&result["findings"], "kind");
    let mut sorted = in_order.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "what is found is what was planted");
    assert_eq!(told(&outcome.job("log_triage")["headline"]["top"], "finding"), in_order);
    let rows = table(&outcome.markdown, "## Findings");
    let rows: Vec<Finding> = rows
        .iter()
        .map(|row| (row["Finding"].replace(' ', "_"), row["Container"].clone(), number(&row["Count"])))
        .collect();
    assert_eq!(rows, in_order, "the report of the Run");
    let rows = table(own, "## Findings");
    let rows: Vec<(String, u64)> =
        rows.iter().map(|row| (row["Container"].clone(), number(&row["Entries"]))).collect();
    let of_order: Vec<(String, u64)> = in_order.iter().map(|found| (found.1.clone(), found.2)).collect();
    assert_eq!(rows, of_order, "the report of the job");
    let urgent = |kind: &str| FindingKind::ALL.iter().position(|known| known.as_str() == kind).unwrap();
    let crash = urgent("crash");
    let first_mild = in_order.iter().position(|found| urgent(&found.0) > crash).unwrap_or(in_order.len());
    assert!(in_order[first_mild..].iter().all(|found| urgent(&found.0) > crash), "the urgent first");
}

/// The kinds of message: each entry is of exactly one, with the severity that it has.
fn messages(result: &serde_json::Value, own: &str, truth: &BTreeMap<&str, Counts>) {
    let mut truly: BTreeMap<&str, u64> = BTreeMap::new();
    for counts in truth.values() {
        for (severity, times) in &counts.by_severity {
            *truly.entry(severity).or_default() += times;
        }
    }
    let mut in_result: BTreeMap<&str, u64> = BTreeMap::new();
    for template in result["templates"].as_array().unwrap() {
        *in_result.entry(template["severity"].as_str().unwrap()).or_default() += count(&template["count"]);
    }
    assert_eq!(in_result, truly, "every entry is of one kind of message");
    let rows = table(own, "## Messages");
    let mut in_report: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &rows {
        *in_report.entry(&row["Severity"]).or_default() += number(&row["Count"]);
    }
    assert_eq!(in_report, truly, "all kinds fit the table of the report");
}

fn headline(outcome: &Outcome, truth: &BTreeMap<&str, Counts>, expected: &[Finding]) {
    let of = |severities: &[&str]| -> u64 {
        let each =
            truth.values().flat_map(|truly| severities.iter().filter_map(|s| truly.by_severity.get(s)));
        each.sum()
    };
    let (entries, sources) = (truth.values().map(|truly| truly.lines).sum::<u64>(), truth.len() as u64);
    let headline = &outcome.job("log_triage")["headline"];
    for (key, expected) in [
        ("entries", entries),
        ("sources", sources),
        ("errors", of(&["fatal", "error"])),
        ("warnings", of(&["warning"])),
        ("stack_traces", 0),
        ("findings", expected.len() as u64),
    ] {
        assert_eq!(count(&headline[key]), expected, "{key} of {headline}");
    }
    let said = |times: u64, one: &str, many: &str| format!("{times} {}", if times == 1 { one } else { many });
    let sentence = format!(
        "{} in {} from {}: {}, {}, 0 stack traces",
        said(expected.len() as u64, "finding", "findings"),
        said(entries, "entry", "entries"),
        said(sources, "container", "containers"),
        said(of(&["fatal", "error"]), "error", "errors"),
        said(of(&["warning"]), "warning", "warnings"),
    );
    assert!(outcome.markdown.contains(&sentence), "{sentence}\n{}", outcome.markdown);
}

/// What the model made of the first ten findings.
pub async fn has_opinions(outcome: &Outcome) {
    let result = outcome.result("log_triage").await;
    let own = outcome.artifact("log_triage", "report.md").await;
    let findings = result["findings"].as_array().unwrap();
    let asked = findings.len().min(10);
    assert_eq!(result["model"]["use"], "asked");
    assert_eq!(count(&result["model"]["asked"]), asked as u64);
    assert_eq!(result["model"]["failures"], serde_json::json!([]));
    let causes = result["model"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), asked);
    let headline = &outcome.job("log_triage")["headline"];
    assert_eq!(headline["model"], serde_json::json!({"asked": asked, "answered": asked, "failures": []}));
    let line = format!("- Language model: {asked} asked, {asked} answered\n");
    assert!(outcome.markdown.contains(&line), "{}", outcome.markdown);
    let rows = table(&outcome.markdown, "## Findings");
    for (at, (finding, said)) in findings.iter().zip(causes).enumerate() {
        let (cause, percent) = model::opinion(finding["kind"].as_str().unwrap());
        let expected = serde_json::json!({"finding": at + 1, "cause": cause, "confidence_percent": percent});
        assert_eq!(*said, expected);
        let expected = serde_json::json!({"cause": cause, "confidence_percent": percent});
        assert_eq!(headline["top"][at]["cause"], expected);
        assert_eq!(rows[at]["Likely cause"], format!("{cause} ({percent} %)"));
        assert!(own.contains(&format!("takes it for **{cause}** ({percent} % sure)")), "{own}");
    }
}
