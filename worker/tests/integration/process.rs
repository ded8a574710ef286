//! The worker as a process of its own: exit codes, signals, and how much memory it takes.
//!
//! This crate has no executable, so the test's own is run again with [`worker_process`] as its only test.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    os::unix::{fs::FileTypeExt, process::ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use cyberbrain_core::{
    outcome::{CustomValue, JobResult, MAX_RESULT_BYTES, RESULT_FILE},
    staging::LogStream,
};
use cyberbrain_worker::{Args, PLANTED_FAULTS, SampleKind, SampleLog};
use rustix::process::{Pid, Signal, kill_process};

use crate::staged::{Worker, start};

const ARGUMENTS: &str = "CYBERBRAIN_TEST_WORKER_ARGUMENTS";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(no_binary_name = true)]
struct CommandLine {
    #[command(flatten)]
    args: Args,
}

/// What the processes of these tests run.
#[test]
#[ignore = "is run by the other tests, in a process of its own"]
fn worker_process() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let CommandLine { args } = CommandLine::try_parse_from(arguments.split('\u{1f}')).unwrap();
    let ended = cyberbrain_worker::run(args);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    eprintln!("{peak}");
    std::process::exit(ended.map_or_else(|error| i32::from(error.exit_code()), |()| 0));
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(worker: &Worker, arguments: &[&str]) -> Self {
        let directories = worker.directories();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::worker_process", "--ignored", "--nocapture", "--quiet"])
            .env(ARGUMENTS, arguments.join("\u{1f}"))
            .env("CYBERBRAIN_INPUT_DIR", directories.input)
            .env("CYBERBRAIN_OUTPUT_DIR", directories.output)
            .env("CYBERBRAIN_UPLOADS_DIR", directories.uploads)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the end, with a bound.
    fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::yield_now();
        }
    }

    /// Reads standard output up to a line that holds this text.
    fn read_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(self.0.stdout.as_mut().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines[lines.len() - 1].contains(text) {
                return lines;
            }
        }
        panic!("{text:?} never came: {lines:#?}");
    }
}

fn exit_code(arguments: &[&str]) -> Option<i32> {
    let worker = Worker::of("self_test");
    Process::start(&worker, arguments).end().code()
}

fn result(worker: &Worker) -> JobResult {
    serde_json::from_slice(&std::fs::read(worker.out(RESULT_FILE)).unwrap()).unwrap()
}

fn custom(worker: &Worker, name: &str) -> CustomValue {
    let JobResult::Custom(custom) = result(worker) else { panic!("no custom result") };
    custom.values[name].clone()
}

#[test]
fn exit_codes_arrive() {
    assert_eq!(exit_code(&["self-test", "exit", "--code", "3"]), Some(3));
    assert_eq!(exit_code(&["test-job", "exit", "--code", "0"]), Some(0));
    assert_eq!(exit_code(&["gpu-report"]), Some(1), "nothing was staged for it");
}

#[test]
fn a_sleeper_ends_on_sigterm_and_one_that_ignores_it_on_sigkill() {
    let worker = Worker::of("self_test");
    let mut sleeper =
        Process::start(&worker, &["self-test", "progress", "--steps", "1000", "--pause-ms", "50"]);
    sleeper.read_until("\"done\":1,");
    sleeper.signal(Signal::TERM);
    assert_eq!(sleeper.end().code(), Some(143));
    assert!(!worker.out(RESULT_FILE).exists(), "it was ended before its result");

    let mut stubborn = Process::start(&worker, &["self-test", "sleep", "--ignore-sigterm"]);
    stubborn.read_until("sleeping");
    stubborn.signal(Signal::TERM);
    let mut told = BufReader::new(stubborn.0.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap() == "SIGTERM came and is ignored"));
    stubborn.signal(Signal::KILL);
    assert_eq!(stubborn.end().signal(), Some(9), "only SIGKILL ended it");
}

#[test]
fn the_self_test_leaves_what_it_is_asked_for() {
    let behave = |arguments: &[&str]| {
        let worker = Worker::of("self_test");
        let code = Process::start(&worker, &[&["self-test"], arguments].concat()).end().code();
        (worker, code)
    };
    let (worker, code) = behave(&["leave-link", "--target", "/etc/hostname"]);
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read_link(worker.out(RESULT_FILE)).unwrap(), Path::new("/etc/hostname"));

    let (worker, code) = behave(&["leave-pipe"]);
    assert_eq!(code, Some(0));
    assert!(std::fs::metadata(worker.out(RESULT_FILE)).unwrap().file_type().is_fifo());

    let (worker, _) = behave(&["leave-text", "--text", "{\"kind\":\"poem\"}"]);
    assert_eq!(worker.artifact(RESULT_FILE), "{\"kind\":\"poem\"}");
    let too_large = (MAX_RESULT_BYTES + 1).to_string();
    let (worker, _) = behave(&["leave-bytes", "--bytes", &too_large]);
    assert_eq!(worker.artifact(RESULT_FILE).len() as u64, MAX_RESULT_BYTES + 1);

    let (worker, code) = behave(&["artifacts", "--files", "2", "--bytes", "30"]);
    assert_eq!((code, custom(&worker, "artifacts")), (Some(0), CustomValue::Integer(2)));
    assert_eq!(worker.artifact("artifact-2.txt"), "abcdefghijklmnopqrstuvwxyzabcd");

    let (worker, code) = behave(&["allocate", "--mib", "20"]);
    assert_eq!((code, custom(&worker, "allocated_mib")), (Some(0), CustomValue::Integer(20)));

    let (_, code) = behave(&["write-uploads"]);
    assert_eq!(code, Some(1), "the directory of this test is writable, and that must not go unnoticed");
}

#[test]
fn the_log_flood_has_its_size() {
    let worker = Worker::of("self_test");
    let mut flood = Process::start(&worker, &["self-test", "log", "--mib", "3"]);
    let mut text = String::new();
    flood.0.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(flood.end().code(), Some(0));
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!((lines.len(), lines[0].len()), (3 * 1024, 1023));
}

#[test]
fn a_sample_service_logs_everything_and_idles_until_sigterm() {
    for (kind, name) in [(SampleKind::Web, "web"), (SampleKind::Database, "database")] {
        let worker = Worker::of("sample");
        let arguments =
            ["sample-log", name, "--seed", "5", "--lines", "300", "--start", "2026-11-01T10:00:00Z"];
        let mut service = Process::start(&worker, &arguments);
        let expected: Vec<_> = SampleLog::new(kind, 5, 300, start()).collect();
        let mut streams = [
            (LogStream::Stdout, Box::new(service.0.stdout.take().unwrap()) as Box<dyn Read>),
            (LogStream::Stderr, Box::new(service.0.stderr.take().unwrap())),
        ];
        for (stream, pipe) in &mut streams {
            // The pipes hold all of it, so that they can be read one after the other.
            let mut lines = BufReader::new(pipe).lines().map(Result::unwrap);
            for line in expected.iter().filter(|line| line.stream == *stream) {
                // The test harness prints lines of its own before.
                assert!(lines.any(|logged| logged == line.text), "{:?} was not logged", line.text);
            }
        }
        assert!(service.0.try_wait().unwrap().is_none(), "it goes on like a service");
        service.signal(Signal::TERM);
        assert_eq!(service.end().code(), Some(143));
    }
}

/// 200 MB of log that is made to be held: words that never repeat, huge lines, endless stack traces, times
/// without end. The bound is the process's own peak of resident memory.
#[test]
fn two_hundred_megabytes_take_little_memory() {
    const BYTES: u64 = 200 * 1000 * 1000;
    /// A bare test process takes about 8 MiB; the tables are capped at a few more.
    const PEAK_KIB: u64 = 32 * 1024;
    let mut worker = Worker::of("log_triage");
    worker.log("flood", b"");
    let path = worker.directories().input.join("logs/0.log");
    let bytes = write_flood(&path, BYTES);
    worker.edit_index(|index| index.sources[0].bytes = bytes);
    worker.stage_index();

    let begun = Instant::now();
    let mut process = Process::start(&worker, &["log-triage"]);
    let mut stderr = process.0.stderr.take().unwrap();
    let mut stdout = process.0.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(0), "{told}");
    reader.join().unwrap().unwrap();
    let peak: u64 = told.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{bytes} bytes in {:.1} s with a peak of {peak} KiB", begun.elapsed().as_secs_f64());
    assert!(peak < PEAK_KIB, "{peak} KiB");

    let JobResult::LogTriage(triage) = result(&worker) else { panic!("no triage") };
    assert_eq!(triage.bytes, bytes);
    assert!(triage.untemplated_entries > 0, "the table of templates was never full: {triage:?}");
    let report = worker.artifact("report.md");
    for planted in PLANTED_FAULTS.iter().filter(|planted| planted.log == SampleKind::Web) {
        assert!(report.contains(planted.evidence), "{} is drowned", planted.name);
    }
}

fn write_flood(path: &Path, bytes: u64) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let sample: String =
        SampleLog::new(SampleKind::Web, 1, 500, start()).fold(String::new(), |mut out, line| {
            out.push_str(&format!("2026-11-01T10:00:00Z {} {}\n", line.stream, line.text));
            out
        });
    let huge = format!("2026-11-01T10:00:00Z stdout ERROR {}\n", "y".repeat(1 << 20));
    let mut written = 0;
    let (mut number, mut parts) = (0_u64, 0_u64);
    while written < bytes {
        let mut part = sample.clone();
        for _ in 0..150 {
            number += 1;
            let word = |salt: u64| {
                let mut mixed =
                    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(salt as u32 * 7) ^ salt;
                (0..8)
                    .map(|_| {
                        mixed = mixed.wrapping_mul(25).wrapping_add(7) ^ (mixed >> 9);
                        char::from(b'a' + (mixed % 26) as u8)
                    })
                    .collect::<String>()
            };
            let level = if number % 7 == 0 { "ERROR" } else { "INFO" };
            let seconds = number % 40_000;
            let time = format!(
                "2026-{:02}-{:02}T{:02}:{:02}:00Z",
                number % 12 + 1,
                number % 28 + 1,
                seconds % 24,
                seconds % 60
            );
            let words: Vec<String> = (1..4 + number % 9).map(word).collect();
            part.push_str(&format!("{time} stdout {level} {}\n", words.join(" ")));
            part.push_str(&format!("{time} stderr Traceback (most recent call last):\n{time} stderr   File \"{}.py\", line 1, in {}\n{time} stderr {}Error: {}\n", word(5), word(6), word(7), word(8)));
        }
        parts += 1;
        if parts % 4 == 0 {
            part.push_str(&huge);
        }
        out.write_all(part.as_bytes()).unwrap();
        written += part.len() as u64;
    }
    out.flush().unwrap();
    written
}
