//! Who asks too often: wrong keys from one address, and requests of one key.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
};

use axum::body::Body;
use cyberbrain_api::{App, LimitArgs, Peer, UploadStore, router};

use crate::harness::{Answer, Api, request};

/// The same service with small limits.
async fn strict() -> Option<Api> {
    let mut api = Api::start().await?;
    let few = |count| NonZeroU32::new(count).unwrap();
    let limits = LimitArgs {
        rate_limit_per_second: few(1),
        rate_limit_burst: few(5),
        key_failures_per_minute: few(3),
    };
    let store = UploadStore::new(api.uploads.path().to_owned(), 1_000);
    api.router = router(&App::new(api.db.pool(), api.stopping.clone(), store).limit(&limits));
    Some(api)
}

async fn from(api: &Api, last: u8, key: Option<&str>) -> Answer {
    let mut request = request("GET", "/api/v1/jobs", key, &[], Body::empty());
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
    request.extensions_mut().insert(Peer(SocketAddr::new(address, 1)));
    api.send(request).await
}

#[tokio::test]
async fn an_address_that_guesses_keys_is_shut_out_and_no_other() {
    let Some(api) = strict().await else { return };
    let wrong = format!("cb_zzzzzzzz_{}", &api.viewer[12..]);
    for _ in 0..3 {
        assert_eq!(from(&api, 1, Some(&wrong)).await.status, 401);
    }
    let refused = from(&api, 1, Some(&wrong)).await;
    assert_eq!((refused.status, refused.problem()), (429, "rate-limited".to_owned()));
    assert!(refused.headers["retry-after"].parse::<u32>().unwrap() >= 1);
    assert_eq!(
        from(&api, 1, Some(&api.viewer)).await.status,
        429,
        "a right one does not come through either"
    );
    assert_eq!(from(&api, 2, Some(&api.viewer)).await.status, 200);
    assert_eq!(from(&api, 2, None).await.status, 401);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_ask_again() {
    let Some(api) = strict().await else { return };
    for _ in 0..5 {
        assert_eq!(from(&api, 1, Some(&api.viewer)).await.status, 200);
    }
    let mut refused = None;
    // The bucket fills while requests are answered: some more may pass.
    for _ in 0..50 {
        let answer = from(&api, 1, Some(&api.viewer)).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("fifty more don't pass at one per second");
    assert_eq!(
        (refused.problem(), refused.headers["retry-after"].as_str()),
        ("rate-limited".to_owned(), "1")
    );
    assert_eq!(from(&api, 1, Some(&api.operator)).await.status, 200, "another key of the same address");
}
