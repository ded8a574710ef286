//! Waiting: for a time, and for SIGTERM.
//!
//! A signal whose arrival is awaited no longer ends the process by itself; that is also how the self-test
//! ignores one.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout, timeout_at},
};

use crate::error::Error;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    TimeIsUp,
    Terminated,
}

/// What SIGTERM does during a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTerm {
    /// Ends the wait.
    End,
    /// Nothing but a line on standard error.
    Ignore,
}

/// Calls `tick` first and then every `pause`, until it says that it is enough or SIGTERM comes.
pub fn tick_until_term(
    pause: Duration,
    on_term: OnTerm,
    mut tick: impl FnMut() -> Result<Tick, Error> + Send,
) -> Result<Waited, Error> {
    on_own_thread(async move {
        let mut term = signal(SignalKind::terminate()).map_err(Error::Wait)?;
        loop {
            if tick()? == Tick::Enough {
                return Ok(Waited::TimeIsUp);
            }
            match on_term {
                OnTerm::End => {
                    if timeout(pause, term.recv()).await.is_ok() {
                        return Ok(Waited::Terminated);
                    }
                }
                OnTerm::Ignore => {
                    let up = Instant::now() + pause;
                    while timeout_at(up, term.recv()).await.is_ok() {
                        let _ = writeln!(io::stderr(), "SIGTERM came and is ignored");
                    }
                }
            }
        }
    })
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    More,
    Enough,
}

/// Waits this long, or until SIGTERM.
pub fn wait(time: Duration, on_term: OnTerm) -> Result<Waited, Error> {
    let mut ticks = 0;
    tick_until_term(time, on_term, || {
        ticks += 1;
        Ok(if ticks > 1 { Tick::Enough } else { Tick::More })
    })
}

/// Runs it in a runtime on a thread of its own, so that the caller may be inside of one.
fn on_own_thread<T: Send>(future: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let run = move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Wait)?;
            runtime.block_on(future)
        };
        let died = || Error::Wait(io::Error::other("the waiting thread panicked"));
        scope.spawn(run).join().unwrap_or_else(|_| Err(died()))
    })
}
