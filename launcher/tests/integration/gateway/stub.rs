//! An endpoint that answers as a test says: plain TCP, so that it can also break off, stand still and say nonsense.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

/// What the endpoint does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a JSON body.
    Json(u16, String),
    /// Server-sent events, one chunk each, as the test lets them go; then the end.
    Events(Vec<String>),
    /// The same, and then the connection breaks without an end.
    EventsThenBreak(Vec<String>),
    /// The same, and then nothing more comes.
    EventsThenSilence(Vec<String>),
    /// Takes the request and says nothing.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: serde_json::Value,
}

pub struct Stub {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Events go out while there are permits.
    pub gate: Arc<Semaphore>,
    /// Requests whose connection the other side has closed before the answer's end.
    pub abandoned: Arc<Semaphore>,
    serving: JoinHandle<()>,
}

impl Stub {
    /// Answers every request so; events go out at once.
    pub async fn always(reply: Reply) -> Self {
        let stub = Self::gated(reply).await;
        stub.gate.add_permits(1_000_000);
        stub
    }

    /// Answers every request so; each event waits for a permit.
    pub async fn gated(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (gate, abandoned) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let serving = {
            let (seen, gate, abandoned) = (Arc::clone(&seen), Arc::clone(&gate), Arc::clone(&abandoned));
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
                    let (abandoned, reply) = (Arc::clone(&abandoned), reply.clone());
                    tokio::spawn(async move {
                        if serve(stream, &seen, &gate, reply).await.is_none() {
                            abandoned.add_permits(1);
                        }
                    });
                }
            })
        };
        Self { address, seen, gate, abandoned, serving }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// `None` if the other side went away.
async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, gate: &Semaphore, reply: Reply) -> Option<()> {
    let (head, body) = request(&mut stream).await?;
    seen.lock().unwrap().push(Seen { head, body: serde_json::from_slice(&body).unwrap() });
    match reply {
        Reply::Json(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nset-cookie: a=b\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(body.as_bytes()).await.ok()?;
        }
        Reply::Events(events) => {
            send_events(&mut stream, gate, &events).await?;
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
        Reply::EventsThenBreak(events) => send_events(&mut stream, gate, &events).await?,
        Reply::EventsThenSilence(events) => {
            send_events(&mut stream, gate, &events).await?;
            closed(&mut stream).await;
            return None;
        }
        Reply::Silence => {
            closed(&mut stream).await;
            return None;
        }
    }
    Some(())
}

async fn send_events(stream: &mut TcpStream, gate: &Semaphore, events: &[String]) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for event in events {
        tokio::select! {
            permit = gate.acquire() => permit.unwrap().forget(),
            () = closed(stream) => return None,
        }
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
    Some(())
}

/// Until the other side has closed. Nothing is pipelined here.
async fn closed(stream: &mut TcpStream) {
    let mut byte = [0];
    let _ = stream.read(&mut byte).await;
}

async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
    }
    Some((head, bytes[end..].to_vec()))
}
