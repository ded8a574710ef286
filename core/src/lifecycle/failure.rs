//! Why an attempt or a RunJob failed, and whose fault that is.

use crate::text_enum;

text_enum! {
    /// The closed list of failures.
    FailureKind("failure") {
        ImageNotAllowed = "image_not_allowed",
        ImagePullFailed = "image_pull_failed",
        ImageMissing = "image_missing",
        /// The registry does not give the image to whoever we say that we are.
        RegistryRefused = "registry_refused",
        /// A secret that the job names is not on its host, or not for the worker to read.
        SecretMissing = "secret_missing",
        /// A model cache that the job names is not on its host's list.
        CacheNotAllowed = "cache_not_allowed",
        GpuRuntimeMissing = "gpu_runtime_missing",
        GpuLost = "gpu_lost",
        GpuOom = "gpu_oom",
        HostOom = "host_oom",
        EntrypointInvalid = "entrypoint_invalid",
        NonzeroExit = "nonzero_exit",
        /// The worker ended well but its `result.json` is missing, malformed or no regular file.
        ResultInvalid = "result_invalid",
        QueueTimeout = "timeout_queue",
        RunTimeout = "timeout_run",
        Cancelled = "cancelled",
        HostLost = "host_lost",
        HostRebooted = "host_rebooted",
        LauncherLost = "launcher_lost",
        /// The launcher was told to stop its workers before it ended.
        LauncherStopped = "launcher_stopped",
        DaemonRestarted = "daemon_restarted",
        EngineError = "engine_error",
        StagingFailed = "staging_failed",
        /// No launcher of the host took the offer in time.
        OfferExpired = "offer_expired",
        LogQuota = "log_quota",
        ContainerMissing = "container_missing",
        /// No known host or GPU could ever hold it.
        Infeasible = "infeasible",
    }
}

/// Who has to act on a failure, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The machines' fault: retried elsewhere, spends none of the job's attempts.
    Infrastructure,
    /// The job's own fault: retried while it has attempts left.
    User,
    /// A rule or a person said no: never retried.
    Final,
    /// Nobody touched it: placed again at once, spends nothing.
    Untouched,
}

impl FailureKind {
    /// Whose fault it is.
    #[must_use]
    pub const fn class(self) -> FailureClass {
        use FailureClass::{Final, Infrastructure, Untouched, User};
        match self {
            Self::OfferExpired => Untouched,
            Self::ImagePullFailed
            | Self::ImageMissing
            | Self::GpuRuntimeMissing
            | Self::GpuLost
            | Self::HostLost
            | Self::HostRebooted
            | Self::LauncherLost
            | Self::LauncherStopped
            | Self::DaemonRestarted
            | Self::EngineError
            | Self::StagingFailed
            | Self::ContainerMissing => Infrastructure,
            Self::GpuOom
            | Self::HostOom
            | Self::EntrypointInvalid
            | Self::NonzeroExit
            | Self::ResultInvalid
            | Self::RunTimeout
            | Self::LogQuota => User,
            Self::ImageNotAllowed
            | Self::RegistryRefused
            | Self::SecretMissing
            | Self::CacheNotAllowed
            | Self::QueueTimeout
            | Self::Cancelled
            | Self::Infeasible => Final,
        }
    }
}
