//! What can go wrong with a PostgreSQL of our own, and the line to type then.

use std::{io, path::PathBuf};

use super::{MINIMUM_MAJOR, debian};

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a URL, nor programs, nor a way to get them.
    #[error(
        "no PostgreSQL {MINIMUM_MAJOR} or newer found{}. Type\n\n    {line}\n\nand try again, or set DATABASE_URL to a \
         server that you have", too_old.map_or_else(String::new, |major| format!(" (only {major})"))
    )]
    NotFound {
        /// The newest version found, if it is too old.
        too_old: Option<u32>,
        /// The exact line to type on this system.
        line: String,
    },
    /// apt-get was there and failed.
    #[error(
        "could not install PostgreSQL: {output}\nType\n\n    apt-get update && {}\n\nto see why",
        debian::INSTALL_LINE
    )]
    Install {
        /// What apt-get said.
        output: String,
    },
    /// The server named by the caller does not answer.
    #[error(
        "the database of DATABASE_URL ({place}) does not answer: check that it runs and that the URL is right"
    )]
    Unreachable {
        /// Host, port and database, without the password.
        place: String,
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The server named by the caller took too long.
    #[error("the database of DATABASE_URL ({place}) did not answer within {seconds} s")]
    Silent {
        /// Host, port and database, without the password.
        place: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The server named by the caller is too old.
    #[error("the database of DATABASE_URL is PostgreSQL {major}; {MINIMUM_MAJOR} or newer is needed")]
    ServerTooOld {
        /// Its major version.
        major: u32,
    },
    /// We are root and there is nobody to run the server as.
    #[error(
        "PostgreSQL does not run as root, and neither user `postgres` nor `nobody` exists: create one (`useradd --system postgres`) or run this as another user"
    )]
    NoAccount,
    /// No directory that the server's user can write to.
    #[error(
        "user {account} can't write in {path}, nor could another place be made: choose a data directory that it can reach"
    )]
    NoPlace {
        /// The directory asked for.
        path: PathBuf,
        /// Whom the server would run as.
        account: String,
    },
    /// The directory holds something that is not ours.
    #[error("{path} is not empty and does not belong to {account}: choose another data directory")]
    NotOurs {
        /// The directory asked for.
        path: PathBuf,
        /// Whom the server would run as.
        account: String,
    },
    /// Another process of ours runs a server there.
    #[error("{path} is in use by another running instance: stop that one or choose another data directory")]
    InUse {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The data was made by a version that is not installed.
    #[error(
        "the data in {path} is of PostgreSQL {data}, and only {installed} is installed: install version {data}, or dump and reload"
    )]
    OtherVersion {
        /// The directory asked for.
        path: PathBuf,
        /// The data's major version.
        data: u32,
        /// The newest installed one.
        installed: u32,
    },
    /// A server that a former owner left does not end.
    #[error("process {pid}, left by a former start, does not end: stop it (`kill -9 {pid}`) and try again")]
    LeftoverStays {
        /// The server's process.
        pid: u32,
    },
    /// A file operation failed.
    #[error("could not {doing} {path}")]
    File {
        /// A verb.
        doing: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error("could not start {program}")]
    Spawn {
        /// Its path.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program did not finish.
    #[error("{program} did not finish within {seconds} s and was stopped")]
    TooSlow {
        /// Its path.
        program: String,
        /// How long we waited.
        seconds: u64,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// What it said.
        output: String,
    },
    /// The server ended while starting.
    #[error("PostgreSQL ended while starting; its log {log} ends with:\n{tail}")]
    Start {
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server runs and does not answer.
    #[error("PostgreSQL did not answer within {seconds} s; see its log {log}")]
    NotReady {
        /// The server's log.
        log: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// The server runs, and its first statements fail.
    #[error("could not prepare the database")]
    Prepare(#[source] sqlx::Error),
}

/// The [`Error::NotFound`] for this system.
pub(super) fn not_found(too_old: Option<u32>) -> Error {
    let root = rustix::process::geteuid().is_root();
    Error::NotFound { too_old, line: line_for(&debian::os_release(), too_old, root) }
}

fn line_for(os_release: &str, too_old: Option<u32>, root: bool) -> String {
    let sudo = if root { "" } else { "sudo " };
    let has = |wanted: &str| debian::names(os_release).any(|name| name == wanted);
    if debian::is_family(os_release) {
        // The distribution's own is too old where an old one is all that was found.
        return match too_old {
            None => format!("{sudo}{}", debian::INSTALL_LINE),
            Some(_) => format!(
                "{sudo}apt-get install -y postgresql-common && \
                 {sudo}/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y && \
                 {sudo}apt-get install -y postgresql-17"
            ),
        };
    }
    if has("fedora") || has("rhel") {
        format!("{sudo}dnf install -y postgresql-server postgresql-contrib")
    } else if has("suse") {
        format!("{sudo}zypper install -y postgresql-server postgresql-contrib")
    } else if has("arch") {
        format!("{sudo}pacman -S --noconfirm postgresql")
    } else if has("alpine") {
        format!("{sudo}apk add postgresql postgresql-contrib")
    } else if cfg!(target_os = "macos") {
        "brew install postgresql@17".to_owned()
    } else {
        "docker run -d --name cyberbrain-postgres -e POSTGRES_PASSWORD=cyberbrain -p 127.0.0.1:5432:5432 \
         postgres:17 && export DATABASE_URL=postgres://postgres:cyberbrain@127.0.0.1/postgres"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, line_for};

    #[test]
    fn the_line_fits_the_system() {
        for (os_release, too_old, root, line) in [
            ("ID=debian", None, true, "apt-get install -y postgresql"),
            ("ID=ubuntu\nID_LIKE=debian", None, false, "sudo apt-get install -y postgresql"),
            ("ID=fedora", None, true, "dnf install -y postgresql-server postgresql-contrib"),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"",
                Some(13),
                false,
                "sudo dnf install -y postgresql-server postgresql-contrib",
            ),
            ("ID=arch", None, true, "pacman -S --noconfirm postgresql"),
        ] {
            assert_eq!(line_for(os_release, too_old, root), line, "{os_release}");
        }
        assert!(line_for("ID=ubuntu", Some(14), true).ends_with("&& apt-get install -y postgresql-17"));
        assert!(line_for("ID=unheard-of", None, true).contains("docker run") || cfg!(target_os = "macos"));
    }

    #[test]
    fn the_text_says_what_is_missing_and_what_to_type() {
        let error = Error::NotFound { too_old: Some(14), line: "apt-get frobnicate".to_owned() };
        assert_eq!(
            error.to_string(),
            "no PostgreSQL 15 or newer found (only 14). Type\n\n    apt-get frobnicate\n\nand try again, or set \
             DATABASE_URL to a server that you have"
        );
    }
}
