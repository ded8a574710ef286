//! Endpoints behind https.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    stub::{Reply, Stub},
    world::World,
};

/// Ends TLS in front of a stub.
struct Terminator {
    address: SocketAddr,
    /// The root that signed its certificate, as PEM.
    root: String,
    serving: JoinHandle<()>,
}

impl Terminator {
    /// With a certificate for this name or address.
    async fn start(stub: &Stub, name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = stub.address;
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust us breaks off here.
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let mut inner = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        Self { address, root: authority.pem(), serving }
    }

    fn file(&self, roots: Option<&Path>) -> Value {
        let mut endpoint = json!({"name": "first", "kind": "openai", "base_url": format!("https://{}/v1", self.address),
            "models": {"default": "real/model"}});
        if let Some(roots) = roots {
            endpoint["ca_file"] = json!(roots);
        }
        json!({ "endpoints": [endpoint] })
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn answer() -> Reply {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    Reply::Json(200, json!({"choices": [{"message": {"content": "hi"}}], "usage": usage}).to_string())
}

#[tokio::test]
async fn an_endpoint_with_https_is_asked_when_the_roots_of_its_file_vouch_for_it() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer()).await;
    let terminator = Terminator::start(&stub, "127.0.0.1").await;
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), &terminator.root).unwrap();
    let gateway = world.gateway_of(&terminator.file(Some(roots.path())));
    let (status, said) = world.chat(&gateway).await;
    assert_eq!((status, &said["choices"][0]["message"]["content"]), (200, &json!("hi")));
    let rows = world.until_rows(1).await;
    assert!(rows[0].success && rows[0].total_tokens == 7, "{rows:?}");
    assert_eq!(stub.seen()[0].body["model"], "real/model");
}

#[tokio::test]
async fn an_endpoint_that_nobody_vouches_for_is_not_asked_and_the_reason_is_told() {
    let Some(world) = World::new().await else { return };
    let stub = Stub::always(answer()).await;
    let unknown = Terminator::start(&stub, "127.0.0.1").await;
    let misnamed = Terminator::start(&stub, "elsewhere.example").await;
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), &misnamed.root).unwrap();
    for (number, file) in
        [unknown.file(None), unknown.file(Some(roots.path())), misnamed.file(Some(roots.path()))]
            .iter()
            .enumerate()
    {
        let gateway = world.gateway_of(file);
        let (status, said) = world.chat(&gateway).await;
        assert_eq!(status, 502, "{said}");
        assert!(said.to_string().contains("first: tls_failed"), "{said}");
        let rows = world.until_rows(number + 1).await;
        assert_eq!(rows[number].error_class.as_deref(), Some("tls_failed"));
    }
    assert!(stub.seen().is_empty(), "nothing of a question went out");
}
