//! The result of `log_triage`: counts and closed kinds. The words of the logs are in the report only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ModelOpinion;
use crate::{
    ids::RunId,
    staging::{LogReading, Window},
    text_enum,
};

/// Most log sources listed in one result.
pub const MAX_SOURCES: usize = 150;
/// Most message templates listed in one result.
pub const MAX_TEMPLATES: usize = 600;
/// Most kinds of stack trace listed in one result.
pub const MAX_STACK_TRACES: usize = 40;
/// Most findings in one result.
pub const MAX_FINDINGS: usize = 60;

/// What a pass over the staged logs found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTriage {
    /// What time span was asked for, if one was.
    pub window: Option<Window>,
    /// The run whose result this one was compared with; absent if there was none.
    pub compared_with: Option<RunId>,
    /// Log entries: lines, where the lines of one stack trace count once.
    pub entries: u64,
    pub lines: u64,
    pub bytes: u64,
    /// Lines without the staged form; read as text without a time.
    pub malformed_lines: u64,
    /// Lines that were cut because they are too long.
    pub cut_lines: u64,
    pub severities: SeverityCounts,
    /// Those with the most errors first.
    pub sources: Vec<SourceSummary>,
    pub sources_left_out: u64,
    /// Containers that were not read at all, for want of room or time.
    #[serde(default)]
    pub containers_left_out: u64,
    /// The gravest and most frequent first.
    pub templates: Vec<TemplateCount>,
    /// Found but not listed.
    pub templates_left_out: u64,
    /// Entries that came when the table of templates was full and that fit none of it.
    pub untemplated_entries: u64,
    pub stack_traces: Vec<StackTraceCount>,
    pub stack_traces_left_out: u64,
    /// The most important first.
    pub findings: Vec<Finding>,
    pub findings_left_out: u64,
    /// What a language model made of the first of them.
    #[serde(default)]
    pub model: ModelOpinion,
}

text_enum! {
    /// How grave a log entry says it is, gravest first.
    Severity("severity") {
        /// Also critical, alert, emergency and panic.
        Fatal = "fatal",
        Error = "error",
        Warning = "warning",
        /// Also notice.
        Info = "info",
        /// Also trace.
        Debug = "debug",
        /// It does not say.
        Unstated = "unstated",
    }
}

/// Entries by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityCounts {
    pub fatal: u64,
    pub error: u64,
    pub warning: u64,
    pub info: u64,
    pub debug: u64,
    pub unstated: u64,
}

impl SeverityCounts {
    /// How many entries of this severity.
    #[must_use]
    pub const fn of(self, severity: Severity) -> u64 {
        match severity {
            Severity::Fatal => self.fatal,
            Severity::Error => self.error,
            Severity::Warning => self.warning,
            Severity::Info => self.info,
            Severity::Debug => self.debug,
            Severity::Unstated => self.unstated,
        }
    }

    /// Counts entries of this severity.
    pub const fn add(&mut self, severity: Severity, count: u64) {
        let counter = match severity {
            Severity::Fatal => &mut self.fatal,
            Severity::Error => &mut self.error,
            Severity::Warning => &mut self.warning,
            Severity::Info => &mut self.info,
            Severity::Debug => &mut self.debug,
            Severity::Unstated => &mut self.unstated,
        };
        *counter = counter.saturating_add(count);
    }

    /// All entries.
    #[must_use]
    pub fn total(self) -> u64 {
        Severity::ALL.iter().map(|&severity| self.of(severity)).sum()
    }
}

/// One container's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSummary {
    pub host: String,
    pub container: String,
    pub lines: u64,
    pub bytes: u64,
    /// What staging had to leave out of its log.
    pub dropped_bytes: u64,
    #[serde(default)]
    pub dropped_lines: u64,
    #[serde(default)]
    pub reading: LogReading,
    /// How often the engine has started it again, ever.
    #[serde(default)]
    pub restarts: u32,
    pub severities: SeverityCounts,
    pub stack_traces: u64,
}

text_enum! {
    /// Whether something was there before.
    Novelty("novelty") {
        /// Not in the result that this one was compared with.
        New = "new",
        /// It was there, but so much rarer that chance does not explain it.
        Rising = "rising",
        Known = "known",
        /// There was nothing to compare with.
        Uncompared = "uncompared",
    }
}

/// How often one message template occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateCount {
    /// Derived from the template's text: the same template has the same id in every run.
    pub id: String,
    /// One short hash per word of the template, `***` for a variable one: enough to recognise the template
    /// in a later run, not enough to read it.
    pub signature: String,
    pub severity: Severity,
    pub count: u64,
    pub novelty: Novelty,
}

text_enum! {
    /// The language a stack trace comes from.
    TraceLanguage("stack trace language") {
        Python = "python",
        Java = "java",
        JavaScript = "javascript",
        Go = "go",
        Rust = "rust",
    }
}

/// How often one kind of stack trace occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackTraceCount {
    /// Derived from the exception and the innermost frame.
    pub id: String,
    pub language: TraceLanguage,
    /// Name of the exception's type, or `panic`.
    pub exception: String,
    pub count: u64,
}

text_enum! {
    /// What a finding is about, the most urgent first.
    FindingKind("finding") {
        OutOfMemory = "out_of_memory",
        DiskFull = "disk_full",
        /// The engine starts the container again and again.
        CrashLoop = "crash_loop",
        /// A process ended by panic, signal or abort.
        Crash = "crash",
        StackTrace = "stack_trace",
        /// Many more errors in a short time than otherwise.
        ErrorBurst = "error_burst",
        /// Answers with an HTTP status of 500 or above.
        ServerErrors = "server_errors",
        AuthFailure = "auth_failure",
        Timeout = "timeout",
        /// A connection was refused, reset or could not be made.
        ConnectionFailure = "connection_failure",
        /// Errors of no kind above.
        Errors = "errors",
        /// A message that the compared result did not have, below the severity of an error.
        NewMessage = "new_message",
        /// A warning that the compared result had far less often.
        RisingMessage = "rising_message",
    }
}

/// One thing worth a person's attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub kind: FindingKind,
    pub severity: Severity,
    pub novelty: Novelty,
    pub host: String,
    pub container: String,
    /// Entries that belong to it.
    pub count: u64,
    /// Absent if none of its lines had a time.
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
    /// Id of the template or stack trace that it is about.
    pub subject: Option<String>,
}
