//! `ContainerPlan`: everything an engine needs to make one container, as plain data.
//!
//! A plan is engine-neutral; each runtime turns it into what its engine understands. [`ContainerPlan::check`]
//! holds what must be true whatever the engine is: no root user, no way around the GPU assignment, no
//! relative paths. What a plan can't express is what a worker never gets: privileges, devices, host
//! namespaces, other mounts, published ports, restart.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use cyberbrain_core::{
    ids::GpuUuid,
    spec::{Network, Resources},
    staging,
};

use super::{
    labels::Labels,
    name::{ContainerName, ImageId},
};

/// Smallest memory limit that engines accept.
const MIN_MEMORY_MIB: u32 = 6;
/// Longest time between SIGTERM and SIGKILL.
const MAX_STOP_GRACE: Duration = Duration::from_secs(3_600);
/// Environment variables that the NVIDIA container toolkit obeys beyond the GPUs that were assigned.
const GPU_GRANTS: [&str; 8] = [
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_MIG_CONFIG_DEVICES",
    "NVIDIA_MIG_MONITOR_DEVICES",
    "NVIDIA_IMEX_CHANNELS",
    "NVIDIA_GDS",
    "NVIDIA_MOFED",
    "NVIDIA_GDRCOPY",
    "NVIDIA_NVSWITCH",
];

/// One container to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPlan {
    pub name: ContainerName,
    pub labels: Labels,
    pub image: ImageId,
    /// Arguments after the image's entry point; empty means the image's own.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub resources: Resources,
    /// The cards that it may see; empty means none at all.
    pub gpus: Vec<GpuUuid>,
    pub mounts: Mounts,
    pub user: User,
    pub network: Network,
    /// Between SIGTERM and SIGKILL when the engine itself stops the container.
    pub stop_grace: Duration,
}

/// Host paths that the container sees. Nothing else of the host is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The attempt's own output directory: `/logs`, writable.
    pub out: Option<PathBuf>,
    /// Staged files: `/input`, read-only.
    pub input: Option<PathBuf>,
    /// Uploads that were asked for: `/uploads`, read-only.
    pub uploads: Option<PathBuf>,
    /// Model caches that an administrator named and allow-listed, read-only.
    pub caches: Vec<CacheMount>,
    /// Secrets that the job names, one file each, read-only.
    pub secrets: Vec<SecretMount>,
}

/// A read-only directory of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    pub host: PathBuf,
    pub target: PathBuf,
}

/// A file with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMount {
    pub host: PathBuf,
    pub target: PathBuf,
}

/// What the container may do to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

impl Mounts {
    /// Host path, path in the container and access of each mount.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Path, Access)> {
        let fixed = [
            (&self.out, staging::OUTPUT_DIR, Access::ReadWrite),
            (&self.input, staging::INPUT_DIR, Access::ReadOnly),
            (&self.uploads, staging::UPLOADS_DIR, Access::ReadOnly),
        ];
        let fixed = fixed.into_iter().filter_map(|(host, target, access)| {
            host.as_deref().map(|host| (host, Path::new(target), access))
        });
        let caches =
            self.caches.iter().map(|cache| (cache.host.as_path(), cache.target.as_path(), Access::ReadOnly));
        let secrets = self
            .secrets
            .iter()
            .map(|secret| (secret.host.as_path(), secret.target.as_path(), Access::ReadOnly));
        fixed.chain(caches).chain(secrets)
    }
}

/// Numeric user and group of the container's process; never root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// `nonroot`, as in the images that know no other user.
    pub const NONROOT: Self = Self { uid: 65_532, gid: 65_532 };

    /// Whom workers of this launcher run as: [`Self::NONROOT`] if it is root itself, else its own user, so
    /// that it can read and remove what they wrote.
    #[must_use]
    pub fn for_workers() -> Self {
        let uid = rustix::process::getuid();
        if uid.is_root() {
            return Self::NONROOT;
        }
        Self { uid: uid.as_raw(), gid: rustix::process::getgid().as_raw() }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Why a plan is refused before any engine hears of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{given:?} is no name for a container of ours: it must begin with cb- and use A-Z a-z 0-9 . _ -")]
    Name { given: String },
    #[error("the image {given:?} is not pinned: give an image ID or a digest (…@sha256:…)")]
    ImageNotPinned { given: String },
    #[error("workers never run as root (uid 0)")]
    RootUser,
    #[error("the environment variable {name:?} is no valid name or has a NUL byte in its value")]
    Env { name: String },
    #[error("the environment variable {name} decides about GPUs and can't be set by a job")]
    ReservedEnv { name: &'static str },
    #[error("an argument of the command has a NUL byte")]
    Command,
    #[error("{}: paths of mounts are absolute, without `..`", path.display())]
    MountPath { path: PathBuf },
    #[error("{}: two mounts have this target", path.display())]
    MountTwice { path: PathBuf },
    #[error("{what} is {given}; it must be {expected}")]
    Limit { what: &'static str, given: u64, expected: &'static str },
    #[error("the GPU {uuid} is given twice")]
    GpuTwice { uuid: GpuUuid },
    #[error("{text:?} is no GPU identity")]
    GpuUuid { text: String },
}

impl ContainerPlan {
    /// Checks what must hold on every engine.
    ///
    /// # Errors
    /// The first rule that the plan breaks.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.user.uid == 0 {
            return Err(PlanError::RootUser);
        }
        self.check_env()?;
        if self.command.iter().any(|argument| argument.contains('\0')) {
            return Err(PlanError::Command);
        }
        self.check_limits()?;
        self.check_mounts()?;
        self.check_gpus()
    }

    fn check_env(&self) -> Result<(), PlanError> {
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(PlanError::Env { name: name.clone() });
            }
            if let Some(name) = GPU_GRANTS.iter().find(|grant| **grant == name.as_str()) {
                return Err(PlanError::ReservedEnv { name });
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), PlanError> {
        let Resources { cpu_millis, memory_mib, shm_mib, pids } = self.resources;
        let limit = |what, given, expected| Err(PlanError::Limit { what, given, expected });
        if cpu_millis < 10 {
            return limit("cpu_millis", cpu_millis.into(), "10 or more");
        }
        if memory_mib < MIN_MEMORY_MIB {
            return limit("memory_mib", memory_mib.into(), "6 or more");
        }
        if shm_mib == 0 {
            return limit("shm_mib", 0, "1 or more");
        }
        if pids == 0 {
            return limit("pids", 0, "1 or more");
        }
        if self.stop_grace > MAX_STOP_GRACE {
            return limit("stop_grace_seconds", self.stop_grace.as_secs(), "3600 or less");
        }
        Ok(())
    }

    fn check_mounts(&self) -> Result<(), PlanError> {
        let mut targets = Vec::new();
        for (host, target, _) in self.mounts.iter() {
            for path in [host, target] {
                let plain = path.components().all(|part| {
                    matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_))
                });
                if !path.is_absolute() || !plain || path.to_str().is_none() {
                    return Err(PlanError::MountPath { path: path.to_owned() });
                }
            }
            if target == Path::new("/") {
                return Err(PlanError::MountPath { path: target.to_owned() });
            }
            if targets.contains(&target) {
                return Err(PlanError::MountTwice { path: target.to_owned() });
            }
            targets.push(target);
        }
        Ok(())
    }

    fn check_gpus(&self) -> Result<(), PlanError> {
        for (index, uuid) in self.gpus.iter().enumerate() {
            let text = uuid.as_str();
            // `all`, `none`, `void`, an index or a comma would mean something else to the toolkit.
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/');
            if !text.contains('-') || !text.chars().all(allowed) {
                return Err(PlanError::GpuUuid { text: text.to_owned() });
            }
            if self.gpus[..index].contains(uuid) {
                return Err(PlanError::GpuTwice { uuid: uuid.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
