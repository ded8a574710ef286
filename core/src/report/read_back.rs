//! For tests: reads every number and time out of a report's Markdown again, by its place in the JSON.
//!
//! Strict: a line that is not understood panics, so that no number gets past it. Knows the form of the Markdown and nothing of
//! the code that writes it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Text of numbers and times by JSON pointer, as a person reads them. Findings are numbered through all jobs.
pub type Told = BTreeMap<String, String>;

/// Times in the JSON are to a fraction of a second, in the Markdown to the second.
const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

/// What the Markdown tells.
pub fn told(markdown: &str) -> Told {
    let mut reader = Reader::default();
    for line in markdown.lines() {
        reader.line(line);
    }
    reader.told
}

/// What the JSON says, in the words of the Markdown. Sums that only the Markdown tells are worked out here.
pub fn expected(json: &Value) -> Told {
    let mut out = Told::new();
    leaves("", json, &mut out);
    let number = |at: &str| json.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    out.insert("/tokens/total".into(), (number("/tokens/prompt") + number("/tokens/completion")).to_string());
    let (mut all, mut listed) = (0, 0);
    for (at, job) in json["jobs"].as_array().into_iter().flatten().enumerate() {
        let headline = &job["headline"];
        if headline["kind"] == "log_triage" {
            all += headline["findings"].as_u64().unwrap();
            for finding in headline["top"].as_array().unwrap().iter().take(200 - listed) {
                leaves(&format!("/findings/{listed}"), finding, &mut out);
                listed += 1;
            }
            out.retain(|key, _| !key.starts_with(&format!("/jobs/{at}/headline/top/")));
        }
        if headline["kind"] == "custom" {
            for (n, value) in headline["top"].as_array().unwrap().iter().enumerate() {
                let key = format!("/jobs/{at}/headline/top/{n}/value");
                out.insert(key, plain(&value["value"]));
            }
        }
    }
    out.insert("/findings/more".into(), (all - listed as u64).to_string());
    out
}

/// Panics unless both say the same: every number of the Markdown is one of the JSON, and what the Markdown does not tell is
/// nothing.
pub fn hold(markdown: &str, json: &Value) {
    let (told, expected) = (told(markdown), expected(json));
    for (key, text) in &told {
        assert_eq!(expected.get(key), Some(text), "{key} in {markdown}\nof {json:#}");
    }
    for (key, text) in expected.iter().filter(|(key, _)| !told.contains_key(*key)) {
        assert!(
            is_untold(key) || text == "0",
            "{key} is {text}, which the Markdown does not tell:\n{markdown}"
        );
    }
}

/// Told in another form: a mark instead of a number, an end as a beginning and a length.
fn is_untold(key: &str) -> bool {
    key.ends_with("/estimated_calls") || key.starts_with("/jobs/") && key.ends_with("/finished_at")
}

fn leaves(at: &str, value: &Value, out: &mut Told) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(&format!("{at}/{name}"), field, out);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                leaves(&format!("{at}/{n}"), item, out);
            }
        }
        Value::Number(number) if at.ends_with("_ms") => {
            out.insert(at.into(), span(number.as_u64().unwrap()));
        }
        Value::Number(_) => {
            out.insert(at.into(), plain(value));
        }
        Value::String(text) if at.ends_with("_at") || at.ends_with("_seen") => {
            let time: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
            out.insert(at.into(), time.format(TIME).to_string());
        }
        Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), |n| n.to_string())
        }
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => panic!("no plain value: {value}"),
    }
}

/// Milliseconds as people say them.
fn span(ms: u64) -> String {
    let (s, m, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    if m == 0 {
        format!("{s}.{} s", ms % 1_000 / 100)
    } else if h == 0 {
        format!("{m} min {} s", s % 60)
    } else {
        format!("{h} h {} min", m % 60)
    }
}

#[derive(Default)]
struct Reader {
    told: Told,
    section: String,
    /// Rows of the table of the section.
    rows: usize,
    /// Jobs whose section has begun.
    jobs: usize,
    /// Entries of the list that a job's section is in.
    entries: usize,
}

impl Reader {
    fn tell(&mut self, key: &str, text: &str) {
        let before = self.told.insert(key.to_owned(), text.to_owned());
        assert!(before.is_none_or(|before| before == text), "{key} is told twice, differently");
    }

    fn line(&mut self, line: &str) {
        if let Some(title) = line.strip_prefix("### ") {
            let ordinal = title.split_once(". ").unwrap().0;
            self.tell(&format!("/jobs/{}/ordinal", self.jobs), ordinal);
            (self.section, self.entries) = ("Job".into(), 0);
            self.jobs += 1;
        } else if let Some(title) = line.strip_prefix("## ") {
            (self.section, self.rows) = (title.into(), 0);
        } else if line.starts_with("# ") || line.is_empty() {
            // The title has the counts in words; `counts` tells them.
        } else if line.starts_with("|--") || line.starts_with("|:") || line == "| | |" {
        } else if line.starts_with('|') {
            let cells = cells(line);
            self.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        } else if self.section == "Job" {
            self.of_job(line);
        } else if self.section == "Links" {
            assert!(line.starts_with("- ["), "{line}");
        } else {
            let words: Vec<&str> = line.split(' ').collect();
            let key = match (self.section.as_str(), &words[1..]) {
                ("Jobs", ["more", "jobs", "are", "counted", ..]) => "/jobs_left_out",
                ("Findings", ["more", "are", "in", ..]) => "/findings/more",
                ("Tokens", ["more", "lines", "are", "counted", ..]) => "/usage_left_out",
                _ => panic!("not understood in {}: {line}", self.section),
            };
            self.tell(key, words[0]);
        }
    }

    fn row(&mut self, cells: &[&str]) {
        let at = self.rows;
        self.rows += 1;
        match (self.section.as_str(), cells) {
            ("", ["Run" | "Status" | "Requested by" | "Tags", _]) => {}
            ("", ["Directive", text]) => {
                let version = text.rsplit_once(", version ").unwrap().1;
                self.tell("/directive/version", version.trim_end_matches(')'));
            }
            ("", ["Created", time]) => self.tell("/created_at", time),
            ("", ["Started", "never"]) => {}
            ("", ["Started", text]) => self.time_and_span(text, "/started_at", " (waited ", "/waited_ms"),
            ("", ["Finished", text]) if text.ends_with(')') => {
                self.time_and_span(text, "/finished_at", " (ran ", "/ran_ms");
            }
            ("", ["Finished", time]) => self.tell("/finished_at", time),
            ("", ["Jobs", text]) => {
                let words: Vec<&str> = text.split(' ').collect();
                let [success, "succeeded,", failed, "failed,", cancelled, "cancelled"] = words[..] else {
                    panic!("{text}")
                };
                for (key, count) in [("success", success), ("failed", failed), ("cancelled", cancelled)] {
                    self.tell(&format!("/counts/{key}"), count);
                }
            }
            ("Jobs" | "Findings" | "Tokens", ["#" | "Job", ..]) => self.rows = 0,
            ("Jobs", [ordinal, _, _, _, place, attempts, ran, result]) => {
                self.tell(&format!("/jobs/{at}/ordinal"), ordinal);
                self.tell(&format!("/jobs/{at}/attempts"), attempts);
                if *ran != "–" {
                    self.tell(&format!("/jobs/{at}/ran_ms"), ran);
                }
                // How many cards; the section tells each.
                let cards = place.strip_suffix(" GPUs").map_or(1, |cards| cards.parse().unwrap());
                assert!(cards > 0, "{place}");
                self.headline(at, result);
            }
            ("Findings", [_, _, _, _, _, _, count, first, last, cause @ ..]) => {
                if let [cause] = cause
                    && *cause != "–"
                {
                    let (_, percent) = cause.split_once(" (").unwrap();
                    let percent = percent.strip_suffix(" %)").unwrap();
                    self.tell(&format!("/findings/{at}/cause/confidence_percent"), percent);
                }
                self.tell(&format!("/findings/{at}/count"), count);
                for (key, time) in [("first_seen", first), ("last_seen", last)] {
                    if *time != "–" {
                        self.tell(&format!("/findings/{at}/{key}"), time);
                    }
                }
            }
            ("Tokens", ["**Run**", "", "", prompt, completion, total]) => {
                for (key, count) in [("prompt", prompt), ("completion", completion), ("total", total)] {
                    self.tell(&format!("/tokens/{key}"), count);
                }
            }
            ("Tokens", [_, _, calls, prompt, completion, total]) => {
                let total = total.strip_suffix(" (estimated)").unwrap_or(total);
                let counts =
                    [("calls", *calls), ("prompt", *prompt), ("completion", *completion), ("total", total)];
                for (key, count) in counts {
                    self.tell(&format!("/usage/{at}/{key}"), count);
                }
            }
            (section, _) => panic!("not understood in {section:?}: {cells:?}"),
        }
    }

    fn time_and_span(&mut self, text: &str, time: &str, between: &str, span: &str) {
        let (at, rest) = text.split_once(between).unwrap();
        self.tell(time, at);
        self.tell(span, rest.strip_suffix(')').unwrap());
    }

    fn of_job(&mut self, line: &str) {
        let at = self.jobs - 1;
        let entry = line.strip_prefix("  - ");
        if let Some(entry) = entry {
            let n = self.entries;
            self.entries += 1;
            if let Some(more) = entry.strip_suffix(" more") {
                self.tell(&format!("/jobs/{at}/artifacts_left_out"), more);
            } else if let Some((_, bytes)) =
                entry.strip_suffix(" bytes)").and_then(|text| text.rsplit_once(", "))
            {
                self.tell(&format!("/jobs/{at}/artifacts/{n}/size_bytes"), bytes);
            } else {
                let (_, value) = entry.rsplit_once(": ").unwrap_or_else(|| panic!("not understood: {line}"));
                self.tell(&format!("/jobs/{at}/headline/top/{n}/value"), &unescaped(value));
            }
            return;
        }
        let (label, text) = line.split_once(": ").unwrap_or((line, ""));
        match label {
            "- Job" | "- Status" | "- Why there" | "- Links" => {}
            "- Place" => {
                let cards = text.split_once(", GPU ").map_or("", |(_, cards)| cards);
                for (n, card) in cards.split(", ").filter(|card| !card.is_empty()).enumerate() {
                    let mib = card.rsplit_once(" with ").unwrap().1.strip_suffix(" MiB").unwrap();
                    self.tell(&format!("/jobs/{at}/place/gpus/{n}/reserved_mib"), mib);
                }
            }
            "- Attempts" => {
                let (attempts, rest) = text.split_once("; ").unwrap();
                self.tell(&format!("/jobs/{at}/attempts"), attempts);
                if rest != "its worker never started" {
                    let (started, ran) = rest.strip_prefix("started ").unwrap().split_once(", ran ").unwrap();
                    self.tell(&format!("/jobs/{at}/started_at"), started);
                    self.tell(&format!("/jobs/{at}/ran_ms"), ran);
                }
            }
            "- Result" => {
                self.headline(at, text);
                self.entries = 0;
            }
            "- Language model" => {
                let counts = text.split_once(';').map_or(text, |(counts, _)| counts);
                let words: Vec<&str> = counts.split(' ').collect();
                let [asked, "asked,", answered, "answered"] = words[..] else { panic!("{line}") };
                self.tell(&format!("/jobs/{at}/headline/model/asked"), asked);
                self.tell(&format!("/jobs/{at}/headline/model/answered"), answered);
            }
            "- Tokens" => {
                let words: Vec<&str> = text.split(' ').collect();
                let [prompt, "prompt,", completion, "completion"] = words[..] else { panic!("{line}") };
                self.tell(&format!("/jobs/{at}/tokens/prompt"), prompt);
                self.tell(&format!("/jobs/{at}/tokens/completion"), completion);
            }
            "- Artifacts:" => self.entries = 0,
            _ => panic!("not understood: {line}"),
        }
    }

    /// A result in one sentence, or why there is none.
    fn headline(&mut self, at: usize, text: &str) {
        if text == "–" || !text.contains(' ') {
            return;
        }
        if text == "no GPU" {
            self.tell(&format!("/jobs/{at}/headline/gpus"), "0");
            return;
        }
        let flat = text.replace([',', ':', '(', ')'], "");
        let words: Vec<&str> = flat.split(' ').collect();
        let mut numbers: Vec<(&str, &str)> = Vec::new();
        let mut n = 0;
        while n < words.len() {
            let rest = &words[n..];
            let (key, number, length) = match rest {
                ["no", "double", "booking", ..] => ("overlaps", "0", 3),
                [a, "of", b, "reserved", "seconds", "idle", ..] => {
                    numbers.push(("reserved_seconds", b));
                    ("idle_reserved_seconds", *a, 6)
                }
                [a, "finding" | "findings", "in", ..] => ("findings", *a, 3),
                [a, "entry" | "entries", "from", ..] => ("entries", *a, 3),
                [a, "container" | "containers", ..] => ("sources", *a, 2),
                [a, "error" | "errors", ..] => ("errors", *a, 2),
                [a, "warning" | "warnings", ..] => ("warnings", *a, 2),
                [a, "stack", "trace" | "traces", ..] => ("stack_traces", *a, 3),
                [a, "GPU" | "GPUs", ..] => ("gpus", *a, 2),
                [a, "sample" | "samples", ..] => ("samples", *a, 2),
                [a, "lease" | "leases", ..] => ("leases", *a, 2),
                [a, "double", "booking" | "bookings", ..] => ("overlaps", *a, 3),
                [a, "critical", "error" | "errors", ..] => ("xids", *a, 3),
                [a, "uncorrected", "memory", "error" | "errors", ..] => ("uncorrected_memory_errors", *a, 4),
                [a, "service" | "services", ..] => ("services", *a, 2),
                [a, "running", ..] => ("running", *a, 2),
                [a, "unhealthy", ..] => ("unhealthy", *a, 2),
                [a, "connection" | "connections", ..] => ("edges", *a, 2),
                [a, "network" | "networks", ..] => ("networks", *a, 2),
                [a, "change" | "changes", ..] => ("changes", *a, 2),
                [a, "value" | "values", ..] => ("values", *a, 2),
                _ => panic!("not understood: {text}"),
            };
            numbers.push((key, number));
            n += length;
        }
        for (key, number) in numbers {
            self.tell(&format!("/jobs/{at}/headline/{key}"), number);
        }
    }
}

/// The cells of a row; what is escaped does not end one.
fn cells(line: &str) -> Vec<String> {
    let (mut out, mut cell, mut escaped) = (Vec::new(), String::new(), false);
    for character in line.trim_start_matches('|').chars() {
        if character == '|' && !escaped {
            out.push(cell.trim().to_owned());
            cell.clear();
        } else {
            cell.push(character);
        }
        escaped = character == '\\' && !escaped;
    }
    assert!(cell.is_empty(), "a row that does not end: {line}");
    out
}

fn unescaped(text: &str) -> String {
    let (mut out, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    out
}
