//! Typed identifiers: one newtype over a UUID per kind of thing, so that a run can't be passed for an attempt.
//!
//! New ones are made by the shells (UUIDv7). The time inside is never used as an age: age is a database
//! timestamp.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The bare UUID, for the database and the wire.
            #[must_use]
            pub const fn uuid(self) -> Uuid { self.0 }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self { Self(id) }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self { id.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    )+};
}

id! {
    /// One launch: a directive snapshot and its RunJobs.
    RunId,
    /// One unit of work inside a Run.
    RunJobId,
    /// One placement of a RunJob on a host.
    AttemptId,
    /// One engine on one machine.
    HostId,
    /// One incarnation of a launcher process.
    LauncherId,
    /// One version of a directive.
    DirectiveId,
    /// One job template.
    JobId,
    /// One installation: what labels our containers.
    InstanceId,
    /// One API key.
    ApiKeyId,
    /// One artifact of a run.
    ArtifactId,
    /// One uploaded file.
    UploadId,
    /// One directory of files, by whatever path it is reached.
    RootId,
}

/// A GPU's stable identity: the UUID that the driver gives it (`GPU-…`, `MIG-…`), never its index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct GpuUuid(String);

impl GpuUuid {
    /// Takes the driver's text as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The driver's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GpuUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for GpuUuid {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Counts the owners that the attempts of a RunJob have had. Every write and every engine call of an owner carries its
/// fence; a higher one makes all lower ones powerless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i32);

impl Fence {
    /// The fence of the first owner of a RunJob's first attempt; later attempts go on from there.
    pub const FIRST: Self = Self(1);

    /// The next owner's fence.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
