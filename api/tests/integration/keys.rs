//! The first admin key and the way back in.

use std::{fs, os::unix::fs::PermissionsExt as _};

use cyberbrain_common::keys::{
    ADMIN_KEY_FILE, AdminKey, NewKey, NotHere, Scope, authenticate, create_local, ensure_admin, revoke,
};
use cyberbrain_core::audit::Actor;
use cyberbrain_testkit::TestDb;
use futures::future::join_all;

const ACTOR: Actor = Actor::System("test");

#[tokio::test]
async fn the_first_start_makes_a_key_that_only_its_owner_reads() {
    let Some(db) = TestDb::new().await else { return };
    let (pool, home) = (db.pool(), tempfile::tempdir().unwrap());
    let data = home.path().join("not/there/yet");
    let AdminKey::Made { key, path } = ensure_admin(&pool, &data).await.unwrap() else { panic!("not made") };
    assert_eq!(path, data.join(ADMIN_KEY_FILE));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), key.expose());
    let mut connection = db.connect().await;
    let principal = authenticate(&mut connection, &key.expose()).await.unwrap();
    assert_eq!((principal.name.as_str(), principal.scope), ("admin", Scope::Admin));
    let kept: Vec<String> =
        sqlx::query_scalar("select api_keys::text from api_keys").fetch_all(&mut connection).await.unwrap();
    let secret = key.expose()[12..].to_owned();
    assert!(kept.len() == 1 && !kept[0].contains(&secret), "the secret is kept nowhere: {kept:?}");
    let audited: i64 = sqlx::query_scalar(
        "select count(*) from worker_audit where operation = 'change' and config_snapshot ->> 'api_key' = 'admin'
             and not worker_audit::text like '%' || $1 || '%'",
    )
    .bind(&secret)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(audited, 1);
    assert!(matches!(ensure_admin(&pool, &data).await.unwrap(), AdminKey::Found { .. }));
}

#[tokio::test]
async fn several_first_starts_at_once_make_one_key() {
    let Some(db) = TestDb::new().await else { return };
    let (pool, home) = (db.pool(), tempfile::tempdir().unwrap());
    let starts = join_all((0..8).map(|_| ensure_admin(&pool, home.path()))).await;
    let made = starts.iter().filter(|start| matches!(start, Ok(AdminKey::Made { .. }))).count();
    let found = starts.iter().filter(|start| matches!(start, Ok(AdminKey::Found { .. }))).count();
    assert_eq!((made, found), (1, 7), "{starts:?}");
}

#[tokio::test]
async fn a_lost_or_useless_file_is_told_and_there_is_a_way_back_in() {
    let Some(db) = TestDb::new().await else { return };
    let (pool, home) = (db.pool(), tempfile::tempdir().unwrap());
    let AdminKey::Made { path, .. } = ensure_admin(&pool, home.path()).await.unwrap() else { panic!() };
    let look = async || match ensure_admin(&pool, home.path()).await.unwrap() {
        AdminKey::NotHere { path, why } => (why, why.advice(&path)),
        other => panic!("{other:?}"),
    };
    fs::remove_file(&path).unwrap();
    let (why, advice) = look().await;
    assert_eq!(why, NotHere::Missing);
    assert!(advice.contains("key create --local") && advice.contains("admin.key"), "{advice}");
    assert!(!path.exists(), "a lost key is not replaced by a restart");
    fs::write(&path, "not a key").unwrap();
    assert_eq!(look().await.0, NotHere::Useless);
    let new = NewKey { name: "second".parse().unwrap(), scope: Scope::Admin, expires_at: None };
    let key = create_local(&pool, &new).await.unwrap();
    fs::write(&path, format!("{}\n", key.expose())).unwrap();
    assert!(matches!(ensure_admin(&pool, home.path()).await.unwrap(), AdminKey::Found { .. }));
    let mut connection = db.connect().await;
    for name in ["admin", "second"] {
        revoke(&mut connection, &name.parse().unwrap(), &ACTOR).await.unwrap();
    }
    assert_eq!(look().await.0, NotHere::Useless, "revoking the last key is no first start");
    let taken = create_local(&pool, &new).await.unwrap_err();
    assert_eq!(taken.constraint(), Some("api_keys_name_unique"));
}

#[tokio::test]
async fn a_key_that_can_not_be_written_is_not_made() {
    let Some(db) = TestDb::new().await else { return };
    let (pool, home) = (db.pool(), tempfile::tempdir().unwrap());
    let blocked = home.path().join("file");
    fs::write(&blocked, "in the way").unwrap();
    let error = ensure_admin(&pool, &blocked.join("data")).await.unwrap_err().to_string();
    assert!(error.contains("--data-dir"), "{error}");
    let keys: i64 =
        sqlx::query_scalar("select count(*) from api_keys").fetch_one(&mut db.connect().await).await.unwrap();
    assert_eq!(keys, 0);
    // A key of another database is in the way of nothing.
    fs::write(home.path().join(ADMIN_KEY_FILE), "cb_00000000_stale").unwrap();
    assert!(matches!(ensure_admin(&pool, home.path()).await.unwrap(), AdminKey::Made { .. }));
}
