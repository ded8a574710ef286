//! Which kind of message each line of a log is found to be: what the job does with a line, for those who measure how
//! well it does it.
//!
//! Takes lines without the staged time and stream, and runs them through the same joiner, reading and tree as the job.
//! It does not keep the lines.

use chrono::DateTime;

use super::{
    analysis::Analysis,
    trace::{Entry, Joiner},
    variants::GroupNumber,
};

/// Groups the lines of one log.
#[derive(Default)]
pub struct LogGrouping {
    analysis: Analysis,
    joiner: Joiner,
    /// By line.
    groups: Vec<Option<GroupNumber>>,
}

impl LogGrouping {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        let Self { analysis, joiner, groups } = self;
        // A time that says which line an entry began with.
        let at = DateTime::from_timestamp(i64::try_from(groups.len()).unwrap_or_default(), 0);
        groups.push(None);
        joiner.push(at, line, |entry| take(analysis, groups, &entry));
    }

    /// The group of every line in order; `None` where the table of templates was full, the line was empty, or it only goes on
    /// with a stack trace.
    #[must_use]
    pub fn finish(self) -> Vec<Option<usize>> {
        let Self { mut analysis, mut joiner, mut groups } = self;
        joiner.finish(|entry| take(&mut analysis, &mut groups, &entry));
        let numbers = analysis.drain.settle();
        groups.into_iter().map(|group| group.map(|number| numbers[number])).collect()
    }
}

fn take(analysis: &mut Analysis, groups: &mut [Option<GroupNumber>], entry: &Entry) {
    let line = entry.at.and_then(|at| usize::try_from(at.timestamp()).ok());
    if let Some(group) = line.and_then(|line| groups.get_mut(line)) {
        *group = analysis.classify(entry).number;
    }
}
