//! Which kind of message each line of a log is found to be: what the job does with a line, for those who measure how
//! well it does it.
//!
//! Takes lines without the staged time and stream, and runs them through the same joiner, reading and tree as the job.
//! It does not keep the lines.

use super::{analysis::Analysis, drain::TemplateNumber, trace::Joiner};

/// Groups the lines of one log.
#[derive(Default)]
pub struct LogGrouping {
    analysis: Analysis,
    joiner: Joiner,
    groups: Vec<Option<TemplateNumber>>,
}

impl LogGrouping {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        let Self { analysis, joiner, groups } = self;
        joiner.push(None, line, |entry| groups.push(analysis.classify(&entry).number));
    }

    /// The group of every entry in order; `None` where the table of templates was full. There are as many entries as
    /// lines unless lines were empty or joined to stack traces.
    #[must_use]
    pub fn finish(self) -> Vec<Option<usize>> {
        let Self { mut analysis, mut joiner, mut groups } = self;
        joiner.finish(|entry| groups.push(analysis.classify(&entry).number));
        let numbers = analysis.drain.settle();
        groups.into_iter().map(|group| group.map(|number| numbers[number])).collect()
    }
}
