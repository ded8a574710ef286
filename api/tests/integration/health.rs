//! Health, readiness and a database that goes away.

use std::time::{Duration, Instant};

use axum::body::Body;
use cyberbrain_api::{App, UploadStore, router};
use cyberbrain_testkit::{
    TestDb,
    chaos::{Mode, Proxy},
    wait_until,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::{Api, pool, request};

#[tokio::test]
async fn ready_says_what_is_missing() {
    let Some(db) = TestDb::empty().await else { return };
    let pool = pool(&db.url);
    let mut api = Api::start().await.unwrap();
    assert_eq!(api.get("/readyz").await.json(), json!({ "status": "ready" }));
    // The same service over a database without our tables.
    let stopping = CancellationToken::new();
    let store = UploadStore::new(api.uploads.path().to_owned(), 1);
    api.router = router(&App::new(pool, stopping.clone(), store));
    let answer = api.send(request("GET", "/readyz", None, &[], Body::empty())).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "not-ready"));
    assert_eq!(answer.places(), ["check /migrations"]);
    assert!(answer.text().contains("cyberbrain migrate") && answer.headers.contains_key("retry-after"));
    stopping.cancel();
    let answer = api.get("/readyz").await;
    assert_eq!(answer.places(), ["check /process", "check /migrations"]);
    assert_eq!(api.get("/healthz").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn without_a_database_every_route_says_so_and_recovers() {
    let Some(db) = TestDb::new().await else { return };
    let proxy = Proxy::start(db.address().await).await.unwrap();
    let through = pool(&db.url_through(proxy.address()));
    let api = Api::over(db, through).await;
    let launch = json!({ "jobs": ["log_triage"] });
    assert_eq!(api.get("/api/v1/runs").await.status, 200);
    for mode in [Mode::Cut, Mode::Blackhole] {
        proxy.set(mode).await;
        let before = Instant::now();
        let (listed, gpus, launched, ready) = tokio::join!(
            api.get("/api/v1/runs"),
            api.get("/api/v1/gpus"),
            api.post("/api/v1/runs", Some(&launch)),
            api.get("/readyz"),
        );
        for answer in [listed, gpus, launched] {
            assert_eq!(answer.status, 503, "{mode:?}: {}", answer.text());
            let kind = answer.problem();
            assert!(["database-unavailable", "timeout"].contains(&kind.as_str()), "{mode:?}: {kind}");
            assert!(answer.headers.contains_key("retry-after"), "{mode:?}");
        }
        assert_eq!((ready.status, ready.places()), (503, vec!["check /database".to_owned()]), "{mode:?}");
        assert_eq!(api.get("/healthz").await.status, 200, "the process is well");
        eprintln!("four answers without a database ({mode:?}) took {:?}", before.elapsed());
        proxy.set(Mode::Pass).await;
        wait_until("the api is ready again", Duration::from_secs(30), async || {
            api.get("/readyz").await.status == 200
        })
        .await;
        assert_eq!(api.get("/api/v1/runs").await.status, 200, "{mode:?}");
    }
    let [runs, run_jobs, _, tasks, _] = api.stored().await;
    assert_eq!((runs, run_jobs, tasks), (0, 0, 0));
}
