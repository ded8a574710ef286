//! A TCP proxy to put in front of PostgreSQL or anything else: a network that can be cut, slowed and swallowed.
//!
//! A change holds for existing connections too. It knows no protocol and keeps the order of bytes.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards.
    Pass,
    /// Closes all connections and refuses new ones, as a stopped server does.
    Cut,
    /// Accepts, reads and says nothing, as a dead link does. A connection that lost bytes is closed when the
    /// mode changes.
    Blackhole,
    /// Forwards each piece that much later, in both directions.
    Delay(Duration),
}

/// Ends with all its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// The mode that the listener has taken up.
    applied: watch::Receiver<Option<Mode>>,
}

impl Proxy {
    /// Listens on a free loopback port, in mode [`Mode::Pass`].
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (report, applied) = watch::channel(Some(Mode::Pass));
        // Ends when `mode` is dropped.
        tokio::spawn(serve(listener, address, upstream, modes, report));
        Ok(Self { address, mode, applied })
    }

    /// What clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the network does; returns when new connections meet it.
    ///
    /// # Panics
    /// When the port could not be taken back after a cut.
    pub async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        let mut applied = self.applied.clone();
        applied.wait_for(|now| *now == Some(mode)).await.expect("the proxy keeps its port");
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    upstream: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    report: watch::Sender<Option<Mode>>,
) {
    let mut listener = Some(listener);
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let mode = *modes.borrow_and_update();
        if mode == Mode::Cut {
            drop(listener.take());
            connections.shutdown().await;
            // Bound but not listening: nobody else gets the port, and the kernel refuses.
            let Ok(reserved) = reserve(address) else { return };
            report.send_replace(Some(mode));
            if modes.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
                return;
            }
            listener = reserved.listen(128).ok();
            continue;
        }
        let Some(open) = &listener else { return };
        report.send_replace(Some(mode));
        tokio::select! {
            changed = modes.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(carry(client, upstream, modes.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection: two directions, closed together.
async fn carry(client: TcpStream, upstream: SocketAddr, mut modes: watch::Receiver<Mode>) {
    if *modes.borrow_and_update() == Mode::Blackhole {
        return swallow(client, modes).await;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // Small messages should not wait for one another: the delay is ours to choose.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, modes.clone()) => {}
        () = pump(from_server, to_client, modes) => {}
    }
}

async fn swallow(mut client: TcpStream, mut modes: watch::Receiver<Mode>) {
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            _ = modes.wait_for(|mode| *mode != Mode::Blackhole) => return,
            read = client.read(&mut buffer) => if !matches!(read, Ok(1..)) { return },
        }
    }
}

/// Returns when either side closes, or when bytes were swallowed and the hole closes.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return stay_silent(&mut modes).await;
        };
        let mode = *modes.borrow_and_update();
        match mode {
            Mode::Pass => {}
            Mode::Delay(time) => tokio::time::sleep(time).await,
            // The listener's task closes us.
            Mode::Cut => return,
            Mode::Blackhole => return stay_silent(&mut modes).await,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return stay_silent(&mut modes).await;
        }
    }
}

/// In a black hole, not even the end of the other side is seen.
async fn stay_silent(modes: &mut watch::Receiver<Mode>) {
    // The sender gone means that the proxy is gone.
    let _ = modes.wait_for(|mode| *mode != Mode::Blackhole).await;
}

#[cfg(test)]
#[path = "chaos_test.rs"]
mod tests;
