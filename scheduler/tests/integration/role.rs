//! The process as a whole: it announces itself, leads, shows its metrics, and leaves in order.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use cyberbrain_common::ready;
use cyberbrain_scheduler::{Args, run};
use cyberbrain_testkit::{wait_for, wait_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::world::{LIMIT, World};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: Args,
}

async fn scrape(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_role_announces_itself_serves_its_metrics_and_leaves_in_order() {
    let Some(world) = World::new().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let ready_file: PathBuf = directory.path().join("ready");
    let line = ["scheduler", "--database-url", &world.db.url, "--ready-file", ready_file.to_str().unwrap()];
    let args = CommandLine::parse_from(line).args;
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(args, shutdown.clone()));
    let announced = wait_for("the announcement", LIMIT, async || ready::read(&ready_file).unwrap()).await;
    assert_eq!((announced.role.as_str(), announced.pid), ("scheduler", std::process::id()));
    let url = announced.metrics_url.unwrap();

    let host = world.host("alpha", &[24_576]).await;
    let launcher = tokio::spawn(host.work(4));
    let run = world.launch_gpu(&[1_000, 99_000]).await;
    wait_until("the run to be closed", LIMIT, async || world.run_status(run).await.is_terminal()).await;
    launcher.abort();

    let expected = [
        "cyberbrain_scheduler_is_leader 1",
        "cyberbrain_scheduler_double_booking_total 0",
        "cyberbrain_scheduler_decisions_total{result=\"gpu_score\"} 1",
        "cyberbrain_scheduler_decisions_total{result=\"infeasible\"} 1",
        "cyberbrain_scheduler_unplaceable_jobs{reason=\"vram_short\"} 0",
        "cyberbrain_scheduler_cycle_duration_seconds_bucket",
        "cyberbrain_scheduler_reassignment_paused 0",
        "cyberbrain_runs_finished_total{outcome=\"failed\"} 1",
        "cyberbrain_launcher_heartbeat_age_seconds{host=\"alpha\"}",
        "cyberbrain_queue_oldest_age_seconds",
        "cyberbrain_job_queue_wait_seconds_bucket",
        "cyberbrain_audit_rows_total{stage=\"assign\"} 1",
    ];
    for line in expected {
        wait_until(line, Duration::from_secs(15), async || scrape(&url).await.contains(line)).await;
    }
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), role).await.expect("it leaves").unwrap().unwrap();
    assert_eq!(world.count("select count(*) from leaders").await, 0, "it resigned");
}
