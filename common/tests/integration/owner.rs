//! A process that owns a PostgreSQL, to be killed: this test binary, run again.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cyberbrain_common::postgres::{self, Options, Place};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

const PLACE: &str = "CYBERBRAIN_TEST_OWNER_PLACE";

/// Another process that owns a server.
pub struct Owner {
    child: Child,
    pub server: u32,
    pub data: PathBuf,
}

impl Owner {
    /// Starts it on `place` (empty: a temporary one) as this user, or as `uid`.
    pub async fn start(binary: &Path, place: &Path, uid: Option<u32>) -> Self {
        let mut command = Command::new(binary);
        command
            .args(["--ignored", "--exact", "owner::owner_process", "--nocapture"])
            .env(PLACE, place)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = timeout(Duration::from_secs(60), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, facts)) = line.split_once("SERVER ") {
                    return Some(facts.to_owned());
                }
            }
            None
        });
        let facts =
            found.await.expect("the owner starts its server within 60 s").expect("the owner has a server");
        let (pid, data) = facts.split_once(' ').unwrap();
        Self { child, server: pid.parse().unwrap(), data: data.into() }
    }

    /// SIGKILL, and its end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Not a test: the body of [`Owner`].
#[tokio::test]
#[ignore = "run by other tests, in a process of its own"]
async fn owner_process() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let place = if place.is_empty() { Place::Temporary } else { Place::Directory(place.into()) };
    let options = Options { place, ..Options::temporary() };
    let database = postgres::open(&options, &|notice| eprintln!("{notice}")).await.unwrap();
    let postgres::Postgres::Own(server) = &database else { panic!("no URL was given") };
    println!("SERVER {} {}", server.pid(), server.data_dir().display());
    std::future::pending::<()>().await;
}

/// Whether a process of this number exists and has not ended.
pub fn runs(pid: u32) -> bool {
    let ended = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
    !ended && test_kill_process(number(pid)) != Err(rustix::io::Errno::SRCH)
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(number(pid), signal).unwrap();
}

fn number(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}
