//! Progress lines on standard output: at the beginning, at the end, and in between at most four a second.
//!
//! Progress is told as well as can be: a standard output that nobody reads any more does not stop a job.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use cyberbrain_core::outcome::{self, ProgressUnit, StdoutMessage, StdoutRecord};

/// Shortest time between two lines of the same stage.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells how far a job is.
pub struct Progress<'a> {
    stdout: &'a mut (dyn Write + Send),
    stage: &'static str,
    told: Option<(Instant, u64)>,
}

impl<'a> Progress<'a> {
    /// Tells it there.
    pub fn to(stdout: &'a mut (dyn Write + Send)) -> Self {
        Self { stdout, stage: "", told: None }
    }

    /// Tells `done` of `total`, unless the stage is the same, unfinished, and was told just now.
    pub fn tell(&mut self, stage: &'static str, done: u64, total: u64, unit: ProgressUnit) {
        let same_stage = self.stage == stage;
        if let Some((at, told)) = self.told
            && same_stage
            && (told == done || (done < total && at.elapsed() < PAUSE))
        {
            return;
        }
        self.tell_now(stage, done, total, unit);
    }

    /// Tells it however little time has passed.
    pub fn tell_now(&mut self, stage: &'static str, done: u64, total: u64, unit: ProgressUnit) {
        self.stage = stage;
        self.told = Some((Instant::now(), done));
        let progress = outcome::Progress::counted(stage, done, total, unit);
        let record = StdoutRecord { cyberbrain: StdoutMessage::Progress(progress) };
        if let Ok(line) = serde_json::to_string(&record) {
            let _ = writeln!(self.stdout, "{line}").and_then(|()| self.stdout.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_beginning_and_end_and_little_in_between() {
        let mut out = Vec::new();
        let mut progress = Progress::to(&mut out);
        for done in 0..=10_000 {
            progress.tell("reading", done, 10_000, ProgressUnit::Bytes);
        }
        progress.tell("writing", 0, 1, ProgressUnit::Items);
        let text = String::from_utf8(out).unwrap();
        let records: Vec<StdoutRecord> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done: Vec<u64> = records
            .iter()
            .map(|record| match &record.cyberbrain {
                StdoutMessage::Progress(progress) => progress.done,
            })
            .collect();
        assert_eq!(done[0], 0);
        assert_eq!(done[done.len() - 2..], [10_000, 0], "the end of a stage and the next one's beginning");
        assert!(done.len() < 100, "{} lines", done.len());
    }
}
