//! Which job a key means: one of those that come with the system, or anybody's.
//!
//! What is different for a built-in job is decided by this and never by its key as text, so that the compiler names every
//! place where a new one has to be thought of.

use crate::text_enum;

text_enum! {
    /// What kind of job it is.
    JobKind("kind of job") {
        LogTriage = "log_triage",
        GpuReport = "gpu_report",
        ServiceMap = "service_map",
        /// Every job that somebody has made.
        Custom = "custom",
    }
}

impl JobKind {
    /// The kind of the job with this key.
    #[must_use]
    pub fn of(task_key: &str) -> Self {
        task_key.parse().unwrap_or(Self::Custom)
    }
}

#[cfg(test)]
mod tests {
    use super::JobKind;

    #[test]
    fn only_the_built_in_keys_are_special() {
        for (key, kind) in [
            ("log_triage", JobKind::LogTriage),
            ("gpu_report", JobKind::GpuReport),
            ("service_map", JobKind::ServiceMap),
            ("custom", JobKind::Custom),
            ("embed_docs", JobKind::Custom),
            ("Log_Triage", JobKind::Custom),
            ("", JobKind::Custom),
        ] {
            assert_eq!(JobKind::of(key), kind, "{key}");
        }
    }
}
