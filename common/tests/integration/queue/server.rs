//! A PostgreSQL that a test may restart, always at the same address.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt};

use cyberbrain_common::postgres::{self, Durability, Options, Postgres};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub struct RestartableServer {
    directory: TempDir,
    running: Option<Postgres>,
    /// Where it listens this time: a start of ours takes whichever port is free.
    upstream: watch::Sender<Option<SocketAddr>>,
    address: SocketAddr,
    url: String,
    _forwarder: JoinSet<()>,
}

impl RestartableServer {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server's user must get through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (upstream, current) = watch::channel(None);
        let mut forwarder = JoinSet::new();
        forwarder.spawn(forward(listener, current));
        let mut server =
            Self { directory, running: None, upstream, address, url: String::new(), _forwarder: forwarder };
        server.resume().await;
        server
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it (again) and waits until it answers.
    pub async fn resume(&mut self) {
        let options = Options {
            durability: Durability::Relaxed,
            ..Options::lasting(None, self.directory.path().join("server"))
        };
        let running = postgres::open(&options, &|_| {}).await.unwrap();
        let direct: PgConnectOptions = running.url().parse().unwrap();
        self.upstream.send_replace(Some(SocketAddr::new([127, 0, 0, 1].into(), direct.get_port())));
        self.url = direct.port(self.address.port()).to_url_lossy().to_string();
        self.running = Some(running);
    }

    /// Ends it in an orderly way: every connection is cut, none is accepted.
    pub async fn halt(&mut self) {
        self.upstream.send_replace(None);
        if let Some(running) = self.running.take() {
            running.stop().await.unwrap();
        }
    }
}

async fn forward(listener: TcpListener, upstream: watch::Receiver<Option<SocketAddr>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let Some(server) = *upstream.borrow() else { continue };
        connections.spawn(async move {
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
