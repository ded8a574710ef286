//! Children that die with their owner.

use std::{path::Path, process::Stdio, time::Duration};

use cyberbrain_common::postgres::leash::{Ending, Leash, Leashed};
use cyberbrain_testkit::wait_until;
use tokio::{process::Child, time::timeout};

use crate::owner::runs;

const LIMIT: Duration = Duration::from_secs(10);

fn spawn(script: &str, ending: &Ending) -> (Child, Leash) {
    let mut leashed = Leashed::new("/bin/sh", ending);
    // A child that outlives its test must not hold the output of the whole run open.
    leashed.command().args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
    leashed.spawn().unwrap()
}

async fn ends(child: &mut Child) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    timeout(LIMIT, child.wait()).await.expect("the child ends").unwrap().signal()
}

#[tokio::test]
async fn a_dropped_leash_ends_the_child_with_its_first_signal() {
    let (mut child, leash) = spawn("exec sleep 600", &Ending::terminate(30));
    drop(leash);
    assert_eq!(ends(&mut child).await, Some(15));
}

#[tokio::test]
async fn a_child_that_ignores_the_first_signal_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let script = format!("trap '' TERM; : >{}; while :; do sleep 0.1; done", ready.display());
    let (mut child, leash) = spawn(&script, &Ending::terminate(1));
    wait_until("the child's trap", LIMIT, async || ready.exists()).await;
    drop(leash);
    assert_eq!(ends(&mut child).await, Some(9));
}

#[tokio::test]
async fn a_released_child_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let (mut child, leash) = spawn("exec sleep 600", &Ending::terminate(0).then_remove(&kept));
    let pid = child.id().unwrap();
    let watchdog = watchdog_of(pid).await;
    leash.release();
    wait_until("the watchdog to leave", LIMIT, async || !runs(watchdog)).await;
    assert!(runs(pid) && kept.exists());
    child.kill().await.unwrap();
}

#[tokio::test]
async fn the_directory_goes_after_the_child() {
    let parent = tempfile::tempdir().unwrap();
    let swept = parent.path().join("with a 'quote' and space");
    std::fs::create_dir_all(swept.join("deep")).unwrap();
    let (mut child, leash) = spawn("exec sleep 600", &Ending::terminate(5).then_remove(&swept));
    drop(leash);
    ends(&mut child).await;
    wait_until("the directory to go", LIMIT, async || !swept.exists()).await;
    assert!(parent.path().exists());
}

#[tokio::test]
async fn another_child_does_not_hold_the_leash() {
    let (mut child, leash) = spawn("exec sleep 600", &Ending::terminate(5));
    // Started after it, so it would inherit the write end if anything did.
    let mut other = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    drop(leash);
    assert_eq!(ends(&mut child).await, Some(15));
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().await.unwrap();
}

#[tokio::test]
async fn the_child_is_the_program_itself_with_an_empty_input() {
    let (mut child, leash) = {
        let mut leashed = Leashed::new("/bin/sh", &Ending::terminate(5));
        leashed.command().args([
            "-c",
            r#"read -r line && exit 1; [ "$1 $2" = "a  b" ] && exit 7"#,
            "sh",
            "a ",
            "b",
        ]);
        leashed.spawn().unwrap()
    };
    let status = timeout(LIMIT, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(7));
    drop(leash);
}

/// The other member of the child's process group.
pub async fn watchdog_of(child: u32) -> u32 {
    cyberbrain_testkit::wait_for("the watchdog", LIMIT, async || {
        members(child).into_iter().find(|pid| *pid != child)
    })
    .await
}

fn members(group: u32) -> Vec<u32> {
    let processes = std::fs::read_dir(Path::new("/proc")).unwrap().flatten();
    let in_group = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        let mut fields = fields.split(' ');
        // state, parent, group
        fields.next() != Some("Z") && fields.nth(1).and_then(|field| field.parse().ok()) == Some(group)
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(in_group).collect()
}
