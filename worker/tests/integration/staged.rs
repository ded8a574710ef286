//! Staged input and an outcome in temporary directories.

use std::{fmt::Write as _, fs};

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    outcome::{
        JobResult, LogTriage, MAX_REPORT_BYTES, MAX_RESULT_BYTES, Progress, REPORT_FILE, RESULT_FILE,
        StdoutMessage, StdoutRecord, validate,
    },
    spec::DirectiveType,
    staging::{
        DirectiveText, JOB_FILE, JobInput, LOG_INDEX_FILE, LOGS_FOLDER, LlmAccess, LogIndex, LogLine,
        LogReading, LogSource, LogStream, PREVIOUS_FILE, PreviousResult, Window,
    },
};
use cyberbrain_worker::{Args, Directories, Error, Job, SampleKind, SampleLog, execute};
use serde::Serialize;
use tempfile::TempDir;

/// What one worker is given and leaves.
pub struct Worker {
    root: TempDir,
    index: LogIndex,
}

/// What a worker left.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub result: JobResult,
    pub report: String,
    pub stdout: String,
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn start() -> DateTime<Utc> {
    at("2026-11-01T10:00:00Z")
}

impl Worker {
    /// With a `job.json` for this job and nothing else.
    pub fn of(task_key: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["input/logs", "out", "uploads"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let worker = Self { root, index: LogIndex::default() };
        let job = JobInput {
            run_id: "01938000-0000-7000-8000-000000000001".parse().unwrap(),
            run_job_id: "01938000-0000-7000-8000-000000000002".parse().unwrap(),
            attempt: 1,
            task_key: task_key.to_owned(),
            host: "alpha".to_owned(),
            directive: DirectiveText { kind: DirectiveType::D1, name: "Triage".into(), text: "Look.".into() },
            params: serde_json::json!({"anything": ["goes", 1]}),
            window: Some(Window { from: start(), to: at("2026-11-01T11:00:00Z") }),
            gpus: Vec::new(),
            inputs: Vec::new(),
            llm: LlmAccess::NotConfigured,
        };
        worker.stage(JOB_FILE, &job);
        worker
    }

    /// Stages one JSON file.
    pub fn stage<T: Serialize>(&self, name: &str, value: &T) {
        fs::write(self.root.path().join("input").join(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    /// Stages these bytes as the log of a container of this name.
    pub fn log(&mut self, name: &str, content: &[u8]) {
        let file = format!("{}.log", self.index.sources.len());
        fs::write(self.root.path().join("input").join(LOGS_FOLDER).join(&file), content).unwrap();
        self.index.sources.push(LogSource {
            container_id: format!("{:0>64}", self.index.sources.len()),
            name: name.to_owned(),
            image: format!("{name}:1"),
            host: "alpha".to_owned(),
            file,
            since: None,
            until: at("2026-11-01T11:00:00Z"),
            bytes: content.len() as u64,
            dropped_bytes: 0,
            dropped_lines: 0,
            reading: LogReading::Complete,
            state: None,
            restart_count: 0,
            last_exit: None,
        });
    }

    /// Stages lines that were logged a second apart.
    pub fn lines(&mut self, name: &str, lines: &[&str]) {
        let staged = lines.iter().enumerate().map(|(second, text)| {
            let at = start() + chrono::TimeDelta::seconds(second as i64);
            LogLine { at, stream: LogStream::Stdout, text }
        });
        self.log(name, lines_of(staged).as_bytes());
    }

    /// Stages a sample log, as its container would have logged it.
    pub fn sample(&mut self, name: &str, kind: SampleKind, seed: u64, lines: u32) {
        let all: Vec<_> = SampleLog::new(kind, seed, lines, start()).collect();
        let staged = all.iter().map(|line| LogLine { at: line.at, stream: line.stream, text: &line.text });
        self.log(name, lines_of(staged).as_bytes());
    }

    /// Changes the log index.
    pub fn edit_index(&mut self, edit: impl FnOnce(&mut LogIndex)) {
        edit(&mut self.index);
    }

    /// Changes `job.json`.
    pub fn edit_job(&self, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = self.root.path().join("input").join(JOB_FILE);
        let mut job = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        edit(&mut job);
        self.stage(JOB_FILE, &job);
    }

    /// Stages an earlier result.
    pub fn previous(&self, result: &JobResult) {
        let previous = PreviousResult {
            run_id: "01938000-0000-7000-8000-00000000000f".parse().unwrap(),
            finished_at: at("2026-10-31T10:00:00Z"),
            result: result.clone(),
        };
        self.stage(PREVIOUS_FILE, &previous);
    }

    /// Runs the job; what it leaves keeps all limits.
    pub fn run(&self, job: Job) -> Result<Left, Error> {
        self.stage_index();
        self.execute(job)
    }

    /// [`run`](Self::run) with what was staged so far and nothing else.
    pub fn execute(&self, job: Job) -> Result<Left, Error> {
        let mut stdout = Vec::new();
        execute(Args { directories: self.directories(), job }, &mut stdout)?;
        let stdout = String::from_utf8(stdout).unwrap();
        let result = fs::read(self.out(RESULT_FILE)).unwrap();
        let report = fs::read_to_string(self.out(REPORT_FILE)).unwrap();
        assert!(result.len() as u64 <= MAX_RESULT_BYTES, "{} bytes", result.len());
        assert!(report.len() as u64 <= MAX_REPORT_BYTES);
        let result: JobResult = serde_json::from_slice(&result).unwrap();
        validate(&result).unwrap();
        Ok(Left { result, report, stdout })
    }

    pub fn directories(&self) -> Directories {
        let path = |name: &str| self.root.path().join(name);
        Directories { input: path("input"), output: path("out"), uploads: path("uploads") }
    }

    /// A file that the worker left.
    pub fn artifact(&self, name: &str) -> String {
        fs::read_to_string(self.out(name)).unwrap()
    }

    pub fn out(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join("out").join(name)
    }

    /// Stages the log index as it is now; [`run`](Self::run) does it by itself.
    pub fn stage_index(&self) {
        self.stage(&format!("{LOGS_FOLDER}/{LOG_INDEX_FILE}"), &self.index);
    }
}

impl Left {
    pub fn triage(&self) -> &LogTriage {
        match &self.result {
            JobResult::LogTriage(triage) => triage,
            other => panic!("not a triage: {other:?}"),
        }
    }

    /// The progress that was told.
    pub fn progress(&self) -> Vec<Progress> {
        let told = |line| match serde_json::from_str::<StdoutRecord>(line).unwrap().cyberbrain {
            StdoutMessage::Progress(progress) => progress,
        };
        self.stdout.lines().map(told).collect()
    }
}

fn lines_of<'a>(lines: impl Iterator<Item = LogLine<'a>>) -> String {
    lines.fold(String::new(), |mut out, line| {
        writeln!(out, "{line}").unwrap();
        out
    })
}
