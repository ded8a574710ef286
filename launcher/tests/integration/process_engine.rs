//! What only the process runtime has: an engine identity in a directory, and leftovers of a dead owner.

use std::{os::unix::process::CommandExt, process::Command, time::Duration};

use cyberbrain_launcher::runtime::{ProcessRuntime, Program, WorkerRuntime};

fn shell() -> Program {
    Program { executable: "/bin/sh".into(), arguments: vec!["-c".into()] }
}

#[tokio::test]
async fn a_second_launcher_is_another_engine_and_a_restarted_one_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let first = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let second = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    let (one, two) = (first.identify().await.unwrap(), second.identify().await.unwrap());
    assert_ne!(one.engine_id, two.engine_id);
    drop(first);
    let restarted = ProcessRuntime::connect(shell(), directory.path()).await.unwrap();
    assert_eq!(restarted.identify().await.unwrap(), one);
}

#[tokio::test]
async fn what_a_dead_owner_left_is_killed_before_anything_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let engine = directory.path().join("process-engine-0");
    std::fs::create_dir(&engine).unwrap();
    // As after a `kill -9`: the lock is free, the list is there, the process lives. A second one has the
    // same id but another start time, as if the id had been given to somebody else.
    let mut left = Command::new("/bin/sleep").arg("600").process_group(0).spawn().unwrap();
    let mut innocent = Command::new("/bin/sleep").arg("600").process_group(0).spawn().unwrap();
    let ticks = |pid: u32| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    };
    let list =
        format!("{} {}\n{} {}\n", left.id(), ticks(left.id()), innocent.id(), ticks(innocent.id()) + 1);
    std::fs::write(engine.join("children"), list).unwrap();

    let connecting = ProcessRuntime::connect(shell(), directory.path());
    tokio::time::timeout(Duration::from_secs(10), connecting).await.unwrap().unwrap();
    let ended = left.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    assert!(innocent.try_wait().unwrap().is_none(), "another process under a reused id is left alone");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}
