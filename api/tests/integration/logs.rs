//! What workers wrote, as a text and as it comes in.

use std::{fs::OpenOptions, io::Write as _};

use axum::body::Body;
use serde_json::json;

use crate::{
    following::{Following, PATIENCE, events},
    harness::{Answer, Api, request},
    host_files::HostFiles,
    machines,
};

/// A run job that runs, and the directory of its attempt.
struct Worker {
    api: Api,
    files: HostFiles,
    run_job: String,
    dir: String,
}

impl Worker {
    async fn start() -> Option<Self> {
        let api = Api::start().await?;
        let run = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
        let files = HostFiles::start(&api).await;
        let shown = api.get(&format!("/api/v1/runs/{run}")).await.json();
        let run_job = shown["run_jobs"][0]["id"].as_str().unwrap().to_owned();
        machines::run_one(&api, &run_job).await;
        let shown = api.get(&format!("/api/v1/run-jobs/{run_job}")).await.json();
        let attempt = shown["attempts"][0]["id"].as_str().unwrap().to_owned();
        let dir = format!("runs/{run}/{run_job}/{attempt}");
        Some(Self { api, files, run_job, dir })
    }

    /// Appends to the segment of an owner.
    fn wrote(&self, fence: u32, text: &str) {
        let path = self.files.path(&format!("{}/container-f{fence}.log", self.dir));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn another_owner(&self) {
        self.api.execute("update attempts set fence = fence + 1").await;
    }

    async fn end(&self) {
        self.api.execute("update attempts set state = 'done', ended_at = now()").await;
    }

    async fn text(&self, query: &str) -> Answer {
        self.api.get(&format!("/api/v1/run-jobs/{}/logs{query}", self.run_job)).await
    }

    /// The whole answer of the stream, for one that ends or is refused.
    async fn stream_to_end(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/api/v1/run-jobs/{}/logs/stream{query}", self.run_job);
        let sent = self.api.send(request("GET", &path, Some(&self.api.viewer), headers, Body::empty()));
        tokio::time::timeout(PATIENCE, sent).await.expect("the stream ends")
    }

    async fn follow(&self) -> Following {
        let path = format!("/api/v1/run-jobs/{}/logs/stream", self.run_job);
        Following::open(&self.api, &path, None).await
    }
}

fn lines(text: &str) -> Vec<(String, String)> {
    events(text, "log")
}

#[tokio::test]
async fn the_text_is_what_all_owners_wrote_in_their_order() {
    let Some(worker) = Worker::start().await else { return };
    let none_yet = worker.text("").await;
    assert_eq!((none_yet.status, none_yet.text()), (200, ""), "it has written nothing yet");
    worker.wrote(1, "one\ntwo\n");
    worker.another_owner().await;
    worker.another_owner().await;
    // The second owner never began to write.
    worker.wrote(3, "three\n");
    let text = worker.text("").await;
    assert_eq!((text.status, text.text()), (200, "one\ntwo\nthree\n"));
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    for (tail, expected) in [(6, "three\n"), (10, "two\nthree\n"), (1, "\n"), (1_000, "one\ntwo\nthree\n")] {
        assert_eq!(worker.text(&format!("?tail_bytes={tail}")).await.text(), expected, "{tail}");
    }
    assert_eq!(worker.text("?attempt=1").await.text().len(), 14);
    assert_eq!(worker.text("?attempt=2").await.problem(), "not-found");
    for query in
        ["?attempt=0", "?attempt=-1", "?attempt=x", "?attempt=2147483648", "?tail_bytes=0", "?tail=1"]
    {
        assert_eq!(worker.text(query).await.problem(), "invalid-query", "{query}");
    }
}

#[tokio::test]
async fn a_log_without_attempt_or_host_or_file_says_so() {
    let Some(mut worker) = Worker::start().await else { return };
    worker.wrote(1, "one\n");
    let api = &worker.api;
    let waiting = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let shown = api.get(&format!("/api/v1/runs/{waiting}")).await.json();
    let waiting = shown["run_jobs"][0]["id"].as_str().unwrap().to_owned();
    for id in [waiting.as_str(), "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00"] {
        for path in ["logs", "logs/stream"] {
            assert_eq!(api.get(&format!("/api/v1/run-jobs/{id}/{path}")).await.problem(), "not-found");
        }
    }
    worker.files.stop().await;
    assert_eq!(worker.text("").await.problem(), "host-unreachable");
    assert_eq!(worker.stream_to_end("", &[]).await.problem(), "host-unreachable");
    worker.files.serve(&worker.api).await;
    worker
        .api
        .execute(
            "insert into run_artifacts (id, run_id, run_job_id, attempt_id, host_id, artifact_type, path, size_bytes,
                 sha256, mime_type, removed_at)
             select gen_random_uuid(), run_id, run_job_id, id, host_id, 'log', 'a/b/c/d/container-f1.log', 0, sha256(''), 'text/plain', now()
             from attempts",
        )
        .await;
    assert_eq!(worker.text("").await.problem(), "gone");
    assert_eq!(worker.stream_to_end("", &[]).await.problem(), "gone");
}

#[tokio::test]
async fn lines_come_as_they_are_written_over_all_owners_and_then_the_end() {
    let Some(worker) = Worker::start().await else { return };
    worker.wrote(1, "one\nhal");
    let mut following = worker.follow().await;
    following.until("data: one\n").await;
    assert!(!following.seen.contains("hal"), "a line comes when it is whole: {}", following.seen);
    worker.wrote(1, "f\n");
    following.until("data: half\n").await;
    // The next owner begins; a line that the first one wrote last is not lost, nor its torn end.
    worker.another_owner().await;
    worker.wrote(1, "late\ntorn");
    worker.wrote(2, "two\n");
    following.until("data: two\n").await;
    worker.wrote(2, "three\n");
    worker.end().await;
    following.until("event: end\n").await;
    following.ends().await;
    let texts: Vec<String> = lines(&following.seen).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["one", "half", "late", "torn", "two", "three"]);
    let end = following.seen.rsplit("event: end\n").next().unwrap();
    assert_eq!(end, "data: {\"attempt\":1,\"state\":\"done\"}\n\n");
}

#[tokio::test]
async fn wherever_a_client_goes_on_it_misses_nothing_and_reads_nothing_twice() {
    let Some(worker) = Worker::start().await else { return };
    worker.wrote(1, "one\nzwei ü\n\n");
    worker.another_owner().await;
    worker.wrote(2, "four\nfive");
    worker.end().await;
    let whole = worker.stream_to_end("", &[]).await;
    let all = lines(whole.text());
    let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["one", "zwei ü", "", "four", "five"]);
    for (at, (id, _)) in all.iter().enumerate() {
        let rest = worker.stream_to_end("", &[("last-event-id", id)]).await;
        assert_eq!(lines(rest.text()), all[at + 1..], "after {id}");
        assert!(rest.text().contains("event: end"), "after {id}");
    }
    assert_eq!(lines(worker.stream_to_end("", &[("last-event-id", "")]).await.text()), all);
    for bad in ["x", "1", "1.1", "0.1.0", "1.0.0", "1.3.0", "1.1.-1", "1.1.18446744073709551615", "1.1.1.1"] {
        let answer = worker.stream_to_end("", &[("last-event-id", bad)]).await;
        assert_eq!((answer.problem().as_str(), answer.status), ("invalid-header", 400), "{bad}");
    }
    let other = worker.stream_to_end("?attempt=1", &[("last-event-id", "2.1.0")]).await;
    assert_eq!(other.problem(), "invalid-header");
    assert_eq!(worker.stream_to_end("", &[("last-event-id", "2.1.0")]).await.problem(), "not-found");
    let beyond = worker.stream_to_end("", &[("last-event-id", "1.2.999")]).await;
    assert_eq!(lines(beyond.text()), [], "there is nothing there");
}

#[tokio::test]
async fn a_launcher_that_is_started_anew_is_found_again() {
    let Some(mut worker) = Worker::start().await else { return };
    worker.wrote(1, "one\n");
    let mut following = worker.follow().await;
    following.until("data: one\n").await;
    worker.files.stop().await;
    worker.wrote(1, "two\n");
    worker.files.serve(&worker.api).await;
    following.until("data: two\n").await;
    assert_eq!(lines(&following.seen).len(), 2);
}

#[tokio::test]
async fn streams_end_when_the_process_does_and_their_places_are_free_when_clients_leave() {
    let Some(worker) = Worker::start().await else { return };
    worker.wrote(1, "one\n");
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(worker.follow().await);
    }
    let refused = worker.stream_to_end("", &[]).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "too-many-streams"));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(worker.text("").await.status, 200, "they take nobody else's place");
    open.truncate(1);
    open.push(worker.follow().await);
    worker.api.stopping.cancel();
    for following in &mut open {
        following.ends().await;
        assert!(!following.seen.contains("event: end"), "it is not the attempt that ended");
    }
}

#[tokio::test]
async fn a_log_that_retention_removed_is_gone_and_a_workers_own_log_is_not_it() {
    let Some(worker) = Worker::start().await else { return };
    worker.wrote(1, "one\n");
    worker.end().await;
    for (path, status) in [("out/own.log", 200), ("container-f1.log", 410)] {
        let row = "insert into run_artifacts (id, run_id, run_job_id, attempt_id, host_id, artifact_type, path, size_bytes, sha256,
                mime_type, removed_at, removed_cause)
            select gen_random_uuid(), run_id, run_job_id, id, host_id, 'log', $1, 4, sha256(''), 'text/plain',
                '2026-01-02T03:04:05Z', 'age' from attempts";
        let path = format!("{}/{path}", worker.dir);
        let mut connection = worker.api.db.connect().await;
        sqlx::query(row).bind(&path).execute(&mut connection).await.unwrap();
        for answer in [worker.text("").await, worker.stream_to_end("", &[]).await] {
            assert_eq!(answer.status, status, "{path}");
            if status == 410 {
                assert_eq!(answer.problem(), "gone");
                let told = "retention removed the log of this attempt at 2026-01-02T03:04:05Z: it was older than what is kept";
                assert_eq!(answer.json()["detail"], told);
                assert_eq!(answer.headers["content-type"], "application/problem+json");
            }
        }
    }
    let shown = worker.api.get(&format!("/api/v1/run-jobs/{}", worker.run_job)).await.json();
    let run = shown["run_id"].as_str().unwrap();
    let listed = worker.api.get(&format!("/api/v1/runs/{run}/artifacts")).await.json();
    let listed = listed["artifacts"].as_array().unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|file| file["removed_at"].is_string()), "{listed:?}");
}
