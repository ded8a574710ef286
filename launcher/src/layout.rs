//! Where the files of runs are, as we see them and as the engine sees them.
//!
//! ```text
//! <logs>/runs/<run>/report.md, report.json                  a copy of the report, on one host
//! <logs>/runs/<run>/<run job>/<attempt>/in/                 what was staged, read-only for the worker
//! <logs>/runs/<run>/<run job>/<attempt>/out/                what the worker leaves; its only writable place
//! <logs>/runs/<run>/<run job>/<attempt>/container-f<n>.log  what the owner with fence n saw of its output
//! ```
//! Log segments lie beside `out/`, never in it: a worker can't touch them.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use cyberbrain_common::{
    db::supervision::Assignment,
    worker_log::{attempt_dir, segment_name},
};
use cyberbrain_core::ids::{AttemptId, Fence, RootId, RunId, RunJobId};

use crate::runtime::User;

/// The roots, and how to name them to the engine.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub logs: PathBuf,
    /// Which directory that is, whatever its path.
    pub root: RootId,
    pub uploads: PathBuf,
    pub translation: Translation,
    pub worker: User,
}

/// From our paths to those of the engine's host: ours may be mounts when we run in a container ourselves. Pairs of
/// (our prefix, the host's prefix), longest first; empty means that they are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation(Vec<(PathBuf, PathBuf)>);

impl Translation {
    /// From our own mounts: (path in our container, path on the host).
    #[must_use]
    pub fn from_mounts(mut mounts: Vec<(PathBuf, PathBuf)>) -> Self {
        mounts.sort_by_key(|(ours, _)| std::cmp::Reverse(ours.as_os_str().len()));
        Self(mounts)
    }

    /// The host's path for one of ours; `None` if no mount holds it.
    #[must_use]
    pub fn host_path(&self, path: &Path) -> Option<PathBuf> {
        if self.0.is_empty() {
            return Some(path.to_owned());
        }
        self.0.iter().find_map(|(ours, hosts)| {
            let rest = path.strip_prefix(ours).ok()?;
            Some(if rest.as_os_str().is_empty() { hosts.clone() } else { hosts.join(rest) })
        })
    }
}

/// The directory of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptDir {
    root: PathBuf,
    relative: PathBuf,
}

impl Layout {
    pub(crate) fn attempt(&self, job: &Assignment) -> AttemptDir {
        self.attempt_of(job.run, job.run_job, job.attempt)
    }

    pub(crate) fn attempt_of(&self, run: RunId, run_job: RunJobId, attempt: AttemptId) -> AttemptDir {
        let relative = PathBuf::from(attempt_dir(run, run_job, attempt));
        AttemptDir { root: self.logs.join(&relative), relative }
    }

    /// Makes the directories. Idempotent.
    pub(crate) fn prepare(&self, dir: &AttemptDir) -> io::Result<()> {
        self.prepare_at(&dir.root)
    }

    /// The same for a directory that is no attempt's.
    pub(crate) fn prepare_at(&self, root: &Path) -> io::Result<()> {
        let output = root.join("out");
        for path in [&root.join("in"), &output] {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        if rustix::process::geteuid().is_root() {
            chown(output, Some(self.worker.uid), Some(self.worker.gid))?;
        }
        Ok(())
    }
}

impl AttemptDir {
    #[cfg(test)]
    pub(crate) fn at(logs: &Path, relative: impl Into<PathBuf>) -> Self {
        let relative = relative.into();
        Self { root: logs.join(&relative), relative }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Below the logs root.
    pub(crate) fn relative_root(&self) -> &Path {
        &self.relative
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.root.join("in")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.root.join("out")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// What was staged, for whoever finishes the attempt.
    pub(crate) fn staged(&self) -> PathBuf {
        self.root.join("staged.json")
    }

    pub(crate) fn segment(&self, fence: Fence) -> PathBuf {
        self.root.join(segment_name(fence))
    }

    /// The segments that are there, by fence.
    pub(crate) fn segments(&self) -> io::Result<Vec<(Fence, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if let Some(fence) = entry.file_name().to_str().and_then(fence_of_segment) {
                found.push((fence, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// A path below the logs root, for the database; `None` if it is not below this directory or not text.
    pub(crate) fn relative(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.root).ok()?;
        self.relative.join(below).to_str().map(str::to_owned)
    }
}

fn fence_of_segment(name: &str) -> Option<Fence> {
    let fence = name.strip_prefix("container-f")?.strip_suffix(".log")?.parse().ok().map(Fence)?;
    (segment_name(fence) == name).then_some(fence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_translates() {
        let same = Translation::default();
        assert_eq!(same.host_path(Path::new("/data/logs")), Some("/data/logs".into()));
        let mounts = Translation::from_mounts(vec![
            ("/data".into(), "/srv/cyberbrain".into()),
            ("/data/logs".into(), "/big/logs".into()),
        ]);
        for (ours, hosts) in [
            ("/data/logs/runs/1", Some("/big/logs/runs/1")),
            ("/data/logs", Some("/big/logs")),
            ("/data/logsuffix", Some("/srv/cyberbrain/logsuffix")),
            ("/etc/passwd", None),
        ] {
            assert_eq!(mounts.host_path(Path::new(ours)), hosts.map(PathBuf::from), "{ours}");
        }
    }

    #[test]
    fn segments_are_named_by_fence() {
        for (name, fence) in [
            ("container-f1.log", Some(Fence(1))),
            ("container-f12.log", Some(Fence(12))),
            ("container-f01.log", None),
            ("container-f.log", None),
            ("container-f1.log.gz", None),
        ] {
            assert_eq!(fence_of_segment(name), fence, "{name}");
        }
    }
}
