//! A launcher's real file server for the host of `machines`.

use std::{fs, path::PathBuf};

use cyberbrain_common::db::instance;
use cyberbrain_launcher::files::FileServer;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{harness::Api, machines};

/// The files of the host, served.
pub struct HostFiles {
    pub logs: TempDir,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl HostFiles {
    pub async fn start(api: &Api) -> Self {
        machines::host(api).await;
        let logs = tempfile::tempdir().unwrap();
        let mut files = Self { logs, stop: CancellationToken::new(), task: None };
        files.serve(api).await;
        files
    }

    /// Serves, at a new address, which the launcher's row says.
    pub async fn serve(&mut self, api: &Api) {
        let mut connection = api.db.connect().await;
        let secret = instance::read(&mut connection).await.unwrap().secret;
        let root = self.logs.path().to_owned();
        let server = FileServer::bind("127.0.0.1:0".parse().unwrap(), root, secret).await.unwrap();
        sqlx::query("update launchers set files_url = $1")
            .bind(server.url().unwrap())
            .execute(&mut connection)
            .await
            .unwrap();
        self.stop = CancellationToken::new();
        self.task = Some(tokio::spawn(server.serve(self.stop.clone())));
    }

    /// As if the launcher were killed: its row still says that it lives.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.logs.path().join(below)
    }

    /// Writes a file; directories are made.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The row of an artifact, of the size and the hash of these bytes.
    pub async fn row(&self, api: &Api, path: &str, bytes: &[u8]) -> String {
        let id: Uuid = sqlx::query_scalar(
            "insert into run_artifacts (id, run_id, run_job_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
             select gen_random_uuid(), j.run_id, j.id, h.id, 'data', $1, length($2::bytea), sha256($2), 'text/html'
             from run_jobs j, hosts h limit 1 returning id",
        )
        .bind(path)
        .bind(bytes)
        .fetch_one(&mut api.db.connect().await)
        .await
        .unwrap();
        id.to_string()
    }
}
