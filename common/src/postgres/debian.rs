//! Installs PostgreSQL with apt-get, for root on Debian and Ubuntu, after saying so.
//!
//! Only the programs are wanted: the distribution's own cluster is neither made nor started.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{Account, Error, MINIMUM_MAJOR, Notice, Tell, command};

/// The command a person would type; also what is announced.
pub(super) const INSTALL_LINE: &str = "apt-get install -y postgresql";

/// Read by `pg_createcluster`'s maintainer script before it makes a cluster.
const NO_CLUSTER: &str = "# Written by Cyberbrain: it needs the programs only and runs its own server.\n\
                          create_main_cluster = false\n";

/// What is needed of the system; in tests a double.
#[derive(Debug)]
pub(super) struct Apt {
    get: PathBuf,
    cache: PathBuf,
    cluster_settings: PathBuf,
}

impl Apt {
    /// `None` unless we are root on a system of this family.
    pub(super) fn detect(account: &Account) -> Option<Self> {
        let apt = Self {
            get: "/usr/bin/apt-get".into(),
            cache: "/usr/bin/apt-cache".into(),
            cluster_settings: "/etc/postgresql-common/createcluster.d".into(),
        };
        let root = match account {
            Account::Own { .. } => false,
            // Only root runs the server as somebody else. Before the package there is no `postgres`, but `nobody`.
            Account::Other { .. } => true,
        };
        (root && is_family(&os_release()) && apt.get.is_file()).then_some(apt)
    }

    /// Returns once the package is installed, or without doing anything if the distribution's version is too
    /// old for us.
    pub(super) async fn install(&self, tell: Tell<'_>) -> Result<(), Error> {
        if self.candidate().await?.is_none() {
            self.run(&["update"], Duration::from_secs(120)).await?;
        }
        match self.candidate().await? {
            Some(major) if major >= MINIMUM_MAJOR => {}
            Some(_) | None => return Ok(()),
        }
        tell(&Notice::Installing { line: INSTALL_LINE });
        self.forbid_cluster()?;
        let arguments = ["install", "-y", "--no-install-recommends", "postgresql"];
        if self.run(&arguments, Duration::from_secs(300)).await.is_err() {
            // The lists name files that the mirror no longer has.
            self.run(&["update"], Duration::from_secs(120)).await?;
            self.run(&arguments, Duration::from_secs(300)).await?;
        }
        Ok(())
    }

    /// The major version that `install` would bring.
    async fn candidate(&self) -> Result<Option<u32>, Error> {
        let mut policy = command::command(&self.cache);
        policy.args(["policy", "postgresql"]);
        let output = command::run(policy, Duration::from_secs(30)).await?;
        Ok(parse_candidate(&String::from_utf8_lossy(&output.stdout)))
    }

    fn forbid_cluster(&self) -> Result<(), Error> {
        let file = self.cluster_settings.join("cyberbrain.conf");
        fs::create_dir_all(&self.cluster_settings)
            .and_then(|()| fs::write(&file, NO_CLUSTER))
            .map_err(|source| Error::File { doing: "write", path: file, source })
    }

    async fn run(&self, arguments: &[&str], limit: Duration) -> Result<(), Error> {
        let mut get: Command = command::command(&self.get);
        get.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold"])
            .args(arguments);
        let output = command::run(get, limit).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Install { output: command::text_of(&output) })
    }
}

/// `/etc/os-release`, or nothing.
pub(super) fn os_release() -> String {
    fs::read_to_string(Path::new("/etc/os-release")).unwrap_or_default()
}

/// Whether `ID` or `ID_LIKE` names Debian or Ubuntu.
pub(super) fn is_family(os_release: &str) -> bool {
    names(os_release).any(|name| name == "debian" || name == "ubuntu")
}

/// The words of `ID` and `ID_LIKE`.
pub(super) fn names(os_release: &str) -> impl Iterator<Item = &str> {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
}

/// `  Candidate: 15+248` (the metapackage carries the major version first).
fn parse_candidate(policy: &str) -> Option<u32> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    candidate.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
#[path = "debian_test.rs"]
mod tests;
