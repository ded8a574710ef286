//! One role as a child process: started on a leash, restarted when it dies, asked to end at the end.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use cyberbrain_common::{
    postgres::leash::{Ending, Leash, Leashed},
    ready::{self, Ready},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::notice::say;

/// How long a role may take from its start to its announcement.
const START_LIMIT: Duration = Duration::from_secs(180);
/// How long a role may take to end after SIGTERM.
const STOP_LIMIT_SECONDS: u32 = 45;
/// Pause before the first restart of a role that died; doubles while it keeps dying young.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(10);
/// A role that lived this long starts over with the shortest pause.
const SETTLED: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Debug, Clone)]
pub struct Role {
    /// `api`, `scheduler`, `launcher` or `guard`.
    pub kind: &'static str,
    /// Unique among the roles of one `up`, e.g. `launcher-2`.
    pub name: String,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

/// A role that is kept running.
#[derive(Debug)]
pub struct Kept {
    pub role: Role,
    ready: watch::Receiver<Option<Ready>>,
    task: tokio::task::JoinHandle<()>,
    end: CancellationToken,
}

impl Kept {
    /// Starts the role and keeps it running until [`Kept::stop`].
    pub fn start(role: Role, executable: &Path, run_dir: &Path) -> Self {
        let (announce, ready) = watch::channel(None);
        let end = CancellationToken::new();
        let keeper = Keeper {
            role: role.clone(),
            executable: executable.to_owned(),
            log: run_dir.join(format!("{}.log", role.name)),
            ready_file: run_dir.join(format!("{}.ready", role.name)),
            announce,
            end: end.clone(),
        };
        Self { role, ready, task: tokio::spawn(keeper.keep()), end }
    }

    /// Waits until the role serves. Cancel-safe.
    pub async fn ready(&mut self, log: &Path) -> anyhow::Result<Ready> {
        let wait = self.ready.wait_for(Option::is_some);
        match tokio::time::timeout(START_LIMIT, wait).await {
            Ok(Ok(ready)) => Ok(ready.clone().context("waited for an announcement")?),
            Ok(Err(_)) | Err(_) => bail!("{} does not start; see {}", self.role.name, log.display()),
        }
    }

    /// Its newest announcement: the process id changes with a restart.
    pub fn current(&self) -> Option<Ready> {
        self.ready.borrow().clone()
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(self) {
        self.end.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(role = self.role.name, %error, "the keeper of a role failed");
        }
    }
}

struct Keeper {
    role: Role,
    executable: PathBuf,
    log: PathBuf,
    ready_file: PathBuf,
    announce: watch::Sender<Option<Ready>>,
    end: CancellationToken,
}

impl Keeper {
    async fn keep(self) {
        let mut pause = RESTART_PAUSE;
        loop {
            let born = Instant::now();
            match self.start() {
                Ok((mut child, leash)) => {
                    if self.attend(&mut child).await {
                        self.end_child(child).await;
                        leash.release();
                        return;
                    }
                    leash.release();
                }
                Err(error) => say(format_args!("{} can't be started: {error:#}", self.role.name)),
            }
            self.announce.send_replace(None);
            if born.elapsed() > SETTLED {
                pause = RESTART_PAUSE;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.end.cancelled() => return,
            }
            pause = (pause * 2).min(MAX_RESTART_PAUSE);
        }
    }

    fn start(&self) -> anyhow::Result<(Child, Leash)> {
        if self.ready_file.exists() {
            std::fs::remove_file(&self.ready_file)?;
        }
        let log = self.open_log()?;
        let mut leashed = Leashed::new(&self.executable, &Ending::terminate(STOP_LIMIT_SECONDS));
        leashed
            .command()
            .arg(self.role.kind)
            .args(&self.role.args)
            .arg("--ready-file")
            .arg(&self.ready_file)
            .envs(self.role.env.iter().map(|(key, value)| (key, value)))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log));
        Ok(leashed.spawn()?)
    }

    fn open_log(&self) -> anyhow::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("can't open {}", self.log.display()))
    }

    /// Until the child dies (false) or the end is asked for (true).
    async fn attend(&self, child: &mut Child) -> bool {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut announced = false;
        loop {
            tokio::select! {
                () = self.end.cancelled() => return true,
                status = child.wait() => {
                    let ending = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    say(format_args!("{} ended ({ending}); starting it again", self.role.name));
                    return false;
                }
                _ = ticks.tick(), if !announced => {
                    if let Ok(Some(ready)) = ready::read(&self.ready_file) {
                        self.announce.send_replace(Some(ready));
                        announced = true;
                    }
                }
            }
        }
    }

    async fn end_child(&self, mut child: Child) {
        signal(&child, Signal::TERM);
        let limit = Duration::from_secs(STOP_LIMIT_SECONDS.into());
        if tokio::time::timeout(limit, child.wait()).await.is_err() {
            say(format_args!("{} did not end in {STOP_LIMIT_SECONDS} s; killing it", self.role.name));
            signal(&child, Signal::KILL);
            let _ = child.wait().await;
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}
