//! The data inside a home: made once by `initdb`, and freed of a server that a former owner left behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use super::{
    Durability, Error, Notice, Tell, USER, binaries::Binaries, command, home::Home, leash::POSTGRES_STEPS,
};

/// Makes the data if there is none, and picks the programs that fit it.
pub(super) async fn prepare(
    home: &Home,
    usable: &[Binaries],
    durability: Durability,
    tell: Tell<'_>,
) -> Result<Binaries, Error> {
    let newest = usable.first().ok_or_else(|| super::error::not_found(None))?;
    match data_version(&home.data())? {
        Some(data) => usable
            .iter()
            .find(|binaries| binaries.major == data)
            .cloned()
            .ok_or_else(|| Error::OtherVersion { path: home.path.clone(), data, installed: newest.major }),
        None => {
            if !home.temporary {
                tell(&Notice::Creating { path: home.path.clone() });
            }
            create(home, newest, durability).await?;
            Ok(newest.clone())
        }
    }
}

/// The major version in `PG_VERSION`, or `None` where no data is.
fn data_version(data: &Path) -> Result<Option<u32>, Error> {
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::File {
            doing: "understand",
            path,
            source: io::Error::new(io::ErrorKind::InvalidData, "not a version"),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { doing: "read", path, source }),
    }
}

/// Runs `initdb` beside the final place, so that a half-made cluster is never taken for a whole one.
async fn create(home: &Home, binaries: &Binaries, durability: Durability) -> Result<(), Error> {
    home.password()?;
    let draft = home.path.join("data.new");
    let mut output = String::new();
    // Some systems have no C.UTF-8; the C locale with UTF-8 orders and compares the same.
    for locale in ["C.UTF-8", "C"] {
        remove(&draft)?;
        let mut initdb = command::command(&binaries.program("initdb"));
        initdb
            .arg("--pgdata")
            .arg(&draft)
            .arg(format!("--locale={locale}"))
            .args(["--encoding=UTF8", "--username", USER])
            .args(["--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--no-instructions"])
            .arg("--pwfile")
            .arg(home.password_file());
        match durability {
            Durability::Full => {}
            Durability::Relaxed => {
                initdb.arg("--no-sync");
            }
        }
        home.account.apply(&mut initdb);
        let result = command::run(initdb, Duration::from_secs(120)).await?;
        if result.status.success() {
            return fs::rename(&draft, home.data()).map_err(|source| Error::File {
                doing: "rename",
                path: draft.clone(),
                source,
            });
        }
        output = command::text_of(&result);
        if !output.contains("invalid locale") {
            break;
        }
    }
    Err(Error::Initdb { output })
}

fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::File { doing: "remove", path: directory.to_owned(), source }),
    }
}

/// Ends a server that still runs on this data. Its owner is dead, because we hold the home's lock; usually its
/// watchdog is ending it already.
pub(super) async fn end_leftover(home: &Home, tell: Tell<'_>) -> Result<(), Error> {
    let file = home.data().join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.trim().parse().ok())
    else {
        return Ok(());
    };
    if !serves(pid, &home.data()).await {
        // PostgreSQL would refuse to start if that number now belongs to another program of the same user.
        let _ = fs::remove_file(&file);
        return Ok(());
    }
    tell(&Notice::EndingLeftover { pid });
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    for step in POSTGRES_STEPS {
        // Gone between the look and the signal is as good.
        let _ = kill_process(process, step.signal);
        let limit = Instant::now() + Duration::from_secs(step.seconds.into());
        while Instant::now() < limit {
            if !serves(pid, &home.data()).await {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Err(Error::LeftoverStays { pid })
}

/// Whether that process is a PostgreSQL on this data: its working directory is the data directory, or, where
/// there is no /proc, its command line names it.
async fn serves(pid: u32, data: &Path) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    if Path::new("/proc/self").exists() {
        let directory = fs::read_link(format!("/proc/{pid}/cwd"));
        return directory.is_ok_and(|directory| directory == canonical(data));
    }
    let mut ps = command::command(Path::new("/bin/ps"));
    ps.args(["-o", "command=", "-p", &pid.to_string()]);
    let listed = command::run(ps, Duration::from_secs(5)).await;
    listed.is_ok_and(|output| command::text_of(&output).contains(&*data.to_string_lossy()))
}

fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
