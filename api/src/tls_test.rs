//! TLS over a real connection.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::sync::CancellationToken;

use super::{TlsError, acceptor};
use crate::serve::serve;

const LIMIT: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A certificate for `localhost` and its key, as files; returns what a client has to trust.
fn certificate(dir: &Path) -> RootCertStore {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    roots
}

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    let _ = stream.write_all(REQUEST).await;
    let mut answer = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_are_answered_over_tls_and_not_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let roots = certificate(dir.path());
    let tls = acceptor(&dir.path().join("cert.pem"), &dir.path().join("key.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let served = tokio::spawn({
        let stop = stop.clone();
        async move { serve(listener, router, Some(tls), &stop).await }
    });

    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let answer = ask(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    let answer = ask(TcpStream::connect(address).await.unwrap()).await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    // Nor does a client that never begins its handshake hold up the others, or the stop.
    let _silent = TcpStream::connect(address).await.unwrap();
    stop.cancel();
    timeout(LIMIT, served).await.unwrap().unwrap();
}

#[test]
fn files_that_are_missing_empty_or_not_a_pair_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let missing = dir.path().join("missing.pem");
    let error = acceptor(&missing, &key).map(drop).unwrap_err();
    assert!(matches!(&error, TlsError::Read { path, .. } if *path == missing), "{error:?}");
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error = acceptor(&key, &key).map(drop).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate(_)), "{error:?}");
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let error = acceptor(&cert, &other.path().join("key.pem")).map(drop).unwrap_err();
    assert!(matches!(error, TlsError::Unusable(_)), "{error:?}");
}
