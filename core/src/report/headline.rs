//! A result in a few numbers and one sentence.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    outcome::{
        AskFailure, Cause, CustomResult, CustomValue, Finding, FindingKind, GpuReport, JobResult, LogTriage,
        ModelUse, Novelty, ServiceMap, Severity,
    },
    staging::{ContainerState, Health},
};

/// Most findings that a headline repeats; a result has them in order of importance.
pub const MAX_HEADLINE_FINDINGS: usize = 20;
/// Most values of a custom result that a headline repeats.
const MAX_HEADLINE_VALUES: usize = 8;

/// The part of a result that a report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Headline {
    LogTriage {
        entries: u64,
        sources: u64,
        /// Fatal ones included.
        errors: u64,
        warnings: u64,
        stack_traces: u64,
        findings: u64,
        /// The first of them.
        top: Vec<TopFinding>,
        /// Absent if no language model was asked.
        #[serde(default)]
        model: Option<ModelTold>,
    },
    GpuReport {
        gpus: u64,
        samples: u64,
        leases: u64,
        /// Instants at which leases added up to more than a card has.
        overlaps: u64,
        /// Critical errors (XIDs).
        #[serde(default)]
        xids: u64,
        #[serde(default)]
        uncorrected_memory_errors: u64,
        #[serde(default)]
        reserved_seconds: u64,
        /// Of the reserved ones, those in which the card did next to nothing.
        #[serde(default)]
        idle_reserved_seconds: u64,
    },
    ServiceMap {
        services: u64,
        running: u64,
        unhealthy: u64,
        edges: u64,
        networks: u64,
        /// Since the map that it was compared with.
        #[serde(default)]
        changes: u64,
    },
    Custom {
        values: u64,
        /// The first of them, by name.
        top: Vec<NamedValue>,
    },
}

/// One finding of a log triage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopFinding {
    pub finding: FindingKind,
    pub severity: Severity,
    pub novelty: Novelty,
    #[serde(default)]
    pub host: String,
    pub container: String,
    pub count: u64,
    #[serde(default)]
    pub first_seen: Option<DateTime<Utc>>,
    #[serde(default)]
    pub last_seen: Option<DateTime<Utc>>,
    /// What a language model takes it for, if one was asked and answered.
    #[serde(default)]
    pub cause: Option<LikelyCause>,
}

/// A language model's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikelyCause {
    pub cause: Cause,
    /// 0 to 100, as it says itself.
    pub confidence_percent: u8,
}

/// How it went with the language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTold {
    /// Findings that it was asked about.
    pub asked: u64,
    pub answered: u64,
    /// Why it did not answer, each kind once.
    pub failures: Vec<AskFailure>,
}

/// One value of a custom result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    pub name: String,
    pub value: CustomValue,
}

impl Headline {
    /// What a report says of this result.
    #[must_use]
    pub fn of(result: &JobResult) -> Self {
        match result {
            JobResult::LogTriage(triage) => log_triage(triage),
            JobResult::GpuReport(report) => gpu_report(report),
            JobResult::ServiceMap(map) => service_map(map),
            JobResult::Custom(custom) => custom_result(custom),
        }
    }
}

fn log_triage(triage: &LogTriage) -> Headline {
    let cause = |place: usize| {
        let told = triage.model.causes.iter().find(|told| usize::try_from(told.finding) == Ok(place));
        told.map(|told| LikelyCause { cause: told.cause, confidence_percent: told.confidence_percent })
    };
    let top = |(place, finding): (usize, &Finding)| TopFinding {
        finding: finding.kind,
        severity: finding.severity,
        novelty: finding.novelty,
        host: finding.host.clone(),
        container: finding.container.clone(),
        count: finding.count,
        first_seen: finding.first_seen,
        last_seen: finding.last_seen,
        cause: cause(place),
    };
    let model = match triage.model.used {
        ModelUse::Asked => Some(ModelTold {
            asked: triage.model.asked,
            answered: listed(triage.model.causes.len(), 0),
            failures: triage.model.failures.clone(),
        }),
        ModelUse::NotConfigured | ModelUse::NoNetwork => None,
    };
    Headline::LogTriage {
        entries: triage.entries,
        sources: listed(triage.sources.len(), triage.sources_left_out),
        errors: triage.severities.fatal.saturating_add(triage.severities.error),
        warnings: triage.severities.warning,
        stack_traces: triage.stack_traces.iter().map(|trace| trace.count).sum(),
        findings: listed(triage.findings.len(), triage.findings_left_out),
        top: (1..).zip(&triage.findings).take(MAX_HEADLINE_FINDINGS).map(top).collect(),
        model,
    }
}

fn gpu_report(report: &GpuReport) -> Headline {
    Headline::GpuReport {
        gpus: listed(report.gpus.len(), report.gpus_left_out),
        samples: report.gpus.iter().map(|gpu| gpu.samples).sum(),
        leases: report.gpus.iter().map(|gpu| gpu.leases).sum(),
        overlaps: listed(report.overlaps.len(), report.overlaps_left_out),
        xids: report.gpus.iter().map(|gpu| gpu.xids).sum(),
        uncorrected_memory_errors: report.gpus.iter().filter_map(|gpu| gpu.ecc_uncorrected).sum(),
        reserved_seconds: report.gpus.iter().map(|gpu| gpu.reserved_seconds).sum(),
        idle_reserved_seconds: report.gpus.iter().map(|gpu| gpu.idle_reserved_seconds).sum(),
    }
}

fn service_map(map: &ServiceMap) -> Headline {
    let count = |holds: fn(&&crate::outcome::ServiceSummary) -> bool| {
        listed(map.services.iter().filter(holds).count(), 0)
    };
    Headline::ServiceMap {
        services: listed(map.services.len(), map.services_left_out),
        running: count(|service| service.state == ContainerState::Running),
        unhealthy: count(|service| service.health == Health::Unhealthy),
        edges: listed(map.edges.len(), map.edges_left_out),
        networks: map.networks,
        changes: listed(map.changes.len(), map.changes_left_out),
    }
}

fn custom_result(custom: &CustomResult) -> Headline {
    let named =
        |(name, value): (&String, &CustomValue)| NamedValue { name: name.clone(), value: value.clone() };
    Headline::Custom {
        values: listed(custom.values.len(), 0),
        top: custom.values.iter().take(MAX_HEADLINE_VALUES).map(named).collect(),
    }
}

fn listed(here: usize, left_out: u64) -> u64 {
    u64::try_from(here).unwrap_or(u64::MAX).saturating_add(left_out)
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogTriage { entries, sources, errors, warnings, stack_traces, findings, .. } => write!(
                f,
                "{} in {} from {}: {}, {}, {}",
                Counted(*findings, "finding", "findings"),
                Counted(*entries, "entry", "entries"),
                Counted(*sources, "container", "containers"),
                Counted(*errors, "error", "errors"),
                Counted(*warnings, "warning", "warnings"),
                Counted(*stack_traces, "stack trace", "stack traces"),
            ),
            Self::GpuReport { gpus: 0, .. } => f.write_str("no GPU"),
            Self::GpuReport {
                gpus,
                samples,
                leases,
                overlaps,
                xids,
                uncorrected_memory_errors,
                reserved_seconds,
                idle_reserved_seconds,
            } => {
                write!(
                    f,
                    "{}, {}, {}, ",
                    Counted(*gpus, "GPU", "GPUs"),
                    Counted(*samples, "sample", "samples"),
                    Counted(*leases, "lease", "leases"),
                )?;
                match overlaps {
                    0 => f.write_str("no double booking")?,
                    _ => write!(f, "{}", Counted(*overlaps, "double booking", "double bookings"))?,
                }
                if *reserved_seconds > 0 {
                    write!(f, ", {idle_reserved_seconds} of {reserved_seconds} reserved seconds idle")?;
                }
                if *xids > 0 {
                    write!(f, ", {}", Counted(*xids, "critical error", "critical errors"))?;
                }
                if *uncorrected_memory_errors > 0 {
                    let errors = *uncorrected_memory_errors;
                    let words = ("uncorrected memory error", "uncorrected memory errors");
                    write!(f, ", {}", Counted(errors, words.0, words.1))?;
                }
                Ok(())
            }
            Self::ServiceMap { services, running, unhealthy, edges, networks, changes } => {
                write!(
                    f,
                    "{} ({running} running, {unhealthy} unhealthy), {}, {}",
                    Counted(*services, "service", "services"),
                    Counted(*edges, "connection", "connections"),
                    Counted(*networks, "network", "networks"),
                )?;
                if *changes > 0 {
                    write!(f, ", {}", Counted(*changes, "change", "changes"))?;
                }
                Ok(())
            }
            Self::Custom { values, top: _ } => write!(f, "{}", Counted(*values, "value", "values")),
        }
    }
}

/// A number with its noun.
struct Counted(u64, &'static str, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, one, many) = self;
        write!(f, "{count} {}", if *count == 1 { one } else { many })
    }
}

impl fmt::Display for NamedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.value {
            CustomValue::Bool(value) => write!(f, "{name}: {value}"),
            CustomValue::Integer(value) => write!(f, "{name}: {value}"),
            CustomValue::Number(value) => write!(f, "{name}: {value}"),
            CustomValue::Name(value) => write!(f, "{name}: {value}"),
        }
    }
}
