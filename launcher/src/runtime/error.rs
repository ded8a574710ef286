//! Why a call to a runtime failed, in terms that its caller can act on.

use std::time::Duration;

use cyberbrain_core::{lifecycle::FailureKind, text_enum};

use super::plan::PlanError;

text_enum! {
    /// The calls; their names label the metrics.
    EngineCall("engine call") {
        Connect = "connect",
        Info = "info",
        Images = "images",
        AskRegistry = "ask_registry",
        Pull = "pull",
        LoadImage = "load_image",
        RemoveImage = "remove_image",
        Create = "create",
        Rename = "rename",
        Start = "start",
        Stop = "stop",
        Kill = "kill",
        Remove = "remove",
        Inspect = "inspect",
        Wait = "wait",
        List = "list",
        Logs = "logs",
    }
}

/// The underlying error, whatever the engine's client makes of it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed. `subject` is the container's name or the image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has that name. To an owner of an attempt this says: somebody else owns it now.
    #[error("{call}: the engine knows no container {subject}")]
    NotFound { call: EngineCall, subject: String },
    /// A container has that name already.
    #[error("{call}: the name {subject} is taken")]
    NameTaken { call: EngineCall, subject: String },
    #[error("the image {image} is not on this engine")]
    ImageMissing { image: String },
    #[error("the registry has no image {image}; pin one that it has, or push this one again")]
    NotInRegistry { image: String },
    #[error(
        "the registry does not give us the image {image}: {detail}; correct the login for it in --registry-auth-file"
    )]
    PullDenied { image: String, detail: String },
    #[error("the image {image} can't be pulled: {detail}")]
    PullFailed { image: String, detail: String },
    /// The engine can't give GPUs to containers: toolkit or driver missing, or the card unknown to them.
    #[error(
        "{subject} can't get its GPU: {detail}; check the NVIDIA container toolkit and driver of this host"
    )]
    GpuRuntimeMissing { subject: String, detail: String },
    #[error("{subject} can't be executed: {detail}")]
    EntrypointInvalid { subject: String, detail: String },
    /// The engine, or a rule of ours, says no; nothing was changed.
    #[error("{call} {subject}: refused: {why}")]
    Refused { call: EngineCall, subject: String, why: String },
    #[error("the container plan is refused")]
    Plan(#[from] PlanError),
    /// No answer in time. Whether it happened is unknown.
    #[error("{call} {subject}: no answer from the engine within {after:?}")]
    Timeout { call: EngineCall, subject: String, after: Duration },
    /// No connection, or it broke. Whether it happened is unknown.
    #[error("{call} {subject}: the container engine can't be reached")]
    Unreachable {
        call: EngineCall,
        subject: String,
        #[source]
        source: Source,
    },
    /// Any other answer.
    #[error("{call} {subject}: the engine answered {status}: {message}")]
    Engine { call: EngineCall, subject: String, status: u16, message: String },
    /// The worker image could not be made.
    #[error("the worker image can't be built")]
    Image(#[from] crate::image::Error),
}

/// Whether a failed call may have had its effect nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Certainly not.
    None,
    /// Nobody knows: inspect before deciding anything.
    Unknown,
}

impl Error {
    /// Whether the call may have had its effect.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Self::NotFound { .. }
            | Self::NameTaken { .. }
            | Self::ImageMissing { .. }
            | Self::NotInRegistry { .. }
            | Self::PullDenied { .. }
            | Self::PullFailed { .. }
            | Self::GpuRuntimeMissing { .. }
            | Self::EntrypointInvalid { .. }
            | Self::Refused { .. }
            | Self::Plan(_)
            | Self::Image(_) => Effect::None,
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::Engine { .. } => Effect::Unknown,
        }
    }

    /// How an attempt that ends because of this is recorded.
    #[must_use]
    pub const fn failure(&self) -> FailureKind {
        match self {
            Self::NotFound { .. } => FailureKind::ContainerMissing,
            Self::ImageMissing { .. } | Self::NotInRegistry { .. } | Self::Image(_) => {
                FailureKind::ImageMissing
            }
            Self::PullDenied { .. } => FailureKind::RegistryRefused,
            Self::PullFailed { .. } => FailureKind::ImagePullFailed,
            Self::GpuRuntimeMissing { .. } => FailureKind::GpuRuntimeMissing,
            Self::EntrypointInvalid { .. } => FailureKind::EntrypointInvalid,
            Self::NameTaken { .. }
            | Self::Refused { .. }
            | Self::Plan(_)
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::Engine { .. } => FailureKind::EngineError,
        }
    }

    /// A closed word for metric labels.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::NameTaken { .. } => "name_taken",
            Self::ImageMissing { .. } => "image_missing",
            Self::NotInRegistry { .. } => "not_in_registry",
            Self::PullDenied { .. } => "pull_denied",
            Self::PullFailed { .. } => "pull_failed",
            Self::GpuRuntimeMissing { .. } => "gpu_runtime_missing",
            Self::EntrypointInvalid { .. } => "entrypoint_invalid",
            Self::Refused { .. } => "refused",
            Self::Plan(_) => "plan",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::Engine { .. } => "engine",
            Self::Image(_) => "image",
        }
    }
}
