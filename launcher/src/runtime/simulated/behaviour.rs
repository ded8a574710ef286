//! How a simulated container behaves, written in one environment variable of its plan.
//!
//! `CYBERBRAIN_SIMULATE="run_ms=500,exit=3,log_lines=10,ignore_sigterm"`; every part may be absent.

use std::time::Duration;

/// The variable.
pub(super) const VARIABLE: &str = "CYBERBRAIN_SIMULATE";

/// What it does on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnTerminate {
    Exit,
    Ignore,
}

/// What a simulated container does once it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// How long it runs if nobody stops it.
    pub run: Duration,
    /// Its exit code then.
    pub exit_code: i64,
    /// Whether the kernel "kills" it for lack of memory at that time; the code is 137 then.
    pub out_of_memory: bool,
    /// Lines that it logs at its start.
    pub log_lines: u32,
    pub(super) on_terminate: OnTerminate,
}

impl Behaviour {
    /// Runs this long, then ends well.
    #[must_use]
    pub const fn running(run: Duration) -> Self {
        Self { run, exit_code: 0, out_of_memory: false, log_lines: 2, on_terminate: OnTerminate::Exit }
    }

    /// Changes what the text says.
    pub(super) fn overridden(mut self, text: &str) -> Result<Self, String> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let wrong = |what: &str| format!("{VARIABLE}: {part:?}: {what}");
            match (key, value) {
                ("run_ms", ms) => {
                    self.run = Duration::from_millis(ms.parse().map_err(|_| wrong("no milliseconds"))?);
                }
                ("exit", code) => self.exit_code = code.parse().map_err(|_| wrong("no exit code"))?,
                ("log_lines", count) => self.log_lines = count.parse().map_err(|_| wrong("no count"))?,
                ("oom", "") => {
                    self.out_of_memory = true;
                    self.exit_code = 137;
                }
                ("ignore_sigterm", "") => self.on_terminate = OnTerminate::Ignore,
                (_, _) => return Err(wrong("known are run_ms=, exit=, log_lines=, oom, ignore_sigterm")),
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_or_refused() {
        let base = Behaviour::running(Duration::from_secs(1));
        assert_eq!(base.clone().overridden(""), Ok(base.clone()));
        let read = base.clone().overridden("run_ms=500, exit=3,log_lines=7,ignore_sigterm").unwrap();
        assert_eq!(read.run, Duration::from_millis(500));
        assert_eq!((read.exit_code, read.log_lines, read.on_terminate), (3, 7, OnTerminate::Ignore));
        let oom = base.clone().overridden("oom").unwrap();
        assert_eq!((oom.exit_code, oom.out_of_memory), (137, true));
        for bad in ["exit", "exit=x", "run_ms=-1", "oom=1", "sleep=3"] {
            assert!(base.clone().overridden(bad).is_err(), "{bad}");
        }
    }
}
