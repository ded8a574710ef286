use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{Mode, Proxy};
use crate::wait_until;

const SOON: Duration = Duration::from_secs(5);
/// Long enough to see that nothing comes; a wrong answer would be there at once.
const SILENCE: Duration = Duration::from_millis(200);

/// Says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

async fn setup() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut stream, "hello").await.unwrap(), "hello");
    (proxy, stream)
}

/// End or reset; not silence.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(SOON, stream.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn passes_much_in_order() {
    let (_proxy, stream) = setup().await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let (mut from, mut to) = stream.into_split();
    let writing = tokio::spawn(async move { to.write_all(&sent).await.map(|()| to) });
    let mut received = vec![0; expected.len()];
    timeout(SOON, from.read_exact(&mut received)).await.unwrap().unwrap();
    assert!(received == expected);
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_refuses_what_is_new_until_it_is_mended() {
    let (proxy, mut stream) = setup().await;
    for _ in 0..5 {
        proxy.set(Mode::Cut).await;
        assert!(is_closed(&mut stream).await);
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        proxy.set(Mode::Pass).await;
        stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, "again").await.unwrap(), "again");
    }
}

#[tokio::test]
async fn a_black_hole_takes_everything_and_says_nothing() {
    let (proxy, mut old) = setup().await;
    proxy.set(Mode::Blackhole).await;
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    for stream in [&mut old, &mut new] {
        assert!(timeout(SILENCE, say(stream, "anyone?")).await.is_err());
    }
    proxy.set(Mode::Pass).await;
    assert!(is_closed(&mut old).await && is_closed(&mut new).await);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(say(&mut stream, "back").await.unwrap(), "back");
}

#[tokio::test]
async fn a_connection_that_said_nothing_in_the_hole_lives_on() {
    let (proxy, mut stream) = setup().await;
    proxy.set(Mode::Blackhole).await;
    proxy.set(Mode::Pass).await;
    assert_eq!(say(&mut stream, "still here").await.unwrap(), "still here");
}

#[tokio::test]
async fn a_delay_holds_for_open_connections_in_both_directions() {
    let (proxy, mut stream) = setup().await;
    proxy.set(Mode::Delay(Duration::from_millis(50))).await;
    let start = Instant::now();
    assert_eq!(say(&mut stream, "slow").await.unwrap(), "slow");
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections_and_its_port() {
    let (proxy, mut stream) = setup().await;
    let address = proxy.address();
    drop(proxy);
    assert!(is_closed(&mut stream).await);
    wait_until("the port to close", SOON, async || TcpStream::connect(address).await.is_err()).await;
}
