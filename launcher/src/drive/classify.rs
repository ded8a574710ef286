//! How an attempt is judged by its end: pure.

use cyberbrain_core::{
    lifecycle::{FailureKind, Outcome, StopReason},
    outcome::JobResult,
};

use super::{collect::ResultProblem, follow::Signs};
use crate::runtime::Exit;

/// Ended by SIGKILL.
const KILLED: i64 = 128 + 9;
/// Ended by SIGTERM.
const TERMINATED: i64 = 128 + 15;
/// What an init answers when it can't execute the command, or finds none.
const NOT_EXECUTED: [i64; 2] = [126, 127];

/// The judgement on an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub outcome: Outcome,
    /// One sentence of ours.
    pub detail: Option<String>,
    /// Only with success.
    pub result: Option<JobResult>,
}

impl Judgement {
    pub(super) fn failed(failure: FailureKind, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed(failure), detail: Some(detail.into()), result: None }
    }
}

/// What a container that was being stopped for this reason is recorded as.
pub(super) fn stopped(reason: StopReason) -> Judgement {
    match reason {
        StopReason::Cancel => Judgement { outcome: Outcome::Cancelled, detail: None, result: None },
        StopReason::RunTimeout => Judgement::failed(FailureKind::RunTimeout, "it ran longer than its limit"),
        StopReason::LogQuota => {
            Judgement::failed(FailureKind::LogQuota, "it wrote more output than its limit")
        }
        StopReason::LauncherStopping => Judgement::failed(
            FailureKind::LauncherStopped,
            "its launcher ended and was told to stop its workers",
        ),
    }
}

/// Judges a container that has ended. The first rule that applies decides.
pub(super) fn judge(
    exit: Exit,
    stop: Option<StopReason>,
    signs: Signs,
    result: Result<JobResult, ResultProblem>,
) -> Judgement {
    // A success that was there before the stop took hold is still what the user asked to be rid of, or too late.
    if let Some(reason) = stop {
        return stopped(reason);
    }
    if exit.code == 0 {
        return match result {
            Ok(result) => Judgement { outcome: Outcome::Success, detail: None, result: Some(result) },
            Err(problem) => Judgement::failed(FailureKind::ResultInvalid, problem.to_string()),
        };
    }
    if exit.oom_killed {
        return Judgement::failed(
            FailureKind::HostOom,
            format!("the kernel killed a process of it for lack of memory (exit code {})", exit.code),
        );
    }
    if exit.code == KILLED || exit.code == TERMINATED {
        return Judgement::failed(
            FailureKind::DaemonRestarted,
            format!(
                "it was ended from outside (exit code {}) and not by us: the engine restarted, or somebody stopped it",
                exit.code
            ),
        );
    }
    if signs.command_not_executed && NOT_EXECUTED.contains(&exit.code) {
        return Judgement::failed(
            FailureKind::EntrypointInvalid,
            "its command can't be executed in the image",
        );
    }
    if signs.gpu_memory_ran_out {
        return Judgement::failed(
            FailureKind::GpuOom,
            format!("it ran out of GPU memory (exit code {}); ask for more with min_vram_mib", exit.code),
        );
    }
    Judgement::failed(FailureKind::NonzeroExit, format!("it ended with exit code {}", exit.code))
}

#[cfg(test)]
mod tests {
    use cyberbrain_core::outcome::CustomResult;

    use super::*;

    fn exit(code: i64, oom_killed: bool) -> Exit {
        Exit { code, oom_killed, started_at: None, finished_at: None }
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        use FailureKind::{
            DaemonRestarted, EntrypointInvalid, GpuOom, HostOom, LauncherStopped, LogQuota, NonzeroExit,
            ResultInvalid, RunTimeout,
        };
        let good = || Ok(JobResult::Custom(CustomResult::default()));
        let bad = || Err(ResultProblem::Missing);
        let gpu = Signs { gpu_memory_ran_out: true, ..Signs::default() };
        let init = Signs { command_not_executed: true, ..Signs::default() };
        let none = Signs::default();
        let failed = Outcome::Failed;
        let table = [
            ("all well", exit(0, false), None, none, good(), Outcome::Success),
            ("a child was killed, the job went on", exit(0, true), None, none, good(), Outcome::Success),
            ("no result", exit(0, false), None, none, bad(), failed(ResultInvalid)),
            ("its own code", exit(3, false), None, none, good(), failed(NonzeroExit)),
            ("memory", exit(137, true), None, none, bad(), failed(HostOom)),
            ("a child's memory", exit(3, true), None, none, bad(), failed(HostOom)),
            ("killed by others", exit(137, false), None, none, bad(), failed(DaemonRestarted)),
            ("terminated by others", exit(143, false), None, none, bad(), failed(DaemonRestarted)),
            ("no such command", exit(127, false), None, init, bad(), failed(EntrypointInvalid)),
            ("a shell's 127", exit(127, false), None, none, bad(), failed(NonzeroExit)),
            ("GPU memory", exit(1, false), None, gpu, bad(), failed(GpuOom)),
            ("GPU memory, survived", exit(0, false), None, gpu, good(), Outcome::Success),
            ("cancelled", exit(143, false), Some(StopReason::Cancel), none, bad(), Outcome::Cancelled),
            ("cancelled, code 0", exit(0, false), Some(StopReason::Cancel), none, good(), Outcome::Cancelled),
            ("time", exit(137, false), Some(StopReason::RunTimeout), none, bad(), failed(RunTimeout)),
            ("output", exit(143, false), Some(StopReason::LogQuota), none, bad(), failed(LogQuota)),
            (
                "exit",
                exit(143, true),
                Some(StopReason::LauncherStopping),
                none,
                bad(),
                failed(LauncherStopped),
            ),
        ];
        for (what, exit, stop, signs, result, outcome) in table {
            let judgement = judge(exit, stop, signs, result);
            assert_eq!(judgement.outcome, outcome, "{what}");
            assert_eq!(judgement.result.is_some(), outcome == Outcome::Success, "{what}");
        }
    }
}
