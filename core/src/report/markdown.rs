//! The report as Markdown.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use super::{
    document::{Job, RunReport},
    facts::{Place, Tokens},
    headline::{Headline, LikelyCause, ModelTold},
};

/// Most findings that the table of them shows.
const MAX_FINDING_ROWS: usize = 200;

/// Renders a report. Names that people chose are escaped.
#[must_use]
pub fn render(report: &RunReport) -> String {
    let mut out = String::new();
    write_report(&mut out, report).expect("writing to a String cannot fail");
    out
}

fn write_report(out: &mut String, report: &RunReport) -> fmt::Result {
    writeln!(out, "# {}\n", Escaped(&report.title))?;
    write_facts(out, report)?;
    writeln!(out, "\n## Jobs\n")?;
    write_table(out, report)?;
    for job in &report.jobs {
        write_job(out, job)?;
    }
    write_findings(out, report)?;
    write_tokens(out, report)?;
    writeln!(out, "\n## Links\n")?;
    writeln!(out, "- [This run]({})\n- [All artifacts]({})", report.links.run, report.links.artifacts)
}

fn write_facts(out: &mut String, report: &RunReport) -> fmt::Result {
    let directive = &report.directive;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| Run | `{}` |", report.run_id)?;
    writeln!(out, "| Status | {} |", report.status)?;
    writeln!(
        out,
        "| Directive | {} ({}, version {}) |",
        Escaped(&directive.name),
        directive.directive_type,
        directive.version
    )?;
    writeln!(out, "| Requested by | {} |", Escaped(&report.requested_by))?;
    if !report.tags.is_empty() {
        writeln!(out, "| Tags | {} |", Escaped(&report.tags.join(", ")))?;
    }
    writeln!(out, "| Created | {} |", Instant(report.created_at))?;
    match (report.started_at, report.waited_ms) {
        (Some(started), Some(waited)) => {
            writeln!(out, "| Started | {} (waited {}) |", Instant(started), Span(waited))?;
        }
        (Some(_) | None, Some(_) | None) => writeln!(out, "| Started | never |")?,
    }
    match report.ran_ms {
        Some(ran) => writeln!(out, "| Finished | {} (ran {}) |", Instant(report.finished_at), Span(ran))?,
        None => writeln!(out, "| Finished | {} |", Instant(report.finished_at))?,
    }
    let counts = report.counts;
    writeln!(
        out,
        "| Jobs | {} succeeded, {} failed, {} cancelled |",
        counts.success, counts.failed, counts.cancelled
    )
}

fn write_table(out: &mut String, report: &RunReport) -> fmt::Result {
    writeln!(out, "| # | Job | Status | Host | Place | Attempts | Duration | Result |")?;
    writeln!(out, "|---:|---|---|---|---|---:|---:|---|")?;
    for job in &report.jobs {
        write!(out, "| {} | {} | {} | ", job.ordinal, Escaped(&job.name), job.status)?;
        match &job.host {
            Some(host) => write!(out, "{} | ", Escaped(host))?,
            None => out.push_str("– | "),
        }
        write!(out, "{} | {} | ", PlaceWord(job.place.as_ref()), job.attempts)?;
        match job.ran_ms {
            Some(ran) => write!(out, "{} | ", Span(ran))?,
            None => out.push_str("– | "),
        }
        match (&job.failure, &job.headline) {
            (Some(failure), _) => writeln!(out, "{} |", Escaped(failure.reason.as_str()))?,
            (None, Some(headline)) => writeln!(out, "{} |", Escaped(&headline.to_string()))?,
            (None, None) => out.push_str("– |\n"),
        }
    }
    if report.jobs_left_out > 0 {
        writeln!(out, "\n{} more jobs are counted above and not listed.", report.jobs_left_out)?;
    }
    Ok(())
}

fn write_job(out: &mut String, job: &Job) -> fmt::Result {
    writeln!(out, "\n### {}. {}\n", job.ordinal, Escaped(&job.name))?;
    writeln!(out, "- Job: `{}`, run job `{}`", job.job, job.id)?;
    write!(out, "- Status: {}", job.status)?;
    if let Some(failure) = &job.failure {
        // A cancelled job's reason is its status.
        if failure.reason.as_str() != job.status.as_str() {
            write!(out, ", {}", Escaped(failure.reason.as_str()))?;
        }
        if let Some(detail) = &failure.detail {
            write!(out, ": {}", Escaped(detail))?;
        }
    }
    out.push('\n');
    match (&job.host, &job.place) {
        (Some(host), Some(Place::Gpu { gpus })) => {
            let cards: Vec<String> =
                gpus.iter().map(|gpu| format!("{} with {} MiB", gpu.uuid, gpu.reserved_mib)).collect();
            writeln!(out, "- Place: host {}, GPU {}", Escaped(host), Escaped(&cards.join(", ")))?;
        }
        (Some(host), Some(Place::Cpu | Place::CpuFallback) | None) => {
            writeln!(out, "- Place: host {}, {}", Escaped(host), PlaceWord(job.place.as_ref()))?;
        }
        (None, Some(_) | None) => writeln!(out, "- Place: none; it never got one")?,
    }
    if let Some(reason) = &job.selection_reason {
        writeln!(out, "- Why there: {}", Escaped(reason))?;
    }
    write!(out, "- Attempts: {}", job.attempts)?;
    match (job.started_at, job.ran_ms) {
        (Some(started), Some(ran)) => writeln!(out, "; started {}, ran {}", Instant(started), Span(ran))?,
        (Some(_) | None, Some(_) | None) => out.push_str("; its worker never started\n"),
    }
    if let Some(headline) = &job.headline {
        write_headline(out, headline)?;
    }
    if job.tokens.total() > 0 {
        let Tokens { prompt, completion } = job.tokens;
        writeln!(out, "- Tokens: {prompt} prompt, {completion} completion")?;
    }
    write!(out, "- Links: [run job]({})", job.links.run_job)?;
    if let Some(logs) = &job.links.logs {
        write!(out, ", [logs]({logs})")?;
    }
    out.push('\n');
    if !job.artifacts.is_empty() {
        out.push_str("- Artifacts:\n");
    }
    for artifact in &job.artifacts {
        let file = &artifact.file;
        let (name, kind) = (Escaped(&file.name), Escaped(&file.kind));
        writeln!(out, "  - [{name}]({}) ({kind}, {} bytes)", artifact.content, file.size_bytes)?;
    }
    if job.artifacts_left_out > 0 {
        writeln!(out, "  - {} more", job.artifacts_left_out)?;
    }
    Ok(())
}

/// The findings of all log triages, those of a job together, the most important first.
fn write_findings(out: &mut String, report: &RunReport) -> fmt::Result {
    let (mut all, mut found) = (0_u64, Vec::new());
    for job in &report.jobs {
        match &job.headline {
            Some(Headline::LogTriage { findings, top, .. }) => {
                all = all.saturating_add(*findings);
                found.extend(top.iter().map(|finding| (job, finding)));
            }
            Some(Headline::GpuReport { .. } | Headline::ServiceMap { .. } | Headline::Custom { .. })
            | None => {}
        }
    }
    if all == 0 {
        return Ok(());
    }
    found.truncate(MAX_FINDING_ROWS);
    writeln!(out, "\n## Findings\n")?;
    let has_causes = found.iter().any(|(_, finding)| finding.cause.is_some());
    let (title, line) = if has_causes { (" Likely cause |", "---|") } else { ("", "") };
    writeln!(
        out,
        "| Job | Finding | Severity | Novelty | Container | Host | Count | First seen | Last seen |{title}"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---:|---|---|{line}")?;
    for (job, finding) in &found {
        write!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            Escaped(&job.name),
            finding.finding.as_str().replace('_', " "),
            finding.severity,
            finding.novelty,
            Escaped(&finding.container),
            Escaped(&finding.host),
            finding.count,
            Seen(finding.first_seen),
            Seen(finding.last_seen),
        )?;
        if has_causes {
            write!(out, " {} |", Likely(finding.cause))?;
        }
        out.push('\n');
    }
    let more = all.saturating_sub(u64::try_from(found.len()).unwrap_or(u64::MAX));
    if more > 0 {
        writeln!(out, "\n{more} more are in the results of the jobs.")?;
    }
    Ok(())
}

fn write_headline(out: &mut String, headline: &Headline) -> fmt::Result {
    writeln!(out, "- Result: {}", Escaped(&headline.to_string()))?;
    match headline {
        Headline::Custom { top, .. } => {
            top.iter().try_for_each(|value| writeln!(out, "  - {}", Escaped(&value.to_string())))
        }
        // Findings have a table of their own.
        Headline::LogTriage { model: Some(ModelTold { asked, answered, failures }), .. } => {
            write!(out, "- Language model: {asked} asked, {answered} answered")?;
            let failures: Vec<&str> = failures.iter().map(|failure| failure.as_str()).collect();
            if failures.is_empty() {
                writeln!(out)
            } else {
                writeln!(out, "; failed: {}", failures.join(", "))
            }
        }
        Headline::LogTriage { model: None, .. }
        | Headline::GpuReport { .. }
        | Headline::ServiceMap { .. } => Ok(()),
    }
}

fn write_tokens(out: &mut String, report: &RunReport) -> fmt::Result {
    writeln!(out, "\n## Tokens\n\n| Job | Model | Calls | Prompt | Completion | Total |")?;
    writeln!(out, "|---|---|---:|---:|---:|---:|")?;
    for line in &report.usage {
        let estimated = if line.estimated_calls > 0 { " (estimated)" } else { "" };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {}{estimated} |",
            Escaped(&line.job),
            Escaped(&line.model),
            line.calls,
            line.prompt,
            line.completion,
            line.total,
        )?;
    }
    let Tokens { prompt, completion } = report.tokens;
    writeln!(out, "| **Run** | | | {prompt} | {completion} | {} |", report.tokens.total())?;
    if report.usage_left_out > 0 {
        writeln!(out, "\n{} more lines are counted in the last one and not listed.", report.usage_left_out)?;
    }
    Ok(())
}

/// The kind of place in a word or two.
struct PlaceWord<'a>(Option<&'a Place>);

impl fmt::Display for PlaceWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Place::Gpu { gpus }) if gpus.len() == 1 => f.write_str("GPU"),
            Some(Place::Gpu { gpus }) => write!(f, "{} GPUs", gpus.len()),
            Some(Place::Cpu) => f.write_str("CPU"),
            Some(Place::CpuFallback) => f.write_str("CPU (fallback)"),
            None => f.write_str("–"),
        }
    }
}

/// What a language model takes a finding for.
struct Likely(Option<LikelyCause>);

impl fmt::Display for Likely {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(LikelyCause { cause, confidence_percent }) => write!(f, "{cause} ({confidence_percent} %)"),
            None => f.write_str("–"),
        }
    }
}

/// When something was seen, if that is known.
struct Seen(Option<DateTime<Utc>>);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => Instant(time).fmt(f),
            None => f.write_str("–"),
        }
    }
}

/// A point in time, to the second.
struct Instant(DateTime<Utc>);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format("%Y-%m-%d %H:%M:%S UTC").fmt(f)
    }
}

/// A length of time in milliseconds, as people say it.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, "{seconds}.{} s", self.0 % 1_000 / 100),
            (0, minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
            (hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

/// A text on one line in which nothing is taken for Markdown or HTML.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = ' ';
        let mut characters = self.0.chars().peekable();
        while let Some(character) = characters.next() {
            let after = characters.peek().copied().unwrap_or(' ');
            match character {
                // Between letters it means nothing, and most names of ours have it there.
                '_' if before.is_alphanumeric() && after.is_alphanumeric() => f.write_char('_')?,
                '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' => {
                    f.write_char('\\')?;
                    f.write_char(character)?;
                }
                character if character.is_control() => f.write_char(' ')?,
                character => f.write_char(character)?,
            }
            before = character;
        }
        Ok(())
    }
}
