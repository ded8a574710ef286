//! What a language model made of findings: choices from a closed list and numbers, never its words.

use serde::{Deserialize, Serialize};

use crate::text_enum;

text_enum! {
    /// What a finding probably comes from.
    Cause("cause") {
        Configuration = "configuration",
        /// Something that it needs is down or slow.
        Dependency = "dependency",
        Network = "network",
        /// Memory, disk, handles or the like ran out.
        Resources = "resources",
        /// More work came in than it was made for.
        Overload = "overload",
        /// A defect in the program itself.
        Defect = "defect",
        /// Input that it does not understand.
        Data = "data",
        /// Keys, passwords, rights, certificates.
        Credentials = "credentials",
        /// Somebody tries to break in.
        Attack = "attack",
        Hardware = "hardware",
        Unknown = "unknown",
    }
}

text_enum! {
    /// Whether a language model was asked.
    ModelUse("use of a language model") {
        /// The installation has none.
        NotConfigured = "not_configured",
        /// The job's network is `none`.
        NoNetwork = "no_network",
        Asked = "asked",
    }
}

text_enum! {
    /// Why a question came to nothing.
    AskFailure("failure of a question") {
        /// No connection, or it broke.
        Unreachable = "unreachable",
        Timeout = "timeout",
        /// Refused by the gateway or the endpoint: a budget, a limit, an error of its own.
        Refused = "refused",
        /// It answered with something else than what was asked for.
        Malformed = "malformed",
    }
}

/// The part of a result that rests on a language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOpinion {
    #[serde(rename = "use")]
    pub used: ModelUse,
    /// Findings that it was asked about.
    pub asked: u64,
    pub causes: Vec<FindingCause>,
    /// Of the questions that came to nothing, each kind once.
    pub failures: Vec<AskFailure>,
}

impl Default for ModelOpinion {
    fn default() -> Self {
        Self { used: ModelUse::NotConfigured, asked: 0, causes: Vec::new(), failures: Vec::new() }
    }
}

/// What it said of one finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingCause {
    /// Place of the finding in the result, from 1.
    pub finding: u32,
    pub cause: Cause,
    /// 0 to 100, as it says itself.
    pub confidence_percent: u8,
}
