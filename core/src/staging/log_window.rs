//! Which span of a log a triage reads: since it was last read, or what its params say.
//!
//! Guarantees that the windows of successive successes meet: a half-open span begins where the last one ended, so a line
//! that is stamped at the cutoff is read once. A span that params ask for is read beside that and moves nothing on.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Window;

/// How far back a container is read for the first time.
const FIRST: TimeDelta = TimeDelta::hours(24);
/// The longest span that can be asked for in hours.
pub const MAX_WINDOW_HOURS: f64 = 24.0 * 31.0;

/// What a triage can be asked for, beside what other jobs of its Run are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogParams {
    /// From when on, inclusive.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// Until when, exclusive; now if absent.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// Instead of `since`: so long before `until`.
    #[serde(default)]
    pub window_hours: Option<f64>,
    /// Names of the only containers that are read; all that are allowed if empty.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Whether what a language model says of findings in its own words is kept, in the artifact `llm-notes.md` and nowhere else.
    #[serde(default)]
    pub llm_notes: bool,
}

/// Whose logs a triage reads up to now, and what is written down about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSpan {
    /// Since the last success, container by container; the next one goes on from here.
    SinceLast,
    /// A span of its own; how far logs have been read stays as it is.
    Asked { from: AskedFrom, until: Option<DateTime<Utc>> },
}

/// The beginning of a span that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFrom {
    At(DateTime<Utc>),
    Before(TimeDelta),
}

/// What is wrong with the params.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLogParams {
    TwoBeginnings,
    NoBeginning,
    NoSpan,
    Hours,
}

impl BadLogParams {
    /// The param to look at.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::TwoBeginnings | Self::Hours => "window_hours",
            Self::NoBeginning | Self::NoSpan => "until",
        }
    }
}

impl fmt::Display for BadLogParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoBeginnings => {
                f.write_str("since and window_hours both say where to begin; leave one out")
            }
            Self::NoBeginning => {
                f.write_str("until goes with since or window_hours, which say where to begin")
            }
            Self::NoSpan => f.write_str("until has to be later than since"),
            Self::Hours => write!(f, "window_hours has to be more than 0 and at most {MAX_WINDOW_HOURS}"),
        }
    }
}

impl std::error::Error for BadLogParams {}

impl LogParams {
    /// Which span they ask for.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn span(&self) -> Result<LogSpan, BadLogParams> {
        let from = match (self.since, self.window_hours) {
            (Some(_), Some(_)) => return Err(BadLogParams::TwoBeginnings),
            (Some(since), None) => AskedFrom::At(since),
            (None, Some(hours)) if hours > 0.0 && hours <= MAX_WINDOW_HOURS => {
                // In the range, so it fits.
                AskedFrom::Before(TimeDelta::milliseconds((hours * 3_600_000.0).ceil() as i64))
            }
            (None, Some(_)) => return Err(BadLogParams::Hours),
            (None, None) if self.until.is_some() => return Err(BadLogParams::NoBeginning),
            (None, None) => return Ok(LogSpan::SinceLast),
        };
        match (from, self.until) {
            (AskedFrom::At(since), Some(until)) if since >= until => Err(BadLogParams::NoSpan),
            (AskedFrom::At(_) | AskedFrom::Before(_), until) => Ok(LogSpan::Asked { from, until }),
        }
    }

    /// Whether this container is meant.
    #[must_use]
    pub fn mean(&self, container: &str) -> bool {
        self.containers.is_empty() || self.containers.iter().any(|name| name == container)
    }
}

impl LogSpan {
    /// The window of one container whose log was last read up to `last`; `now` is taken before the reading. Empty, but
    /// never backwards, if the span lies ahead or the clock went back.
    #[must_use]
    pub fn window(self, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Window {
        match self {
            Self::SinceLast => {
                let from = last.unwrap_or(now - FIRST);
                Window { from, to: now.max(from) }
            }
            Self::Asked { from, until } => {
                let to = until.map_or(now, |until| until.min(now));
                let from = match from {
                    AskedFrom::At(since) => since.min(to),
                    AskedFrom::Before(length) => to - length,
                };
                Window { from, to }
            }
        }
    }

    /// Whether a success moves on how far logs have been read.
    #[must_use]
    pub const fn is_since_last(self) -> bool {
        match self {
            Self::SinceLast => true,
            Self::Asked { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(1_700_000_000_000_000_000 + nanos)
    }

    fn params(since: Option<i64>, until: Option<i64>, window_hours: Option<f64>) -> LogParams {
        LogParams { since: since.map(at), until: until.map(at), window_hours, ..LogParams::default() }
    }

    #[test]
    fn params_are_a_span_or_wrong() {
        let hour = 3_600_000_000_000;
        let asked = |from, until: Option<i64>| Ok(LogSpan::Asked { from, until: until.map(at) });
        for (given, expected) in [
            (params(None, None, None), Ok(LogSpan::SinceLast)),
            (params(Some(5), None, None), asked(AskedFrom::At(at(5)), None)),
            (params(Some(5), Some(6), None), asked(AskedFrom::At(at(5)), Some(6))),
            (params(None, Some(6), Some(1.0)), asked(AskedFrom::Before(TimeDelta::hours(1)), Some(6))),
            (params(None, None, Some(744.0)), asked(AskedFrom::Before(TimeDelta::days(31)), None)),
            (params(Some(5), None, Some(1.0)), Err(BadLogParams::TwoBeginnings)),
            (params(None, Some(6), None), Err(BadLogParams::NoBeginning)),
            (params(Some(6), Some(6), None), Err(BadLogParams::NoSpan)),
            (params(None, None, Some(0.0)), Err(BadLogParams::Hours)),
            (params(None, None, Some(-1.0)), Err(BadLogParams::Hours)),
            (params(None, None, Some(f64::NAN)), Err(BadLogParams::Hours)),
            (params(None, None, Some(745.0)), Err(BadLogParams::Hours)),
        ] {
            assert_eq!(given.span(), expected, "{given:?}");
        }
        let now = at(10 * hour);
        let window = |given: LogParams| given.span().unwrap().window(Some(at(1)), now);
        assert_eq!(window(params(None, None, Some(2.0))), Window { from: at(8 * hour), to: now });
        assert_eq!(window(params(Some(5), Some(99 * hour), None)), Window { from: at(5), to: now });
        assert_eq!(window(params(Some(99 * hour), None, None)), Window { from: now, to: now }, "ahead");
        assert_eq!(
            LogSpan::SinceLast.window(None, now),
            Window { from: now - TimeDelta::hours(24), to: now },
            "the first time"
        );
    }

    proptest! {
        /// Lines a nanosecond around the cutoffs, collected by successes at any times, also with a clock that goes back.
        #[test]
        fn each_line_is_in_exactly_one_window(
            cutoffs in prop::collection::vec(0_i64..40, 1..8),
            lines in prop::collection::vec(0_i64..40, 1..40),
        ) {
            let mut last = Some(at(0));
            let mut read = Vec::new();
            for cutoff in cutoffs {
                let window = LogSpan::SinceLast.window(last, at(cutoff));
                read.extend(lines.iter().copied().filter(|line| window.from <= at(*line) && at(*line) < window.to));
                last = Some(window.to);
            }
            let mut expected: Vec<i64> = lines.into_iter().filter(|line| at(*line) < last.unwrap()).collect();
            expected.sort_unstable();
            read.sort_unstable();
            prop_assert_eq!(read, expected);
        }
    }
}
