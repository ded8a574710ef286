//! Short external commands: bounded in time, without the caller's PostgreSQL environment.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::Error;

/// A command with a fixed working directory (the caller's may be closed to another user) and without the
/// `PG*` variables, which would redirect PostgreSQL's tools.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    clean(&mut command);
    command
}

/// The same for a command made elsewhere.
pub(super) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if is_postgres_variable(&name) {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").current_dir("/");
}

fn is_postgres_variable(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PG")
}

/// Runs to the end or kills it after `limit`.
pub(super) async fn run(mut command: Command, limit: Duration) -> Result<Output, Error> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(limit, command.output()).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(Error::Spawn { program, source }),
        Err(_) => Err(Error::TooSlow { program, seconds: limit.as_secs() }),
    }
}

/// Both streams, trimmed, for an error a person reads.
pub(super) fn text_of(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !text.is_empty() && !errors.trim().is_empty() {
        text.push('\n');
    }
    text.push_str(errors.trim());
    text
}
