//! One worker process: its start, its signals, its output and its end.

use std::{io, process::Stdio, sync::Arc, time::Duration};

use cyberbrain_core::{ids::GpuUuid, staging::LogStream};
use rustix::process::{Pid, Signal as UnixSignal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::{Program, engine::EngineDirectory};
use crate::runtime::{
    in_memory::{Cell, LogWriter, Signal},
    plan::ContainerPlan,
};

/// How long the output may take to end after the process; longer only if a grandchild escaped its group.
const OUTPUT_LIMIT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 16 * 1024;

/// A started process and its group.
pub(super) struct Worker {
    child: Child,
    group: Group,
}

/// Starts the process, in a group of its own, with nothing of our environment. It is written down in the
/// engine's directory before this returns.
pub(super) fn spawn(
    program: &Program,
    plan: &ContainerPlan,
    engine: &Arc<EngineDirectory>,
) -> io::Result<Worker> {
    let mut command = Command::new(&program.executable);
    command
        .args(&program.arguments)
        .args(&plan.command)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("CUDA_VISIBLE_DEVICES", plan.gpus.iter().map(GpuUuid::as_str).collect::<Vec<_>>().join(","))
        .envs(&plan.env)
        .process_group(0)
        .kill_on_drop(true)
        .current_dir(plan.mounts.out.as_deref().unwrap_or_else(|| "/".as_ref()))
        // It closes with us: a worker that reads it learns that its launcher is gone.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let directories = [
        ("CYBERBRAIN_OUTPUT_DIR", &plan.mounts.out),
        ("CYBERBRAIN_INPUT_DIR", &plan.mounts.input),
        ("CYBERBRAIN_UPLOADS_DIR", &plan.mounts.uploads),
    ];
    for (name, directory) in directories {
        if let Some(directory) = directory {
            command.env(name, directory);
        }
    }
    if rustix::process::getuid().is_root() {
        command.uid(plan.user.uid).gid(plan.user.gid);
    }
    let child = command.spawn()?;
    let group = Group::of(&child, Arc::clone(engine));
    Ok(Worker { child, group })
}

/// Stays with the process until it has ended and its output is in the log, then says so.
pub(super) async fn supervise(worker: Worker, cell: Arc<Cell>, mut signals: mpsc::Receiver<Signal>) {
    let Worker { mut child, group } = worker;
    let output = [
        child.stdout.take().map(|from| pump(from, LogWriter::new(cell.logs.clone(), LogStream::Stdout))),
        child.stderr.take().map(|from| pump(from, LogWriter::new(cell.logs.clone(), LogStream::Stderr))),
    ];
    // Taken out so that waiting does not close it.
    let stdin = child.stdin.take();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            // Signals go out here only, where the process is known not to be reaped yet.
            Some(signal) = signals.recv() => match signal {
                Signal::Terminate => group.terminate(),
                Signal::Kill => group.kill(),
            },
        }
    };
    drop(stdin);
    // Whatever it started ends with it, as in a container; this also closes the other ends of its output.
    drop(group);
    for pumping in output.into_iter().flatten() {
        let abort = pumping.abort_handle();
        if timeout(OUTPUT_LIMIT, pumping).await.is_err() {
            abort.abort();
        }
    }
    let code = match status {
        Ok(status) => exit_code(status),
        Err(error) => {
            tracing::error!(container = %cell.id, error = &error as &dyn std::error::Error, "the end of a worker process is unknown");
            // As an engine that lost its process says.
            255
        }
    };
    cell.end(code, false);
}

fn exit_code(status: std::process::ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    i64::from(code)
}

fn pump(mut from: impl AsyncRead + Unpin + Send + 'static, mut to: LogWriter) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0; READ_BYTES];
        // A read error on a pipe is its end as well.
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            to.write(&buffer[..count]);
        }
        to.finish();
    })
}

/// The process group of a worker. Dropping it kills what is left of it.
struct Group {
    leader: Option<Pid>,
    engine: Arc<EngineDirectory>,
}

impl Group {
    fn of(child: &Child, engine: Arc<EngineDirectory>) -> Self {
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            engine.remember(leader);
        }
        Self { leader, engine }
    }

    /// To the worker alone, as an engine's init does.
    fn terminate(&self) {
        if let Some(leader) = self.leader {
            // The only error is that it is gone.
            let _ = kill_process(leader, UnixSignal::TERM);
        }
    }

    fn kill(&self) {
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, UnixSignal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Some(leader) = self.leader {
            self.engine.forget(leader);
        }
    }
}
