//! Finds or makes a PostgreSQL, for `up`, `demo` and the tests.
//!
//! In this order: the server of a given URL; local programs, version 15 or newer; as root on Debian and
//! Ubuntu `apt-get install`, after saying so; one error with the exact line to type. A caller that can drive
//! containers may try one on [`Error::NotFound`]: this crate knows no Docker.
//!
//! A server of ours
//! - runs as an unprivileged user when we are root. If that user can't reach the directory asked for, the
//!   data lies in `/var/lib/cyberbrain/postgres-<hash of that directory>`, which is said ([`Notice`]) and
//!   written to a file `LOCATION` in the directory asked for;
//! - listens on a free loopback port and on a socket, both with a generated password;
//! - has one owner at a time (a lock on its directory) and dies with it, also after SIGKILL ([`leash`]). One
//!   that still runs at the next start is ended first, not taken over: its settings and its port are a
//!   former start's;
//! - keeps its data for the next start, unless it was asked to be temporary.
//!
//! It does not run migrations, make backups, or tune for large machines: that is what a database of your own is for.

mod account;
mod binaries;
mod cluster;
mod command;
mod debian;
mod error;
mod given;
mod home;
pub mod leash;
mod server;

use std::{fmt, path::PathBuf};

use account::Account;
use binaries::Binaries;
pub use binaries::Search;
pub use error::Error;
use home::Home;
pub use server::Server;

/// The oldest major version that we support.
pub const MINIMUM_MAJOR: u32 = 15;
/// The superuser of a server of ours.
const USER: &str = "cyberbrain";
/// The database in a server of ours.
const DATABASE: &str = "cyberbrain";

/// What PostgreSQL is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// A server to use as it is (`DATABASE_URL`); everything else then does not matter.
    pub url: Option<String>,
    /// Where a server of ours keeps its files.
    pub place: Place,
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// The server's own limit, for all processes together.
    pub max_connections: u16,
    /// Where programs are looked for.
    pub search: Search,
    /// Whether they may be installed.
    pub install: Install,
}

impl Options {
    /// A lasting server in `directory`, or the one of `url`.
    #[must_use]
    pub fn lasting(url: Option<String>, directory: PathBuf) -> Self {
        Self {
            url,
            place: Place::Directory(directory),
            durability: Durability::Full,
            max_connections: 200,
            search: Search::Standard,
            install: Install::WhenRoot,
        }
    }

    /// A server for tests: gone with its owner, quick rather than crash-safe.
    #[must_use]
    pub fn temporary() -> Self {
        Self {
            url: None,
            place: Place::Temporary,
            durability: Durability::Relaxed,
            max_connections: 400,
            search: Search::Standard,
            install: Install::WhenRoot,
        }
    }
}

/// Where a server of ours keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Here, for the next start too. Made if it is missing.
    Directory(PathBuf),
    /// In a new directory under the system's temporary one, removed when the server ends.
    Temporary,
}

/// What a crash of the machine (not of a process) may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Full,
    /// Everything. For tests.
    Relaxed,
}

/// Whether missing programs may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// As root on Debian and Ubuntu, after saying so.
    WhenRoot,
    /// Never.
    Never,
}

/// Something a person should be told while waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Programs are being installed.
    Installing {
        /// The command, as a person would type it.
        line: &'static str,
    },
    /// A new database is being made.
    Creating {
        /// Where.
        path: PathBuf,
    },
    /// The data does not lie where it was asked for, because the server's user can't reach that.
    Elsewhere {
        /// The directory asked for.
        wanted: PathBuf,
        /// The directory used.
        used: PathBuf,
    },
    /// A server of a former start still runs and is ended.
    EndingLeftover {
        /// Its process.
        pid: u32,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installing { line } => {
                write!(
                    f,
                    "PostgreSQL is missing; installing it with `{line}` (its own server is not started)"
                )
            }
            Self::Creating { path } => write!(f, "making a new PostgreSQL database in {}", path.display()),
            Self::Elsewhere { wanted, used } => write!(
                f,
                "PostgreSQL does not run as root and its user can't reach {}; the database lies in {}",
                wanted.display(),
                used.display()
            ),
            Self::EndingLeftover { pid } => {
                write!(f, "ending the PostgreSQL of a former start (process {pid})")
            }
        }
    }
}

/// Who hears the notices.
pub type Tell<'a> = &'a (dyn Fn(&Notice) + Send + Sync);

/// A database to work with.
#[derive(Debug)]
pub enum Postgres {
    /// Somebody else's server: left running.
    Given {
        /// As it was given.
        url: String,
    },
    /// A server of ours.
    Own(Box<Server>),
}

impl Postgres {
    /// For sqlx, with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Given { url } => url,
            Self::Own(server) => server.url(),
        }
    }

    /// Ends a server of ours; nothing for a given one.
    ///
    /// # Errors
    /// See [`Server::stop`].
    pub async fn stop(self) -> Result<(), Error> {
        match self {
            Self::Given { .. } => Ok(()),
            Self::Own(server) => server.stop().await,
        }
    }
}

/// Finds or makes the PostgreSQL of `options` and returns when it answers. Every step is bounded: seconds for
/// local programs, minutes where something is installed or a crash is recovered from. Cancelling it ends what it started.
///
/// # Errors
/// [`Error`]; its text is for the person at the terminal.
pub async fn open(options: &Options, tell: Tell<'_>) -> Result<Postgres, Error> {
    if let Some(url) = &options.url {
        given::check(url).await?;
        return Ok(Postgres::Given { url: url.clone() });
    }
    let mut account = Account::choose()?;
    let mut found = binaries::find(&options.search, &account).await?;
    if binaries::usable(&found).is_empty()
        && options.install == Install::WhenRoot
        && let Some(apt) = debian::Apt::detect(&account)
    {
        apt.install(tell).await?;
        // The package brings the user `postgres`.
        account = Account::choose()?;
        found = binaries::find(&options.search, &account).await?;
    }
    let usable = binaries::usable(&found);
    if usable.is_empty() {
        return Err(error::not_found(found.first().map(|binaries| binaries.major)));
    }
    let home = Home::open(&options.place, account, tell).await?;
    let temporary = home.temporary.then(|| home.path.clone());
    let server = start(home, &usable, options, tell).await;
    if let (Err(_), Some(path)) = (&server, temporary) {
        // The first error is the one to tell.
        let _ = tokio::fs::remove_dir_all(path).await;
    }
    Ok(Postgres::Own(Box::new(server?)))
}

async fn start(home: Home, usable: &[Binaries], options: &Options, tell: Tell<'_>) -> Result<Server, Error> {
    cluster::end_leftover(&home, tell).await?;
    let binaries = cluster::prepare(&home, usable, options.durability, tell).await?;
    Server::start(home, &binaries, options).await
}
