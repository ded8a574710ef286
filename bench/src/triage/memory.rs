//! The whole job over one large log, in a process of its own, whose most resident memory is told by the kernel.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use cyberbrain_core::staging::{JOB_FILE, LOG_INDEX_FILE, LOGS_FOLDER, LlmAccess, LogLine, LogStream};
use cyberbrain_worker::{Args, Directories, Job, execute};

use super::formats::FORMATS;

/// The argument that makes a process the one that is measured.
pub const CHILD: &str = "--child";
/// Lines of each format, repeated with other times until the log is long enough.
const BLOCK: usize = 500;

pub fn measure(mib: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (input, output) = (folder.path().join("input"), folder.path().join("out"));
    fs::create_dir_all(input.join("logs"))?;
    fs::create_dir_all(&output)?;
    let (bytes, until) = write_log(&input.join("logs/a.log"), mib << 20)?;
    write_inputs(&input, bytes, until)?;
    let begun = Instant::now();
    let child = Command::new(std::env::current_exe()?)
        .args(["triage", CHILD])
        .args([&input, &output])
        .output()
        .context("could not start the measured process")?;
    let took = begun.elapsed().as_secs_f64();
    anyhow::ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let peak = String::from_utf8_lossy(&child.stderr);
    println!(
        "{} MiB in {took:.1} s ({:.1} MB/s), most resident memory: {}",
        bytes >> 20,
        bytes as f64 / took / 1e6,
        peak.trim()
    );
    Ok(())
}

/// Runs the job on this folder and tells on standard error how much memory it took.
pub fn child(input: &str, output: &str) -> anyhow::Result<()> {
    let directories = Directories { input: input.into(), output: output.into(), uploads: output.into() };
    execute(Args { directories, job: Job::LogTriage }, &mut io::sink())?;
    let status =
        fs::read_to_string("/proc/self/status").context("only Linux tells the most resident memory")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in the status")?;
    eprintln!("{}", peak.trim());
    Ok(())
}

/// Lines of all formats, with the times of one a millisecond; gives the bytes and the time after the last.
fn write_log(path: &Path, at_least: u64) -> anyhow::Result<(u64, DateTime<Utc>)> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut at = begin();
    let mut bytes = 0;
    let mut seed = 1;
    while bytes < at_least {
        for format in FORMATS {
            for line in format.lines(seed, BLOCK) {
                let text = LogLine { at, stream: LogStream::Stdout, text: &line.text }.to_string();
                writeln!(file, "{text}")?;
                bytes += text.len() as u64 + 1;
                at += TimeDelta::milliseconds(1);
            }
        }
        seed += 1;
    }
    file.flush()?;
    Ok((bytes, at))
}

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_765_000_000, 0).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn write_inputs(input: &Path, bytes: u64, until: DateTime<Utc>) -> anyhow::Result<()> {
    let job = serde_json::json!({
        "run_id": "01938000-0000-7000-8000-000000000001",
        "run_job_id": "01938000-0000-7000-8000-000000000002",
        "attempt": 1,
        "task_key": "log_triage",
        "host": "bench",
        "directive": {"type": "D1", "name": "bench", "text": ""},
        "params": {},
        "window": {"from": begin(), "to": until},
        "gpus": [],
        "inputs": [],
        "llm": LlmAccess::NotConfigured,
    });
    fs::write(input.join(JOB_FILE), serde_json::to_vec(&job)?)?;
    let index = serde_json::json!({"sources": [{
        "container_id": "0".repeat(64), "name": "bench", "image": "bench:1", "host": "bench", "file": "a.log",
        "since": begin(), "until": until, "bytes": bytes, "dropped_bytes": 0,
    }]});
    fs::write(input.join(LOGS_FOLDER).join(LOG_INDEX_FILE), serde_json::to_vec(&index)?)?;
    Ok(())
}
