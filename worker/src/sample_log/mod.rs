//! `sample-log`: logs like a web service or a database, with faults planted at known places.
//!
//! Made for demonstrations and tests of `log_triage`: [`PLANTED_FAULTS`] lists what is in there and what has to be
//! found. The same kind, seed, number of lines and start give the same log. After its lines the process
//! idles like a service, with a rare heartbeat, until SIGTERM, and ends with 143.

mod database;
mod faults;
mod random;
mod web;

use std::{collections::VecDeque, io::Write, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use cyberbrain_core::staging::LogStream;

pub use self::faults::{Fault, PLANTED_FAULTS, PLANTED_SECRETS, PlantedFault};
use self::random::Random;
use crate::{
    error::Error,
    wait::{OnTerm, Tick, Waited, tick_until_term},
};

/// Mean time between two lines, as their own time stamps tell it.
const MEAN_STEP: TimeDelta = TimeDelta::milliseconds(100);
/// Most lines written at once when they are not paced.
const PORTION: usize = 200;
/// Time between two portions.
const PORTION_PAUSE: Duration = Duration::from_millis(1);

/// What to log like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SampleKind {
    /// A web shop: nginx access and error log, and the application's own
    Web,
    /// A PostgreSQL server
    Database,
}

/// Options of `sample-log`.
#[derive(Debug, Clone, Args)]
pub struct SampleLogArgs {
    /// What to log like
    pub kind: SampleKind,
    /// The same seed gives the same log
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Ordinary lines; the planted faults come on top
    #[arg(long, default_value_t = 2_000)]
    pub lines: u32,
    /// Lines per second; as fast as possible if it is not given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// The first line's own time stamp; by default such that the last one's is now
    #[arg(long)]
    pub start: Option<DateTime<Utc>>,
    /// Seconds between two heartbeats once all lines are written
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_seconds: u64,
}

/// One line of a sample log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleLine {
    /// When it claims to have been written.
    pub at: DateTime<Utc>,
    pub stream: LogStream,
    pub text: String,
}

/// All lines of a sample log, in order of time.
#[derive(Debug)]
pub struct SampleLog {
    kind: SampleKind,
    random: Random,
    at: DateTime<Utc>,
    written: u32,
    lines: u32,
    /// Faults that are still to come, with the number of ordinary lines before them.
    planned: VecDeque<(u32, Fault)>,
    ready: VecDeque<SampleLine>,
}

impl SampleLog {
    /// So many ordinary lines from `start` on, and every planted fault of the kind.
    #[must_use]
    pub fn new(kind: SampleKind, seed: u64, lines: u32, start: DateTime<Utc>) -> Self {
        let faults: Vec<Fault> = PLANTED_FAULTS
            .iter()
            .filter(|planted| planted.log == kind)
            .map(|planted| planted.fault)
            .collect();
        // Evenly over the log, with ordinary lines before the first and after the last.
        let parts = faults.len() as u64 + 1;
        let place = |at: usize| (u64::from(lines) * (at as u64 + 1) / parts) as u32;
        let planned = faults.into_iter().enumerate().map(|(at, fault)| (place(at), fault)).collect();
        Self {
            kind,
            random: Random::new(seed),
            at: start,
            written: 0,
            lines,
            planned,
            ready: VecDeque::new(),
        }
    }

    /// A line that says that all is well.
    fn heartbeat(&mut self, at: DateTime<Utc>) -> SampleLine {
        match self.kind {
            SampleKind::Web => web::heartbeat(at),
            SampleKind::Database => database::heartbeat(at),
        }
    }

    fn plant(&mut self, fault: Fault) {
        let mut writer = Writer { at: self.at, lines: &mut self.ready };
        match self.kind {
            SampleKind::Web => web::plant(fault, &mut self.random, &mut writer),
            SampleKind::Database => database::plant(fault, &mut self.random, &mut writer),
        }
        self.at = writer.at;
    }
}

impl Iterator for SampleLog {
    type Item = SampleLine;

    fn next(&mut self) -> Option<SampleLine> {
        while self.ready.is_empty() {
            match self.planned.front() {
                Some(&(place, fault)) if self.written >= place => {
                    self.planned.pop_front();
                    self.plant(fault);
                }
                Some(_) | None => break,
            }
        }
        if let Some(line) = self.ready.pop_front() {
            return Some(line);
        }
        if self.written == self.lines {
            return None;
        }
        self.written += 1;
        self.at += MEAN_STEP * self.random.below(20) as i32 / 10;
        let mut writer = Writer { at: self.at, lines: &mut self.ready };
        match self.kind {
            SampleKind::Web => web::ordinary(&mut self.random, &mut writer),
            SampleKind::Database => database::ordinary(&mut self.random, &mut writer),
        }
        self.ready.pop_front()
    }
}

/// Takes the lines that the kinds make.
struct Writer<'a> {
    at: DateTime<Utc>,
    lines: &'a mut VecDeque<SampleLine>,
}

impl Writer<'_> {
    fn stdout(&mut self, text: String) {
        self.lines.push_back(SampleLine { at: self.at, stream: LogStream::Stdout, text });
    }

    fn stderr(&mut self, text: String) {
        self.lines.push_back(SampleLine { at: self.at, stream: LogStream::Stderr, text });
    }

    fn pass(&mut self, milliseconds: i64) {
        self.at += TimeDelta::milliseconds(milliseconds);
    }
}

/// Writes the log to `stdout` and standard error, then idles until SIGTERM.
pub fn run(args: &SampleLogArgs, stdout: &mut (dyn Write + Send)) -> Result<(), Error> {
    let start = args.start.unwrap_or_else(|| Utc::now() - MEAN_STEP * args.lines.min(i32::MAX as u32) as i32);
    let mut log = SampleLog::new(args.kind, args.seed, args.lines, start);
    let (pause, portion) = match args.rate {
        // Portions of a tenth of a second.
        Some(rate) if rate > 10 => (Duration::from_millis(100), rate as usize / 10),
        Some(rate) => (Duration::from_secs(1) / rate, 1),
        None => (PORTION_PAUSE, PORTION),
    };
    let mut write = |line: &SampleLine| match line.stream {
        LogStream::Stdout => writeln!(stdout, "{}", line.text).and_then(|()| stdout.flush()),
        LogStream::Stderr => writeln!(std::io::stderr(), "{}", line.text),
    };
    let waited = tick_until_term(pause, OnTerm::End, || {
        for _ in 0..portion {
            let Some(line) = log.next() else { return Ok(Tick::Enough) };
            write(&line).map_err(Error::Stdout)?;
        }
        Ok(Tick::More)
    })?;
    if waited == Waited::Terminated {
        return Err(Error::Terminated);
    }
    tick_until_term(Duration::from_secs(args.heartbeat_seconds), OnTerm::End, || {
        write(&log.heartbeat(Utc::now())).map_err(Error::Stdout)?;
        Ok(Tick::More)
    })?;
    Err(Error::Terminated)
}
