//! Artifacts, from the host that has them.

use std::{os::unix::fs::symlink, time::Duration};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    harness::{Answer, Api, request},
    host_files::HostFiles,
};

const TEXT: &[u8] = b"<script>0123456789 0123456789 0123456789 0123456789 0123456789</script>";

async fn start() -> Option<(Api, HostFiles)> {
    let api = Api::start().await?;
    api.launch(&json!({ "jobs": ["log_triage"] })).await;
    let files = HostFiles::start(&api).await;
    Some((api, files))
}

async fn get(api: &Api, id: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/api/v1/artifacts/{id}/content");
    api.send(request("GET", &path, Some(&api.viewer), headers, Body::empty())).await
}

#[tokio::test]
async fn a_download_is_the_file_and_is_never_shown_by_a_browser() {
    let Some((api, files)) = start().await else { return };
    let path = "runs/r/j/a/out/page \"ü\".html";
    files.write(path, TEXT);
    let id = files.row(&api, path, TEXT).await;
    let shown = api.get(&format!("/api/v1/artifacts/{id}")).await;
    assert_eq!(
        (shown.status, &shown.json()["path"], &shown.json()["host"]),
        (200, &json!(path), &json!("box"))
    );

    let answer = get(&api, &id, &[("accept-encoding", "gzip")]).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, TEXT));
    let hash = Sha256::digest(TEXT);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        (
            "content-disposition",
            "attachment; filename=\"page____.html\"; filename*=UTF-8''page%20%22%C3%BC%22.html",
        ),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("content-length", "71"),
        ("accept-ranges", "bytes"),
        ("etag", &format!("\"{hex}\"")),
        ("digest", &format!("sha-256={}", STANDARD.encode(hash))),
    ] {
        assert_eq!(answer.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(shown.json()["sha256"], hex);
}

#[tokio::test]
async fn a_download_can_go_on_where_it_broke_off() {
    let Some((api, files)) = start().await else { return };
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    files.write("runs/big.bin", &bytes);
    let id = files.row(&api, "runs/big.bin", &bytes).await;
    let head = get(&api, &id, &[("range", "bytes=0-99999")]).await;
    assert_eq!((head.status, head.headers["content-range"].as_str()), (206, "bytes 0-99999/300000"));
    let etag = head.headers["etag"].clone();
    let rest = get(&api, &id, &[("range", "bytes=100000-"), ("if-range", &etag)]).await;
    assert_eq!((rest.status, rest.headers["content-length"].as_str()), (206, "200000"));
    assert!([head.body, rest.body].concat() == bytes);
    let whole = get(&api, &id, &[("range", "bytes=100000-"), ("if-range", "\"another\"")]).await;
    assert_eq!((whole.status, whole.body.len()), (200, bytes.len()), "it is another file than theirs");
    assert_eq!(get(&api, &id, &[("range", "bytes=-1")]).await.body, bytes[299_999..]);
    assert_eq!(get(&api, &id, &[("range", "lines=1-2")]).await.status, 200);
    let beyond = get(&api, &id, &[("range", "bytes=300000-")]).await;
    assert_eq!((beyond.status, beyond.problem().as_str()), (416, "range-not-satisfiable"));
    assert_eq!(beyond.headers["content-range"], "bytes */300000");
}

#[tokio::test]
async fn what_is_not_there_any_more_is_gone_and_a_silent_host_is_asked_again_later() {
    let Some((api, mut files)) = start().await else { return };
    files.write("runs/a.txt", TEXT);
    let id = files.row(&api, "runs/a.txt", TEXT).await;
    let missing = files.row(&api, "runs/missing.txt", TEXT).await;
    let answer = get(&api, &missing, &[]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (410, "gone"));
    files.write("runs/changed.txt", "longer than it was, by far, and another file at all");
    let changed = files.row(&api, "runs/changed.txt", TEXT).await;
    for headers in [&[][..], &[("range", "bytes=0-3")]] {
        assert_eq!(get(&api, &changed, headers).await.problem(), "gone", "not under its old hash");
    }
    let unknown = get(&api, "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00", &[]).await;
    assert_eq!(unknown.problem(), "not-found");

    files.stop().await;
    let answer = get(&api, &id, &[]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "host-unreachable"));
    assert!(answer.headers.contains_key("retry-after"));
    files.serve(&api).await;
    assert_eq!(get(&api, &id, &[]).await.status, 200, "a launcher that was started anew");
    api.execute("update launchers set state = 'ended'").await;
    assert_eq!(get(&api, &id, &[]).await.problem(), "host-unreachable");
}

#[tokio::test]
async fn what_retention_removed_is_gone_and_says_when_and_why() {
    let Some((api, files)) = start().await else { return };
    files.write("runs/a.txt", TEXT);
    let id = files.row(&api, "runs/a.txt", TEXT).await;
    api.execute("update run_artifacts set removed_at = '2026-01-02T03:04:05Z'").await;
    for (cause, why) in [
        ("update run_artifacts set removed_cause = 'age'", ": it was older than what is kept"),
        (
            "update run_artifacts set removed_cause = 'bytes'",
            ": there was more than is kept, and it was among the oldest",
        ),
        ("update run_artifacts set removed_cause = null", ""),
    ] {
        api.execute(cause).await;
        let answer = get(&api, &id, &[]).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (410, "gone"),
            "though the file is still there"
        );
        assert_eq!(answer.json()["detail"], format!("retention removed it at 2026-01-02T03:04:05Z{why}"));
    }
    api.execute("update launchers set state = 'ended'").await;
    assert_eq!(get(&api, &id, &[]).await.status, 410, "whoever lives");
    let shown = api.get(&format!("/api/v1/artifacts/{id}")).await;
    assert_eq!(
        (shown.status, &shown.json()["removed_at"]),
        (200, &json!("2026-01-02T03:04:05Z")),
        "it is still known"
    );
}

#[tokio::test]
async fn only_launchers_that_have_its_directory_are_asked_for_a_file() {
    let Some((api, files)) = start().await else { return };
    files.write("runs/a.txt", TEXT);
    let id = files.row(&api, "runs/a.txt", TEXT).await;
    api.execute("update run_artifacts set root_id = '00000000-0000-7000-8000-000000000001'").await;
    assert_eq!(get(&api, &id, &[]).await.status, 200, "of one that does not say it is not known");
    api.execute("update launchers set logs_root = gen_random_uuid()").await;
    let answer = get(&api, &id, &[]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "host-unreachable"), "not gone: elsewhere");
    api.execute("update launchers set logs_root = '00000000-0000-7000-8000-000000000001'").await;
    assert_eq!(get(&api, &id, &[]).await.status, 200);
}

#[tokio::test]
async fn any_launcher_of_the_host_will_do() {
    let Some((api, files)) = start().await else { return };
    files.write("runs/a.txt", TEXT);
    let id = files.row(&api, "runs/a.txt", TEXT).await;
    // The newest one does not listen any more.
    api.execute(
        "insert into launchers (id, host_id, pid, version, files_url, last_contact_at)
         select gen_random_uuid(), id, 2, 'test', 'http://127.0.0.1:1', now() + interval '1 hour' from hosts",
    )
    .await;
    assert_eq!(get(&api, &id, &[]).await.status, 200);
    let missing = files.row(&api, "runs/missing.txt", TEXT).await;
    assert_eq!(get(&api, &missing, &[]).await.problem(), "host-unreachable", "the other one may have it");
}

#[tokio::test]
async fn a_row_leads_to_nothing_outside_the_root() {
    let Some((api, files)) = start().await else { return };
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), TEXT).unwrap();
    files.write("runs/a.txt", TEXT);
    symlink(outside.path().join("secret"), files.path("runs/link")).unwrap();
    symlink(outside.path(), files.path("runs/dir")).unwrap();
    // The constraint of the table keeps absolute paths and dots out; what passes it must not pass the host.
    for path in [
        "runs/link",
        "runs/dir/secret",
        "runs/./a.txt",
        "runs//a.txt",
        "runs",
        "runs/%2e%2e/a.txt",
        "runs/a.txt/",
        "\u{ff0e}\u{ff0e}/secret",
        "runs/\u{202e}txt.a",
        "..\\secret",
        "~root",
        " ",
        "runs/a.txt\n",
    ] {
        let id = files.row(&api, path, TEXT).await;
        let answered = tokio::time::timeout(Duration::from_secs(20), get(&api, &id, &[])).await;
        assert_eq!(answered.expect("it is answered").problem(), "gone", "{path:?}");
    }
    let mut connection = api.db.connect().await;
    for path in ["/etc/passwd", "../secret", "runs/../../secret", ".."] {
        let stored = sqlx::query(
            "insert into run_artifacts (id, run_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
             select gen_random_uuid(), r.id, h.id, 'data', $1, 1, sha256(''), 'x/y' from runs r, hosts h",
        )
        .bind(path)
        .execute(&mut connection)
        .await;
        assert!(stored.is_err(), "{path} is refused by the table");
    }
}
