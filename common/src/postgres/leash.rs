//! Child processes that die with their owner, also when the owner is killed with SIGKILL.
//!
//! The owner keeps the write end of a pipe. A small `sh` beside the child holds the read end, and the kernel
//! closes the write end whatever the owner dies of; the watchdog then ends the child, by its process id and
//! start time, with the signals of its [`Ending`]. The write end is close-on-exec, so no other child of the
//! owner keeps it open.
//!
//! It does not restart anything, does not reach the child's own children (a fitting program ends them
//! itself), and does not help if the watchdog is killed too.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::Signal;
use tokio::process::{Child, Command};

const SCRIPT: &str = include_str!("leash.sh");

/// How a child is ended once its owner is gone.
#[derive(Debug, Clone)]
pub struct Ending {
    steps: Vec<Step>,
    sweep: Option<PathBuf>,
}

/// One signal, and how long the child then has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) signal: Signal,
    name: &'static str,
    pub(super) seconds: u32,
}

impl Step {
    const fn new(signal: Signal, name: &'static str, seconds: u32) -> Self {
        Self { signal, name, seconds }
    }
}

/// PostgreSQL's "fast" and "immediate" shutdown, then the end.
pub(super) const POSTGRES_STEPS: [Step; 3] = [
    Step::new(Signal::INT, "INT", 15),
    Step::new(Signal::QUIT, "QUIT", 5),
    Step::new(Signal::KILL, "KILL", 5),
];

impl Ending {
    /// SIGTERM, `grace_seconds` to finish, then SIGKILL.
    #[must_use]
    pub fn terminate(grace_seconds: u32) -> Self {
        Self {
            steps: vec![Step::new(Signal::TERM, "TERM", grace_seconds), Step::new(Signal::KILL, "KILL", 5)],
            sweep: None,
        }
    }

    /// A PostgreSQL server's own order: fast, immediate, SIGKILL.
    #[must_use]
    pub fn postgres() -> Self {
        Self { steps: POSTGRES_STEPS.to_vec(), sweep: None }
    }

    /// Removes `directory` with all it holds after the child is gone, if the owner died without
    /// [`Leash::release`].
    #[must_use]
    pub fn then_remove(mut self, directory: &Path) -> Self {
        self.sweep = Some(directory.to_owned());
        self
    }

    fn steps_text(&self) -> String {
        self.steps.iter().fold(String::new(), |mut text, step| {
            // Writing to a String does not fail.
            let _ = write!(text, "{} {} ", step.name, step.seconds);
            text
        })
    }
}

/// A command whose child will be on a [`Leash`].
#[derive(Debug)]
pub struct Leashed {
    command: Command,
}

impl Leashed {
    /// `program` in a process group of its own (the terminal's Ctrl-C reaches the owner only), with an empty
    /// standard input. A program that can't be executed shows as exit code 126 or 127, not as an error.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>, ending: &Ending) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(script())
            .arg("leash")
            .arg(ending.sweep.as_deref().unwrap_or_else(|| Path::new("")))
            .arg(ending.steps_text())
            .arg(program)
            .process_group(0);
        Self { command }
    }

    /// For arguments, environment, directory, user and output of the program. Standard input stays ours.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it. The child's process id is the program's own.
    ///
    /// # Errors
    /// When `/bin/sh` can't be started: user, working directory or process limit.
    pub fn spawn(mut self) -> io::Result<(Child, Leash)> {
        let mut child = self.command.stdin(Stdio::piped()).spawn()?;
        let line = child.stdin.take().expect("standard input was piped two lines above");
        Ok((child, Leash { line: line.into_owned_fd()?.into() }))
    }
}

/// Without the comments, which would fill the screen of whoever lists the processes.
fn script() -> String {
    SCRIPT.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// What keeps a child alive: dropping it, or dying, ends the child.
#[derive(Debug)]
pub struct Leash {
    line: File,
}

impl Leash {
    /// Lets go: the watchdog leaves without touching the child or its directory. For a child that has ended.
    pub fn release(mut self) {
        // A watchdog that is gone already needs no word.
        let _ = self.line.write_all(b"release\n");
    }
}
