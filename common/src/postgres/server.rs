//! A running PostgreSQL of ours: start, readiness, orderly stop.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use rustix::process::{Pid, kill_process};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions, postgres::PgSslMode,
};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

use super::{
    DATABASE, Durability, Error, Options, USER,
    binaries::Binaries,
    command,
    home::Home,
    leash::{Ending, Leash, Leashed, POSTGRES_STEPS},
};

/// Crash recovery comes before the first answer.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// A port that was free may be taken a moment later; shared memory of a dead server needs a moment to go.
const STARTS: u32 = 5;
/// Above this a log is set aside (one generation) at the next start.
const LOG_LIMIT_BYTES: u64 = 8 << 20;

/// A PostgreSQL that belongs to this process and ends with it, however that ends.
///
/// Dropping it without [`Server::stop`] ends the server too, a moment later and unseen.
#[derive(Debug)]
pub struct Server {
    url: String,
    home: Home,
    socket_directory: PathBuf,
    port: u16,
    pid: u32,
    child: Child,
    leash: Leash,
}

impl Server {
    /// Starts on a free port and waits for the first answer.
    pub(super) async fn start(home: Home, binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let password = home.password()?;
        let socket_directory = home.socket_directory()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port()?;
            let (mut child, leash) = spawn(&home, binaries, options, &socket_directory, port)?;
            let pid = child.id().unwrap_or_default();
            let connect = PgConnectOptions::new_without_pgpass()
                .host("127.0.0.1")
                .port(port)
                .username(USER)
                .password(&password)
                .ssl_mode(PgSslMode::Disable)
                .disable_statement_logging();
            let log_start = fs::metadata(home.log()).map_or(0, |log| log.len());
            match ready(&mut child, &connect).await {
                Ready::Answers => {
                    create_database(&connect).await?;
                    let url =
                        format!("postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}?sslmode=disable");
                    return Ok(Self { url, home, socket_directory, port, pid, child, leash });
                }
                Ready::Ended => {
                    let tail = tail_of(&home.log(), log_start);
                    let passing = ["Address already in use", "could not bind", "shared memory block"]
                        .iter()
                        .any(|sign| tail.contains(sign));
                    if !passing || tries == STARTS {
                        return Err(Error::Start { log: home.log(), tail });
                    }
                    sleep(Duration::from_millis(200)).await;
                }
                // Dropping the leash ends it.
                Ready::Silent => {
                    return Err(Error::NotReady { log: home.log(), seconds: READY_LIMIT.as_secs() });
                }
            }
        }
    }

    /// For sqlx and for other processes of this user: loopback TCP, with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the data lies; not always the directory asked for (see [`super::Notice::Elsewhere`]).
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.data()
    }

    /// For `psql --host`; entered by the server's user only.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_directory
    }

    /// The loopback port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's main process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the server has ended by itself or by somebody else's hand. Cancel-safe.
    ///
    /// # Errors
    /// When the operating system can't wait for it.
    pub async fn exited(&mut self) -> Result<ExitStatus, Error> {
        let failed =
            |source| Error::File { doing: "wait for the server of", path: self.home.path.clone(), source };
        self.child.wait().await.map_err(failed)
    }

    /// Ends it: running statements are rolled back, the data is written out. After 15 s less politely. A
    /// temporary directory is removed.
    ///
    /// # Errors
    /// When it does not end at all, or its directory can't be removed.
    pub async fn stop(mut self) -> Result<(), Error> {
        let process = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        for step in POSTGRES_STEPS {
            // Not yet waited for, so the number is still its own.
            if let (Some(process), Ok(None)) = (process, self.child.try_wait()) {
                let _ = kill_process(process, step.signal);
            }
            if timeout(Duration::from_secs(step.seconds.into()), self.child.wait()).await.is_ok() {
                self.leash.release();
                return discard(&self.home).await;
            }
        }
        Err(Error::LeftoverStays { pid: self.pid })
    }
}

async fn discard(home: &Home) -> Result<(), Error> {
    if !home.temporary {
        return Ok(());
    }
    let failed = |source| Error::File { doing: "remove", path: home.path.clone(), source };
    tokio::fs::remove_dir_all(&home.path).await.map_err(failed)
}

fn spawn(
    home: &Home,
    binaries: &Binaries,
    options: &Options,
    socket_directory: &Path,
    port: u16,
) -> Result<(Child, Leash), Error> {
    let mut ending = Ending::postgres();
    if home.temporary {
        ending = ending.then_remove(&home.path);
    }
    let program = binaries.program("postgres");
    let mut leashed = Leashed::new(&program, &ending);
    let command = leashed.command();
    command::clean(command);
    command.arg("-D").arg(home.data());
    for setting in settings(options, socket_directory, port) {
        command.arg("-c").arg(setting);
    }
    let log = open_log(&home.log())?;
    let errors = log.try_clone().map_err(|source| Error::File { doing: "open", path: home.log(), source })?;
    command.stdout(log).stderr(errors);
    home.account.apply(command);
    leashed.spawn().map_err(|source| Error::Spawn { program: program.display().to_string(), source })
}

fn settings(options: &Options, socket_directory: &Path, port: u16) -> Vec<String> {
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", socket_directory.display()),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={}", options.max_connections),
        "shared_buffers=128MB".to_owned(),
        "jit=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        // Statements and row values stay out of the log: parameters may be a user's.
        "log_min_error_statement=panic".to_owned(),
        "log_error_verbosity=terse".to_owned(),
        "log_checkpoints=off".to_owned(),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
    ];
    match options.durability {
        Durability::Full => {}
        Durability::Relaxed => settings.extend(
            [
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "max_wal_senders=0",
                "wal_level=minimal",
            ]
            .map(str::to_owned),
        ),
    }
    settings
}

fn open_log(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::File { doing: "open", path: path.to_owned(), source };
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_LIMIT_BYTES) {
        fs::rename(path, path.with_extension("log.old")).map_err(failed)?;
    }
    File::options().append(true).create(true).open(path).map_err(failed)
}

/// The last lines after `start`, at most 4 KiB.
fn tail_of(path: &Path, start: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(4096)).min(end)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_else(|error| format!("(unreadable: {error})"))
}

/// A loopback port that nobody listens on now.
fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| Error::File { doing: "find a free port on", path: "127.0.0.1".into(), source })
}

enum Ready {
    Answers,
    Ended,
    Silent,
}

/// Another program on that port is no danger: it does not know the password.
async fn ready(child: &mut Child, connect: &PgConnectOptions) -> Ready {
    let connect = connect.clone().database("postgres");
    let limit = Instant::now() + READY_LIMIT;
    while Instant::now() < limit {
        if !matches!(child.try_wait(), Ok(None)) {
            return Ready::Ended;
        }
        if let Ok(Ok(connection)) =
            timeout(Duration::from_secs(5), PgConnection::connect_with(&connect)).await
        {
            let _ = connection.close().await;
            return Ready::Answers;
        }
        sleep(Duration::from_millis(25)).await;
    }
    Ready::Silent
}

async fn create_database(connect: &PgConnectOptions) -> Result<(), Error> {
    let work = async {
        let mut connection = PgConnection::connect_with(&connect.clone().database("postgres")).await?;
        let (there,): (bool,) = sqlx::query_as("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
        if !there {
            sqlx::raw_sql("create database cyberbrain").execute(&mut connection).await?;
        }
        connection.close().await
    };
    match timeout(Duration::from_secs(60), work).await {
        Ok(result) => result.map_err(Error::Prepare),
        Err(_) => Err(Error::Prepare(sqlx::Error::PoolTimedOut)),
    }
}
