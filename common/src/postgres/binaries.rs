//! Finds installed PostgreSQL programs and their version. Installs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Account, Error, MINIMUM_MAJOR, command};

/// Where to look for `initdb` and `postgres`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Search {
    /// `PATH`, then the places where Debian, Red Hat, Homebrew and a source build put them.
    #[default]
    Standard,
    /// These directories only.
    Only(Vec<PathBuf>),
}

/// One directory with the programs of one PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    directory: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// All that the account can run, newest first; those below [`MINIMUM_MAJOR`] too, for the error text.
pub(super) async fn find(search: &Search, account: &Account) -> Result<Vec<Binaries>, Error> {
    let mut found = Vec::new();
    for directory in directories(search) {
        if !directory.join("initdb").is_file() || !directory.join("postgres").is_file() {
            continue;
        }
        match major_of(&directory.join("postgres"), account).await {
            Some(major) => found.push(Binaries { directory, major }),
            None => tracing::debug!(directory = %directory.display(), "ignored unusable postgres programs"),
        }
    }
    // Stable: of equal versions the first place wins.
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    Ok(found)
}

/// The newest that is new enough.
pub(super) fn usable(found: &[Binaries]) -> Vec<Binaries> {
    found.iter().filter(|binaries| binaries.major >= MINIMUM_MAJOR).cloned().collect()
}

fn directories(search: &Search) -> Vec<PathBuf> {
    let standard = match search {
        Search::Only(directories) => return directories.clone(),
        Search::Standard => std::env::var_os("PATH").unwrap_or_default(),
    };
    let mut directories: Vec<PathBuf> =
        std::env::split_paths(&standard).filter(|directory| directory.is_absolute()).collect();
    directories.extend(versioned("/usr/lib/postgresql", "", "bin"));
    directories.extend(versioned("/usr", "pgsql-", "bin"));
    directories.extend(versioned("/opt/homebrew/opt", "postgresql", "bin"));
    directories.extend(versioned("/usr/local/opt", "postgresql", "bin"));
    directories.push("/usr/local/pgsql/bin".into());
    directories
}

/// `<parent>/<prefix>*/<child>` for what is there.
fn versioned(parent: &str, prefix: &str, child: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
        .map(|entry| entry.path().join(child))
        .collect()
}

/// `None` when the program does not run for this account or says nothing we understand.
async fn major_of(postgres: &Path, account: &Account) -> Option<u32> {
    let mut version = command::command(postgres);
    version.arg("--version");
    account.apply(&mut version);
    let output = command::run(version, Duration::from_secs(10)).await.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `… 18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits = version.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn reads_the_major_version() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (PostgreSQL) ", None),
            ("sh: not found", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }
}
