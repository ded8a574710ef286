//! Progress: what a running worker says about how far it is, as one line of JSON on stdout.
//!
//! ```text
//! {"cyberbrain":{"progress":{"percent":42.0,"stage":"reading logs","done":420,"total":1000,"unit":"bytes"}}}
//! ```
//!
//! A line is taken for progress only if it is one JSON object with a `cyberbrain` key; every other line is
//! log. Nothing in it is trusted: call [`Progress::sanitised`] before it is stored or shown.

use serde::{Deserialize, Serialize};

use super::text::stage_text;
use crate::text_enum;

/// A longer line on stdout is never taken for progress.
pub const MAX_PROGRESS_LINE_BYTES: usize = 4096;

/// One line of JSON on a worker's stdout that is meant for the launcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StdoutRecord {
    pub cyberbrain: StdoutMessage,
}

/// What the line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdoutMessage {
    Progress(Progress),
}

/// How far a worker is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Progress {
    /// 0 to 100.
    pub percent: Option<f64>,
    /// What it is doing, in [`MAX_STAGE_CHARACTERS`](super::MAX_STAGE_CHARACTERS) at most.
    #[serde(default)]
    pub stage: String,
    #[serde(default)]
    pub done: u64,
    pub total: Option<u64>,
    #[serde(default)]
    pub unit: ProgressUnit,
}

text_enum! {
    /// What `done` and `total` count.
    #[derive(Default)]
    ProgressUnit("progress unit") {
        #[default]
        Items = "items",
        Bytes = "bytes",
    }
}

impl Progress {
    /// Progress counted in `done` of `total`; the percentage follows from them.
    #[must_use]
    pub fn counted(stage: &str, done: u64, total: u64, unit: ProgressUnit) -> Self {
        Self { percent: None, stage: stage.to_owned(), done, total: Some(total), unit }.sanitised()
    }

    /// The same with everything in its limits: `done` ≤ `total`, `percent` between 0 and 100 and filled in
    /// from `done` and `total` if it was missing or no number, `stage` clean and short.
    #[must_use]
    pub fn sanitised(self) -> Self {
        let done = self.total.map_or(self.done, |total| self.done.min(total));
        let counted = self.total.filter(|&total| total > 0).map(|total| share(done, total));
        let percent = self.percent.filter(|percent| percent.is_finite()).or(counted);
        Self {
            percent: percent.map(|percent| percent.clamp(0.0, 100.0)),
            stage: stage_text(&self.stage),
            done,
            total: self.total,
            unit: self.unit,
        }
    }
}

/// `done` of `total` in percent, to one decimal, rounded down so that 100 means all of it.
fn share(done: u64, total: u64) -> f64 {
    let tenths = u128::from(done) * 1000 / u128::from(total);
    tenths as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(percent: Option<f64>, done: u64, total: Option<u64>) -> Progress {
        Progress { percent, stage: "x".into(), done, total, unit: ProgressUnit::Items }
    }

    #[test]
    fn sanitised_keeps_everything_in_its_limits() {
        let cases = [
            (given(Some(42.0), 0, None), Some(42.0), 0),
            (given(Some(-3.0), 0, None), Some(0.0), 0),
            (given(Some(300.0), 0, None), Some(100.0), 0),
            (given(Some(f64::NAN), 1, Some(4)), Some(25.0), 1),
            (given(None, 9, Some(4)), Some(100.0), 4),
            (given(None, 999, Some(1000)), Some(99.9), 999),
            (given(None, 9_999, Some(10_000)), Some(99.9), 9_999),
            (given(None, 3, Some(0)), None, 0),
            (given(None, 3, None), None, 3),
            (given(None, u64::MAX, Some(u64::MAX)), Some(100.0), u64::MAX),
        ];
        for (progress, percent, done) in cases {
            let told = format!("{progress:?}");
            let clean = progress.sanitised();
            assert_eq!((clean.percent, clean.done), (percent, done), "for {told}");
            assert_eq!(clean.clone().sanitised(), clean, "twice is once, for {told}");
        }
    }

    #[test]
    fn has_the_documented_form() {
        let progress = Progress::counted("reading logs", 420, 1000, ProgressUnit::Bytes);
        let record = StdoutRecord { cyberbrain: StdoutMessage::Progress(progress) };
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(
            line,
            r#"{"cyberbrain":{"progress":{"percent":42.0,"stage":"reading logs","done":420,"total":1000,"unit":"bytes"}}}"#
        );
        assert_eq!(serde_json::from_str::<StdoutRecord>(&line).unwrap(), record);
    }

    #[test]
    fn a_sparse_message_is_enough() {
        let record: StdoutRecord =
            serde_json::from_str(r#"{"cyberbrain":{"progress":{"percent":7}}}"#).unwrap();
        let StdoutMessage::Progress(progress) = record.cyberbrain;
        assert_eq!(progress, Progress { percent: Some(7.0), ..Progress::default() });
    }
}
