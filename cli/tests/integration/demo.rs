//! The first command of the README, as a newcomer types it.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Output, time::Duration};

use cyberbrain_testkit::{Need, require};
use cyberbrain_worker::PLANTED_FAULTS;
use serde_json::Value;
use tokio::process::Command;

use crate::support::binary;

const LIMIT: Duration = Duration::from_secs(300);

async fn demo(data_dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.arg("demo").arg("--data-dir").arg(data_dir).args(args).envs(env.iter().copied());
    let output = command.env_remove("DATABASE_URL").kill_on_drop(true).output();
    tokio::time::timeout(LIMIT, output).await.unwrap_or_else(|_| panic!("no end in {LIMIT:?}")).unwrap()
}

/// The last line of a demo's output, as JSON.
fn summary(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    let last = stdout.lines().last().unwrap_or_else(|| panic!("nothing printed\n{stderr}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{last}: {error}"))
}

/// Text of the `report.md` among the printed artifacts that has this word.
fn artifact(printed: &str, data_dir: &Path, word: &str) -> String {
    let paths = printed.lines().filter_map(|line| line.split_whitespace().last());
    let reports = paths.filter(|path| path.ends_with("/report.md"));
    let mut texts = reports.map(|path| std::fs::read_to_string(data_dir.join("logs").join(path)).unwrap());
    texts.find(|text| text.contains(word)).unwrap_or_else(|| panic!("no report with {word} in\n{printed}"))
}

fn job<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let jobs = summary["run_jobs"].as_array().expect("run_jobs");
    let found = jobs.iter().find(|job| job["name"].as_str().is_some_and(|given| given.starts_with(name)));
    found.unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[tokio::test]
async fn the_demo_runs_three_jobs_in_three_containers() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let summary = summary(&demo(dir.path(), &["--json"], &[]).await);
    assert_eq!(summary["status"], "success");
    let jobs = summary["run_jobs"].as_array().expect("run_jobs");
    assert_eq!(jobs.len(), 3);
    let mut containers: Vec<&str> =
        jobs.iter().map(|job| job["container_id"].as_str().expect("a container")).collect();
    containers.sort_unstable();
    containers.dedup();
    assert_eq!(containers.len(), 3, "three containers: {summary}");
    for job in jobs {
        assert_eq!(job["status"], "success");
        assert!(job["audit_rows"].as_u64().unwrap() >= 8, "{job}");
        assert!(job["host"].is_string() && job["selection_reason"].is_string(), "{job}");
    }
}

#[tokio::test]
async fn simulated_gpus_show_score_fallback_and_explicit_choice() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let summary = summary(&demo(dir.path(), &["--json", "--fake-gpus", "2x24576"], &[]).await);
    assert_eq!(summary["run_jobs"].as_array().map(Vec::len), Some(6));
    let reason = |name| job(&summary, name)["selection_reason"].as_str().expect("a reason").to_owned();
    let gpus = |name| job(&summary, name)["gpus"].as_array().expect("gpus").len();
    assert!(reason("placed by score").contains("score") && gpus("placed by score") == 1, "{summary}");
    assert!(reason("too large").contains("short ") && gpus("too large") == 0, "{summary}");
    assert!(reason("explicit card").contains("explicit") && gpus("explicit card") == 1, "{summary}");
}

#[tokio::test]
async fn without_an_engine_the_demo_succeeds_and_says_how_it_ran() {
    if !require(Need::Postgres) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}/none.sock", dir.path().display());
    let output = demo(dir.path(), &["--json"], &[("DOCKER_HOST", &nowhere)]).await;
    let summary = summary(&output);
    assert_eq!(summary["status"], "success");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("workers run as processes"), "{said}");
}

/// Root's home and build directories are often closed to others, so the executable and its data move to a place
/// that they can reach.
#[tokio::test]
async fn the_demo_runs_as_a_user_without_privileges() {
    const NOBODY: u32 = 65_534;
    if !require(Need::Postgres) || !rustix::process::getuid().is_root() {
        return;
    }
    let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let executable = dir.path().join("cyberbrain");
    std::fs::copy(binary(), &executable).unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = Command::new(&executable)
        .args(["demo", "--json", "--data-dir"])
        .arg(&data)
        .env_remove("DATABASE_URL")
        .env("HOME", &data)
        .current_dir(&data)
        .uid(NOBODY)
        .gid(NOBODY)
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(LIMIT, output).await.unwrap_or_else(|_| panic!("no end in {LIMIT:?}")).unwrap();
    assert_eq!(summary(&output)["status"], "success");
}

#[tokio::test]
async fn the_report_of_the_demo_names_every_planted_fault() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path(), &[], &[]).await;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    for heading in ["log_triage", "gpu_report", "service_map", "Artifacts"] {
        assert!(report.contains(heading), "no {heading} in\n{report}");
    }
    let triage = artifact(&report, dir.path(), "# Log triage");
    for planted in PLANTED_FAULTS {
        assert!(triage.contains(planted.evidence), "{} is not quoted in\n{triage}", planted.name);
    }
}
