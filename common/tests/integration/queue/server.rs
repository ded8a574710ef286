//! A PostgreSQL that a test may restart.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::within;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";

pub struct PrivateServer {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl PrivateServer {
    pub async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("cb-queue-").tempdir_in("/tmp").unwrap();
        give_to_server(directory.path());
        let data = directory.path().join("data");
        let made = as_server_user("initdb")
            .args(["--no-sync", "--auth=trust", "--locale=C.UTF-8", "--username=postgres", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { directory, port, process: None };
        server.resume().await;
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts it (again), on the same port, and waits until it answers.
    pub async fn resume(&mut self) {
        let process = as_server_user("postgres")
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(["-p", &self.port.to_string(), "-D"])
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let url = self.url();
        within(Duration::from_secs(30), "the server answers", async || {
            let Ok(connection) = PgConnection::connect(&url).await else { return false };
            connection.close().await.is_ok()
        })
        .await;
    }

    /// Ends it: every connection is cut, none is accepted.
    pub async fn halt(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        interrupt(process.id());
        within(Duration::from_secs(30), "the server ends", async || process.try_wait().unwrap().is_some())
            .await;
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            interrupt(process.id());
            let _ = process.wait();
        }
    }
}

/// PostgreSQL's "fast shutdown".
fn interrupt(pid: u32) {
    Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// PostgreSQL refuses to run as root.
fn as_server_user(program: &str) -> Command {
    let program = Path::new(BINARIES).join(program);
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn give_to_server(directory: &Path) {
    if is_root() {
        let ids = Command::new("id").args(["-u", "postgres"]).output().unwrap();
        let uid: u32 = String::from_utf8(ids.stdout).unwrap().trim().parse().unwrap();
        chown(directory, Some(uid), None).unwrap();
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
}
