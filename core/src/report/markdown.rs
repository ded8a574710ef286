//! The report as Markdown.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use super::{
    document::{Job, RunReport},
    facts::{Place, Tokens},
    headline::Headline,
};

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
    write_tokens(out, report)
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
    match &job.headline {
        Some(headline) => write_headline(out, headline),
        None => Ok(()),
    }
}

fn write_headline(out: &mut String, headline: &Headline) -> fmt::Result {
    writeln!(out, "- Result: {}", Escaped(&headline.to_string()))?;
    match headline {
        Headline::LogTriage { top, .. } => {
            top.iter().try_for_each(|finding| writeln!(out, "  - {}", Escaped(&finding.to_string())))
        }
        Headline::Custom { top, .. } => {
            top.iter().try_for_each(|value| writeln!(out, "  - {}", Escaped(&value.to_string())))
        }
        Headline::GpuReport { .. } | Headline::ServiceMap { .. } => Ok(()),
    }
}

fn write_tokens(out: &mut String, report: &RunReport) -> fmt::Result {
    writeln!(out, "\n## Tokens\n\n| | Prompt | Completion | Total |\n|---|---:|---:|---:|")?;
    for job in report.jobs.iter().filter(|job| job.tokens.total() > 0) {
        write_token_line(out, &Escaped(&job.name), job.tokens)?;
    }
    write_token_line(out, &"**Run**", report.tokens)
}

fn write_token_line(out: &mut String, label: &dyn fmt::Display, tokens: Tokens) -> fmt::Result {
    writeln!(out, "| {label} | {} | {} | {} |", tokens.prompt, tokens.completion, tokens.total())
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
