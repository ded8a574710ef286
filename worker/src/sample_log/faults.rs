//! The planted faults: what is in a sample log, and what a triage of it has to find.

use cyberbrain_core::outcome::FindingKind;

use super::SampleKind;

/// What goes wrong in a sample log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    GuessedLogins,
    UpstreamTimeouts,
    PythonTraceback,
    BadGateways,
    CacheGone,
    OomKill,
    LeakedCredentials,
    RefusedPasswords,
    Deadlock,
    StatementTimeouts,
    DiskFull,
    KilledBackend,
}

/// One planted fault.
#[derive(Debug, Clone, Copy)]
pub struct PlantedFault {
    pub fault: Fault,
    /// What a person would call it.
    pub name: &'static str,
    pub log: SampleKind,
    /// The kind of finding it must lead to.
    pub finding: FindingKind,
    /// How many entries of that kind it has at least.
    pub entries: u64,
    /// What the report must quote.
    pub evidence: &'static str,
}

/// All planted faults, in the order in which they come.
pub const PLANTED_FAULTS: &[PlantedFault] = &[
    PlantedFault {
        fault: Fault::GuessedLogins,
        name: "somebody guesses the administrator's password",
        log: SampleKind::Web,
        finding: FindingKind::AuthFailure,
        entries: 12,
        evidence: "login failed for user 'admin'",
    },
    PlantedFault {
        fault: Fault::UpstreamTimeouts,
        name: "the application server answers too late",
        log: SampleKind::Web,
        finding: FindingKind::Timeout,
        entries: 6,
        evidence: "upstream timed out",
    },
    PlantedFault {
        fault: Fault::PythonTraceback,
        name: "an unhandled Python exception",
        log: SampleKind::Web,
        finding: FindingKind::StackTrace,
        entries: 3,
        evidence: "KeyError: 'shipping_address'",
    },
    PlantedFault {
        fault: Fault::BadGateways,
        name: "a burst of answers with status 502",
        log: SampleKind::Web,
        finding: FindingKind::ServerErrors,
        entries: 60,
        evidence: "HTTP/502 POST /api/checkout",
    },
    PlantedFault {
        fault: Fault::CacheGone,
        name: "the cache server is not there",
        log: SampleKind::Web,
        finding: FindingKind::ConnectionFailure,
        entries: 4,
        evidence: "could not connect to redis",
    },
    PlantedFault {
        fault: Fault::OomKill,
        name: "the kernel kills a worker process for its memory",
        log: SampleKind::Web,
        finding: FindingKind::OutOfMemory,
        entries: 1,
        evidence: "(gunicorn)",
    },
    PlantedFault {
        fault: Fault::LeakedCredentials,
        name: "credentials in a log line, together with an error",
        log: SampleKind::Web,
        finding: FindingKind::Errors,
        entries: 1,
        evidence: "payment provider answered nonsense",
    },
    PlantedFault {
        fault: Fault::RefusedPasswords,
        name: "logins with an old password",
        log: SampleKind::Database,
        finding: FindingKind::AuthFailure,
        entries: 8,
        evidence: "password authentication failed for user",
    },
    PlantedFault {
        fault: Fault::Deadlock,
        name: "two transactions wait for each other",
        log: SampleKind::Database,
        finding: FindingKind::Errors,
        entries: 2,
        evidence: "deadlock detected",
    },
    PlantedFault {
        fault: Fault::StatementTimeouts,
        name: "statements that take too long",
        log: SampleKind::Database,
        finding: FindingKind::Timeout,
        entries: 5,
        evidence: "canceling statement due to statement timeout",
    },
    PlantedFault {
        fault: Fault::DiskFull,
        name: "the disk is full",
        log: SampleKind::Database,
        finding: FindingKind::DiskFull,
        entries: 3,
        evidence: "No space left on device",
    },
    PlantedFault {
        fault: Fault::KilledBackend,
        name: "a server process is killed, and the server recovers",
        log: SampleKind::Database,
        finding: FindingKind::Crash,
        entries: 1,
        evidence: "was terminated by signal",
    },
];

/// Credentials and an address that are in the logs and must be in no report.
pub const PLANTED_SECRETS: &[&str] =
    &["h0rse-b4ttery", "tok_live_51HxQ9aZ", "198.51.100.23", "erika@example.org"];
