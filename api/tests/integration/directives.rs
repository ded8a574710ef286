//! Directives: made, used by launches, edited into versions, switched off; and who changed them.

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Api, request};

const PATH: &str = "/api/v1/directives/Nightly%20triage";

fn nightly() -> Value {
    json!({
        "name": "Nightly triage", "type": "D1", "description": "each night", "text": "the first text",
        "jobs": ["task1"], "config": { "window": "24h" }, "max_concurrent_runs": 2,
    })
}

/// Makes the directive above.
async fn make(api: &Api) {
    let answer = api.make("/api/v1/directives", Some(&nightly())).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Edits it as an admin, for this version.
async fn edit(api: &Api, version: &str, change: Value) -> crate::harness::Answer {
    api.change("PATCH", PATH, &api.admin, Some(version), Some(&change)).await
}

#[tokio::test]
async fn a_directive_is_made_and_a_launch_uses_it() {
    let Some(api) = Api::start().await else { return };
    let answer = api.make("/api/v1/directives", Some(&nightly())).await;
    assert_eq!((answer.status, answer.headers["etag"].as_str()), (201, "\"1\""), "{}", answer.text());
    assert_eq!(answer.headers["location"], PATH);
    let made = answer.json();
    assert_eq!((&made["jobs"], &made["config"]), (&json!(["log_triage"]), &json!({ "window": "24h" })));
    assert_eq!(
        (&made["version"], &made["active"], &made["builtin"]),
        (&json!(1), &json!(true), &json!(false))
    );
    assert_eq!(api.get(PATH).await.json(), made);

    let run = api.launch(&json!({ "directive": "Nightly triage" })).await;
    let run = api.get(&format!("/api/v1/runs/{run}")).await.json();
    assert_eq!(
        (&run["directive"], &run["run_jobs"][0]["job"]),
        (&json!("Nightly triage"), &json!("log_triage"))
    );
    let other = json!({ "directive": "Nightly triage", "jobs": ["gpu_report"] });
    assert_eq!(api.post("/api/v1/runs", Some(&other)).await.places(), ["body /jobs/0"], "its rule holds");
}

#[tokio::test]
async fn an_edit_makes_a_version_and_leaves_the_snapshot_of_an_older_run_as_it_was() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    let before = api.launch(&json!({ "directive": "Nightly triage" })).await;
    let change = json!({ "text": "the second text", "jobs": [], "max_concurrent_runs": null, "config": {} });
    let answer = edit(&api, "\"1\"", change).await;
    assert_eq!((answer.status, answer.headers["etag"].as_str()), (200, "\"2\""), "{}", answer.text());
    let edited = answer.json();
    assert_eq!((&edited["text"], &edited["description"]), (&json!("the second text"), &json!("each night")));
    assert_eq!(
        (&edited["jobs"], &edited["max_concurrent_runs"], &edited["config"]),
        (&json!([]), &json!(null), &json!({}))
    );
    let after = api.launch(&json!({ "directive": "Nightly triage", "jobs": ["gpu_report"] })).await;
    for (run, version, text) in [(&before, 1, "the first text"), (&after, 2, "the second text")] {
        let (kept_version, kept_text): (i32, String) = sqlx::query_as(
            "select directive_version, directive_snapshot ->> 'text' from runs where id = $1::uuid",
        )
        .bind(run)
        .fetch_one(&mut api.db.connect().await)
        .await
        .unwrap();
        assert_eq!((kept_version, kept_text.as_str()), (version, text));
    }

    let versions = api.get(&format!("{PATH}/versions")).await.json();
    let versions = versions["directives"].as_array().unwrap().clone();
    assert_eq!((versions.len(), &versions[0]), (2, &edited), "newest first");
    assert_eq!(
        (&versions[1]["text"], &versions[0]["superseded_at"]),
        (&json!("the first text"), &json!(null))
    );
    assert!(versions[1]["superseded_at"].is_string(), "{}", versions[1]);
    let first = api.get(&format!("{PATH}/versions?limit=1")).await.json();
    let next = first["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("{PATH}/versions?limit=1&cursor={next}")).await.json();
    assert_eq!((&rest["directives"][0]["version"], &rest["next_cursor"]), (&json!(1), &json!(null)));
}

#[tokio::test]
async fn a_change_for_no_version_or_a_stale_one_stores_nothing() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    assert_eq!(edit(&api, "\"1\"", json!({ "text": "second" })).await.status, 200);
    let before = api.stored().await;
    let rows = api.count("select count(*) from directives").await;
    let change = json!({ "text": "third" });
    for (method, body) in [("PATCH", Some(&change)), ("DELETE", None)] {
        let none = api.change(method, PATH, &api.admin, None, body).await;
        assert_eq!((none.status, none.problem().as_str()), (428, "precondition-required"), "{method}");
        assert_eq!(none.places(), ["header /If-Match"]);
        for stale in ["\"1\"", "\"3\"", "W/\"2\"", "\"x\""] {
            let answer = api.change(method, PATH, &api.admin, Some(stale), body).await;
            assert_eq!((answer.status, answer.problem().as_str()), (412, "precondition-failed"), "{stale}");
            assert!(answer.text().contains("version is 2"), "{}", answer.text());
        }
        let unread = api.change(method, PATH, &api.admin, Some("2"), body).await;
        assert_eq!((unread.status, unread.places()), (400, vec!["header /If-Match".to_owned()]));
    }
    assert_eq!(api.stored().await, before);
    assert_eq!(api.count("select count(*) from directives").await, rows);
    assert_eq!(edit(&api, "\"1\", \"2\"", change).await.status, 200, "one of several is enough");
    assert_eq!(edit(&api, "*", json!({ "text": "fourth" })).await.headers["etag"], "\"4\"");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    let get = async |tag: &str| {
        let headers = [("if-none-match", tag)];
        api.send(request("GET", PATH, Some(&api.viewer), &headers, Body::empty())).await
    };
    for (tag, status) in [("\"1\"", 304), ("W/\"1\"", 304), ("*", 304), ("\"2\"", 200), ("\"7\", \"1\"", 304)]
    {
        let answer = get(tag).await;
        assert_eq!((answer.status, answer.headers["etag"].as_str()), (status, "\"1\""), "{tag}");
        assert_eq!(answer.body.is_empty(), status == 304, "{tag}");
    }
    assert_eq!(get("1").await.places(), ["header /If-None-Match"]);
    edit(&api, "\"1\"", json!({ "text": "second" })).await;
    assert_eq!(get("\"1\"").await.status, 200, "it is another one now");
}

#[tokio::test]
async fn of_two_edits_at_once_exactly_one_wins() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    for round in 1..=10 {
        let tag = format!("\"{round}\"");
        let (a, b) = tokio::join!(
            edit(&api, &tag, json!({ "text": format!("a {round}") })),
            edit(&api, &tag, json!({ "text": format!("b {round}") })),
        );
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}: {} {}", a.text(), b.text());
        let won = if a.status == 200 { a } else { b };
        assert_eq!(api.get(PATH).await.json(), won.json());
    }
    assert_eq!(api.count("select count(*) from directives where name = 'Nightly triage'").await, 11);
    let current = "select count(*) from directives where name = 'Nightly triage' and superseded_at is null";
    assert_eq!(api.count(current).await, 1);
}

#[tokio::test]
async fn of_two_directives_of_one_name_exactly_one_is_made() {
    let Some(api) = Api::start().await else { return };
    let body = nightly();
    let (a, b) = tokio::join!(
        api.make("/api/v1/directives", Some(&body)),
        api.make("/api/v1/directives", Some(&body))
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let refused = if a.status == 409 { a } else { b };
    assert!(refused.text().contains("take another name"), "{}", refused.text());
    assert_eq!(api.count("select count(*) from directives where name = 'Nightly triage'").await, 1);
}

#[tokio::test]
async fn each_change_is_audited_with_who_made_it() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    edit(&api, "\"1\"", json!({ "text": "second" })).await;
    let same = edit(&api, "\"2\"", json!({ "text": "second" })).await;
    assert_eq!((same.status, same.headers["etag"].as_str()), (200, "\"2\""), "nothing changed, no version");
    api.change("DELETE", PATH, &api.admin, Some("\"2\""), None).await;
    let told: Vec<(String, Value)> = sqlx::query_as(
        "select actor, config_snapshot from worker_audit where config_snapshot ? 'directive' and run_id is null
         order by at, id",
    )
    .fetch_all(&mut api.db.connect().await)
    .await
    .unwrap();
    let row = |actor: &str, version: u32, change: &str| {
        let told = json!({ "directive": "Nightly triage", "version": version, "change": change });
        (actor.to_owned(), told)
    };
    let expected =
        [row("key:boss", 1, "created"), row("key:boss", 2, "edited"), row("key:boss", 3, "switched off")];
    assert_eq!(told, expected, "and no text of it");
}

#[tokio::test]
async fn switched_off_is_refused_by_launches_until_it_is_on_again() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    api.launch(&json!({ "directive": "Nightly triage" })).await;
    let off = api.change("DELETE", PATH, &api.admin, Some("\"1\""), None).await;
    assert_eq!((off.status, &off.json()["active"]), (200, &json!(false)), "{}", off.text());
    let again = api.change("DELETE", PATH, &api.admin, Some("\"2\""), None).await;
    assert_eq!((again.status, again.headers["etag"].as_str()), (200, "\"2\""), "it was off: nothing changed");
    let launch = json!({ "directive": "Nightly triage" });
    let refused = api.post("/api/v1/runs", Some(&launch)).await;
    assert_eq!(refused.places(), ["body /directive"]);
    assert!(refused.text().contains("switched off"), "{}", refused.text());
    assert_eq!(
        api.make("/api/v1/directives", Some(&nightly())).await.problem(),
        "conflict",
        "the name stays"
    );
    assert_eq!(edit(&api, "\"2\"", json!({ "active": true })).await.status, 200);
    api.launch(&launch).await;
}

#[tokio::test]
async fn built_in_ones_are_edited_and_not_deleted() {
    let Some(api) = Api::start().await else { return };
    let path = "/api/v1/directives/D2";
    let shown = api.get(path).await;
    assert_eq!((&shown.json()["name"], shown.headers["etag"].as_str()), (&json!("GPU report"), "\"1\""));
    let refused = api.change("DELETE", path, &api.admin, Some("\"1\""), None).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "conflict"));
    assert!(refused.text().contains("active to false"), "{}", refused.text());
    let change = json!({ "text": "mine", "approval_required": true });
    let edited = api.change("PATCH", path, &api.admin, Some("\"1\""), Some(&change)).await;
    assert_eq!((edited.status, &edited.json()["builtin"]), (200, &json!(true)), "{}", edited.text());
    assert_eq!(api.get(path).await.json()["text"], "mine", "it is still the one of its type");
    assert_eq!(api.get("/api/v1/directives/GPU%20report").await.json(), edited.json());
    let run = api.launch(&json!({ "directive": "D2" })).await;
    let kept =
        "select count(*) from runs where directive_version = 2 and directive_snapshot ->> 'text' = 'mine'";
    assert_eq!(api.count(kept).await, 1, "{run}");
}

#[tokio::test]
async fn a_wrong_directive_says_where_and_stores_nothing() {
    let Some(api) = Api::start().await else { return };
    let before = api.stored().await;
    let rows = api.count("select count(*) from directives").await;
    let long = "x".repeat(65_537);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({ "name": "" }), &["body /name"]),
        (json!({ "name": " a" }), &["body /name"]),
        (json!({ "name": "x".repeat(256) }), &["body /name"]),
        (json!({ "name": "D3" }), &["body /name"]),
        (json!({ "name": "custom" }), &["body /name"]),
        (json!({ "name": ".." }), &["body /name"]),
        (
            json!({ "name": "a\0b", "text": "c\0d", "description": "\0" }),
            &["body /name", "body /description", "body /text"],
        ),
        (json!({ "name": "n", "text": long }), &["body /text"]),
        (json!({ "name": "n", "description": "x".repeat(1_001) }), &["body /description"]),
        (json!({ "name": "n", "jobs": ["log_triage", "nope", "task1"] }), &["body /jobs/1", "body /jobs/2"]),
        (json!({ "name": "n", "jobs": ["a\0"] }), &["body /jobs/0"]),
        (json!({ "name": "n", "jobs": vec!["log_triage"; 101] }), &["body /jobs"]),
        (json!({ "name": "n", "config": { "a": ["\0"] } }), &["body /config/a/0"]),
        (json!({ "name": "n", "config": { "a": long } }), &["body /config"]),
        (json!({ "name": "n", "max_concurrent_runs": 0 }), &["body /max_concurrent_runs"]),
        (json!({ "name": "n", "type": "D5" }), &["body /type"]),
        (json!({ "name": "n", "builtin": true }), &["body "]),
        (json!(["n"]), &["body "]),
    ];
    for (body, places) in cases {
        let shown: String = body.to_string().chars().take(100).collect();
        let answer = api.make("/api/v1/directives", Some(&body)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"), "{shown}");
        let given: Vec<String> = answer.places();
        assert!(
            places.iter().all(|place| given.iter().any(|given| given.starts_with(place))),
            "{shown}: {given:?}"
        );
    }
    let wrong = json!({ "jobs": ["nope"], "text": "\0", "max_concurrent_runs": 10_001 });
    let answer = api.change("PATCH", "/api/v1/directives/D4", &api.admin, Some("\"1\""), Some(&wrong)).await;
    assert_eq!(answer.places(), ["body /text", "body /max_concurrent_runs"]);
    let wrong = json!({ "jobs": ["nope"] });
    let answer = api.change("PATCH", "/api/v1/directives/D4", &api.admin, Some("\"1\""), Some(&wrong)).await;
    assert_eq!((answer.status, answer.places()), (422, vec!["body /jobs/0".to_owned()]));
    for path in ["/api/v1/directives/%00", "/api/v1/directives/a%0Ab", "/api/v1/directives/%FF"] {
        assert_eq!(api.get(path).await.problem(), "invalid-path", "{path}");
    }
    assert_eq!(api.get("/api/v1/directives/nobody").await.problem(), "not-found");
    assert_eq!(api.get("/api/v1/directives/nobody/versions").await.problem(), "not-found");
    assert_eq!(api.stored().await, before);
    assert_eq!(api.count("select count(*) from directives").await, rows);
}

#[tokio::test]
async fn the_list_filters_and_an_edit_moves_nothing_between_its_pages() {
    let Some(api) = Api::start().await else { return };
    make(&api).await;
    api.make("/api/v1/directives", Some(&json!({ "name": "Ünder/way ü?" }))).await;
    let names = async |query: &str| -> Vec<String> {
        let page = api.get(&format!("/api/v1/directives?{query}")).await.json();
        let rows = page["directives"].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["Log triage", "GPU report", "Service map", "Custom", "Nightly triage", "Ünder/way ü?"];
    assert_eq!(names("").await, all);
    assert_eq!(names("type=D1").await, ["Log triage", "Nightly triage"]);
    let path = "/api/v1/directives/%C3%9Cnder%2Fway%20%C3%BC%3F";
    api.change("DELETE", path, &api.admin, Some("\"1\""), None).await;
    assert_eq!(names("active=false").await, ["Ünder/way ü?"]);
    assert_eq!(names("active=true&type=D4").await, ["Custom"]);
    for query in ["active=yes", "type=D5", "limit=0", "cursor=x", "name=a"] {
        let answer = api.get(&format!("/api/v1/directives?{query}")).await;
        assert_eq!(answer.problem(), "invalid-query", "{query}");
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/v1/directives?limit=2{cursor}")).await.json();
        seen.extend(page["directives"].as_array().unwrap().iter().map(|row| row["name"].clone()));
        // One that was seen and one that is still to come.
        for path in ["/api/v1/directives/D1", PATH] {
            let change = json!({ "description": format!("after {}", seen.len()) });
            api.change("PATCH", path, &api.admin, Some("*"), Some(&change)).await;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn who_may_only_launch_can_not_take_the_approval_off() {
    let Some(api) = Api::start().await else { return };
    let body = json!({ "name": "Held", "approval_required": true, "jobs": ["log_triage"] });
    assert_eq!(api.post("/api/v1/directives", Some(&body)).await.status, 403, "made by an admin only");
    assert_eq!(api.make("/api/v1/directives", Some(&body)).await.status, 201);
    let path = "/api/v1/directives/Held";
    for change in
        [json!({ "approval_required": false }), json!({ "jobs": [] }), json!({ "max_concurrent_runs": null })]
    {
        let refused = api.change("PATCH", path, &api.operator, Some("*"), Some(&change)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{change}");
    }
    let job = api
        .change(
            "PATCH",
            "/api/v1/jobs/log_triage",
            &api.operator,
            Some("*"),
            Some(&json!({ "active": false })),
        )
        .await;
    assert_eq!(job.status, 403);
    assert_eq!(api.get(path).await.headers["etag"], "\"1\"");
}
