//! What the role refuses to be bound to, and how it says so.

use cyberbrain_api::{Error, run};
use tokio_util::sync::CancellationToken;

use crate::role::args;

/// How the role ends with these options.
async fn refused(bind: &str, options: &[&str]) -> Error {
    let home = tempfile::tempdir().unwrap();
    let args = args("postgres://nobody@127.0.0.1:1/none", home.path(), bind, options);
    run(args, CancellationToken::new()).await.unwrap_err()
}

#[tokio::test]
async fn others_than_this_machine_are_not_served_in_the_clear_unless_asked_for() {
    let error = refused("0.0.0.0:0", &[]).await;
    assert!(matches!(error, Error::Plaintext(_)), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("--tls-cert") && told.contains("--allow-plaintext"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_one_clear_error() {
    let error = refused("127.0.0.1:0", &["--tls-cert=/nowhere/cert.pem", "--tls-key=/nowhere/key.pem"]).await;
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("/nowhere/cert.pem can't be read"), "{source}");
}
