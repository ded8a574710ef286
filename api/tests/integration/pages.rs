//! Pages: who gets in, what they show, and what they never run.

use axum::body::Body;
use cyberbrain_api::{Access, App, Method, PageCookies, UploadStore, router, routes};
use cyberbrain_common::keys;
use cyberbrain_core::{audit::Actor, lifecycle::RunJobStatus};
use serde_json::json;
use uuid::Uuid;

use crate::{
    following::PATIENCE,
    harness::{Answer, Api, MAX_UPLOAD_BYTES, request},
    machines,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// What follows the mark, up to a quote or semicolon.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {text}"));
    rest.split(['"', ';']).next().unwrap()
}

/// A browser: it keeps one cookie.
struct Browser<'a> {
    api: &'a Api,
    cookie: String,
}

impl<'a> Browser<'a> {
    /// One that has a key's session.
    async fn logged_in(api: &'a Api, key: &str) -> Self {
        let (form_cookie, csrf) = login_form(api).await;
        Self { api, cookie: session_cookie(api, &form_cookie, &csrf, key).await }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    async fn send(&self, method: &str, path: &str, body: &'static str) -> Answer {
        self.send_text(method, path, body.to_owned()).await
    }

    async fn send_text(&self, method: &str, path: &str, body: String) -> Answer {
        let headers = [("cookie", self.cookie.as_str()), FORM, ("last-event-id", "none")];
        self.api.send(request(method, path, None, &headers, Body::from(body))).await
    }
}

/// The cookie of the login's form, and what the form carries.
async fn login_form(api: &Api) -> (String, String) {
    let form = api.send(request("GET", "/login", None, &[], Body::empty())).await;
    assert_eq!(form.status, 200);
    let cookie = form.headers["set-cookie"].split(';').next().unwrap().to_owned();
    (cookie, after(form.text(), "name=\"csrf\" value=\"").to_owned())
}

async fn log_in(api: &Api, cookie: &str, csrf: &str, key: &str) -> Answer {
    let body = format!("csrf={csrf}&key={key}");
    api.send(request("POST", "/login", None, &[("cookie", cookie), FORM], Body::from(body))).await
}

/// `Set-Cookie` lines, which an [`Answer`] keeps the last of only.
async fn set_cookies(api: &Api, headers: &[(&str, &str)], body: String) -> Vec<String> {
    use tower::ServiceExt as _;
    let sent = request("POST", "/login", None, headers, Body::from(body));
    let response = api.router.clone().oneshot(sent).await.unwrap();
    let lines = response.headers().get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

async fn session_cookie(api: &Api, form_cookie: &str, csrf: &str, key: &str) -> String {
    let body = format!("csrf={csrf}&key={key}");
    let lines = set_cookies(api, &[("cookie", form_cookie), FORM], body).await;
    let line = lines.iter().find(|line| line.starts_with("cyberbrain_session=")).unwrap();
    line.split(';').next().unwrap().to_owned()
}

fn leads_to_the_login(answer: &Answer) -> bool {
    (answer.status, answer.headers.get("location").map(String::as_str)) == (303, Some("/login"))
}

fn path(route: &cyberbrain_api::Route) -> String {
    route.path.replace("{id}", "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00")
}

#[tokio::test]
async fn every_page_leads_to_the_login_without_a_session_and_lets_every_key_in_with_one() {
    let Some(api) = Api::start().await else { return };
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let mut pages = 0;
    for route in routes().filter(|route| route.access == Access::Page) {
        let method = route.method.as_str();
        let stranger = Browser { api: &api, cookie: String::new() };
        let forged = format!("cyberbrain_session={}", "A".repeat(43));
        for cookie in [String::new(), forged, "cyberbrain_session=x".into(), browser.cookie[..30].into()] {
            let stranger = Browser { cookie, ..stranger };
            assert!(leads_to_the_login(&stranger.send(method, &path(route), "").await), "{route:?}");
        }
        // A key is no session, and a session is no key.
        let with_key = request(method, &path(route), Some(&api.admin), &[], Body::empty());
        assert!(leads_to_the_login(&api.send(with_key).await), "{route:?}");
        if route.method == Method::Get {
            let answer = browser.get(&path(route)).await;
            assert!([200, 400, 404].contains(&answer.status), "{route:?}: {}", answer.status);
        }
        pages += 1;
    }
    assert!(pages >= 8, "only {pages} pages");
    assert_eq!(browser.get("/api/v1/runs").await.problem(), "unauthorized");
}

#[tokio::test]
async fn every_page_shows_what_there_is_under_a_strict_policy() {
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report", "log_triage"], "tags": ["nightly"] })).await;
    let waiting = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let shown = api.get(&format!("/api/v1/runs/{run}")).await.json();
    machines::run_one(&api, shown["run_jobs"][0]["id"].as_str().unwrap()).await;
    api.execute(
        "insert into run_artifacts (id, run_id, run_job_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), j.run_id, j.id, h.id, 'data', 'runs/x/summary.json', 1536, sha256(''), 'text/json'
         from run_jobs j, hosts h where j.status = 'running'
         union all
         select gen_random_uuid(), r.id, null, h.id, 'report', 'runs/' || r.id || '/report.md', 9, sha256(''), 'text/markdown'
         from runs r, hosts h",
    )
    .await;
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let home = browser.get("/").await;
    for part in [run.as_str(), waiting.as_str(), "nightly", "operator", "viewer · viewer", "<h1>Runs</h1>"] {
        assert!(home.text().contains(part), "{part} in {}", home.text());
    }
    let page = browser.get(&format!("/runs/{run}")).await;
    for part in [
        "gpu_report",
        "log_triage",
        "box",
        "GPU-a",
        "score 0.15, the lowest of 2",
        "summary.json",
        "1.5 KiB",
        "<td data-label=\"Of\">GPU report</td>",
        "<td data-label=\"Of\">the run</td>",
        "It comes with the end",
        "0 of 2 ended",
    ] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    let machines = browser.get("/machines").await;
    for part in [
        "box",
        "GPU 0: Simulated",
        "5.9 + 0.5 of 24.0 GiB",
        "25 % busy",
        "<rect class=\"reserved\"",
        "never seen",
    ] {
        assert!(machines.text().contains(part), "{part} in {}", machines.text());
    }
    let login = api.send(request("GET", "/login", None, &[], Body::empty())).await;
    let unknown = browser.get(&format!("/runs/{}", Uuid::now_v7())).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("there is no run"));
    assert_eq!(browser.get("/?status=x").await.status, 400);
    for page in [&home, &page, &machines, &login, &unknown] {
        assert!([200, 404].contains(&page.status));
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(page.headers["cache-control"], "no-store");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = page.text();
        assert!(
            html.contains("<html lang=\"en\">") && html.contains("Cyberbrain Orchestrator</title>"),
            "{html}"
        );
        assert_eq!(html.matches("<h1").count(), 1, "{html}");
        // Nothing that the policy would refuse, nothing from elsewhere.
        for bad in [" style=", "<style", " onclick", "src=\"http", "href=\"http", "javascript:"] {
            assert!(!html.contains(bad), "{bad} in {html}");
        }
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/assets/").count(), "{html}");
    }
    for (asset, kind) in
        [("app.css", "text/css"), ("app.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        let answer = api.send(request("GET", &format!("/assets/{asset}"), None, &[], Body::empty())).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers["content-type"].starts_with(kind), "{asset}");
    }
}

#[tokio::test]
async fn the_list_filters_by_status_and_pages_by_cursor() {
    let Some(api) = Api::start().await else { return };
    let cancelled = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    for _ in 0..51 {
        api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    }
    api.end(&cancelled, RunJobStatus::Cancelled).await;
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let first = browser.get("/").await;
    assert_eq!(first.text().matches("href=\"/runs/").count(), 50);
    assert!(!first.text().contains(&cancelled));
    let next = after(first.text(), "rel=\"next\" href=\"").replace("&amp;", "&");
    let second = browser.get(&next).await;
    assert_eq!(second.text().matches("href=\"/runs/").count(), 2);
    assert!(second.text().contains(&cancelled) && !second.text().contains("rel=\"next\""));
    let only = browser.get("/?status=cancelled").await;
    assert_eq!(only.text().matches("href=\"/runs/").count(), 1);
    assert!(only.text().contains(&cancelled));
    assert_eq!(browser.get("/?status=failed").await.text().matches("href=\"/runs/").count(), 0);
}

#[tokio::test]
async fn the_links_of_a_report_lead_to_what_is_on_the_page() {
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report", "log_triage"] })).await;
    api.end(&run, RunJobStatus::Cancelled).await;
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let page = browser.get(&format!("/runs/{run}")).await;
    let (_, report) = page.text().split_once("<div class=\"report card\">").unwrap();
    let links: Vec<&str> =
        report.split("<a href=\"").skip(1).filter_map(|link| link.split('"').next()).collect();
    assert_eq!(links.len(), 4, "two run jobs, the run, its artifacts: {links:?}");
    for link in links {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        assert_eq!(path, format!("/runs/{run}"));
        assert!(anchor.is_empty() || page.text().contains(&format!(" id=\"{anchor}\"")), "{link}");
    }
}

#[tokio::test]
async fn what_people_and_workers_write_is_text_on_a_page() {
    let Some(api) = Api::start().await else { return };
    let attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let body = json!({ "run_jobs": [{ "job": "gpu_report", "name": attack }], "tags": [attack] });
    let run = api.launch(&body).await;
    let shown = api.get(&format!("/api/v1/runs/{run}")).await.json();
    machines::run_one(&api, shown["run_jobs"][0]["id"].as_str().unwrap()).await;
    let mut connection = api.db.connect().await;
    for sql in [
        "update runs set directive_name = $1, requested_by = $1",
        "update run_jobs set progress = jsonb_build_object('percent', 5, 'stage', left($1, 70))",
        "update hosts set cordoned = true, cordon_reason = $1",
        "update gpus set model = $1, health_reason = $1",
    ] {
        sqlx::query(sql).bind(attack).execute(&mut connection).await.unwrap();
    }
    sqlx::query(
        "insert into run_artifacts (id, run_id, host_id, artifact_type, path, size_bytes, sha256, mime_type)
         select gen_random_uuid(), r.id, h.id, 'data', $1, 1, sha256(''), $1 from runs r, hosts h",
    )
    .bind(attack)
    .execute(&mut connection)
    .await
    .unwrap();
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let safe = |html: &str| {
        for bad in ["<script>", "<img src=x", "onerror=alert(2)>\""] {
            assert!(!html.contains(bad), "{bad} in {html}");
        }
    };
    for path in ["/".to_owned(), format!("/runs/{run}"), "/machines".to_owned()] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(page.text().contains("&#60;script&#62;alert(1)"), "it is shown as it is: {}", page.text());
        safe(page.text());
    }
    api.end(&run, RunJobStatus::Failed).await;
    sqlx::query(
        "update runs set report_markdown = '# Report' || E'\\n\\n' || $1 || E'\\n\\n[x](javascript:alert(3))\\n\\n' || $1",
    )
    .bind(attack)
    .execute(&mut connection)
    .await
    .unwrap();
    let page = browser.get(&format!("/runs/{run}")).await;
    assert!(page.text().contains("<h3>Report</h3>"), "{}", page.text());
    safe(page.text());
    assert!(!page.text().contains("javascript:"));
}

#[tokio::test]
async fn a_page_shows_nothing_that_rest_keeps_from_a_viewer() {
    let Some(api) = Api::start().await else { return };
    api.execute("update jobs set spec = jsonb_set(spec, '{env}', '{\"TOKEN\": \"hush-env\"}') where task_key = 'gpu_report'")
        .await;
    let body = json!({ "jobs": ["gpu_report"], "params": { "x": "hush-params" }, "custom_directive_text": "hush-text" });
    let run = api.launch(&body).await;
    let rest = api.get(&format!("/api/v1/runs/{run}")).await;
    let browser = Browser::logged_in(&api, &api.admin).await;
    for path in ["/".to_owned(), format!("/runs/{run}"), "/machines".to_owned()] {
        let page = browser.get(&path).await;
        for secret in ["hush-env", "hush-params", "hush-text", "TOKEN"] {
            assert!(!page.text().contains(secret) && !rest.text().contains(secret), "{secret} at {path}");
        }
    }
}

#[tokio::test]
async fn only_a_valid_key_and_our_own_form_open_a_session() {
    let Some(api) = Api::start().await else { return };
    let (cookie, csrf) = login_form(&api).await;
    let unknown = keys::KeyText::generate().expose();
    for key in [unknown.as_str(), "x", "", "<script>alert(1)</script>"] {
        let refused = log_in(&api, &cookie, &csrf, key).await;
        assert_eq!(refused.status, 401, "{key}");
        assert!(refused.text().contains("role=\"alert\"") && !refused.text().contains("<script>alert"));
        assert!(refused.headers["content-security-policy"].starts_with("default-src 'none'"));
    }
    let (other_cookie, other_csrf) = login_form(&api).await;
    assert_ne!((&cookie, &csrf), (&other_cookie, &other_csrf));
    for (cookie, csrf) in [(cookie.as_str(), ""), (cookie.as_str(), other_csrf.as_str()), ("", csrf.as_str())]
    {
        let refused = log_in(&api, cookie, csrf, &api.viewer).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("not made here"));
    }
    for body in ["csrf=x&key=y&more=z", "csrf=x&csrf=x&key=y"] {
        let sent = request("POST", "/login", None, &[("cookie", &cookie), FORM], Body::from(body));
        assert_eq!(api.send(sent).await.status, 400);
    }
    let json = [("cookie", cookie.as_str()), ("content-type", "application/json")];
    assert_eq!(api.send(request("POST", "/login", None, &json, Body::from("{}"))).await.status, 415);
    let long = Body::from(format!("csrf={csrf}&key={}", "x".repeat(5_000)));
    assert_eq!(
        api.send(request("POST", "/login", None, &[("cookie", &cookie), FORM], long)).await.status,
        413
    );
    assert_eq!(api.count("select count(*) from sessions").await, 0);
    let let_in = log_in(&api, &cookie, &csrf, &api.viewer).await;
    assert_eq!((let_in.status, let_in.headers["location"].as_str()), (303, "/"));
    assert_eq!(api.count("select count(*) from sessions").await, 1);
    let told = "select count(*) from worker_audit where actor = 'key:viewer' and config_snapshot ->> 'session' = 'opened'";
    assert_eq!(api.count(told).await, 1);
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_its_token_is_stored_nowhere() {
    let Some(mut api) = Api::start().await else { return };
    for (cookies, proto, secure) in [
        (PageCookies::Auto, "http", false),
        (PageCookies::Auto, "https", true),
        (PageCookies::Secure, "http", true),
        (PageCookies::Plain, "https", false),
    ] {
        let store = UploadStore::new(api.uploads.path().to_owned(), MAX_UPLOAD_BYTES);
        let app = App::new(api.db.pool(), api.stopping.clone(), store).page_cookies_are(cookies);
        api.router = router(&app);
        let (cookie, csrf) = login_form(&api).await;
        let headers = [("cookie", cookie.as_str()), FORM, ("x-forwarded-proto", proto)];
        let lines = set_cookies(&api, &headers, format!("csrf={csrf}&key={}", api.viewer)).await;
        let line = lines.iter().find(|line| line.starts_with("cyberbrain_session=")).unwrap();
        let attributes: Vec<&str> = line.split("; ").skip(1).collect();
        let mut expected = vec!["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"];
        expected.extend(secure.then_some("Secure"));
        assert_eq!(attributes, expected, "{cookies:?} over {proto}");
        assert!(
            lines.iter().any(|line| line.starts_with("cyberbrain_login=;") && line.contains("Max-Age=0"))
        );
        let token = after(line, "cyberbrain_session=");
        assert_eq!(token.len(), 43, "256 bits");
        let stored: bool = sqlx::query_scalar(
            "select exists (select from sessions s where s::text like '%' || $1 || '%')
                 or exists (select from worker_audit a where a::text like '%' || $1 || '%')",
        )
        .bind(token)
        .fetch_one(&mut api.db.connect().await)
        .await
        .unwrap();
        assert!(!stored);
    }
}

#[tokio::test]
async fn a_session_ends_with_its_key_with_its_time_and_with_the_logout() {
    let Some(api) = Api::start().await else { return };
    let (of_viewer, of_operator) =
        (Browser::logged_in(&api, &api.viewer).await, Browser::logged_in(&api, &api.operator).await);
    let (late, leaving) =
        (Browser::logged_in(&api, &api.admin).await, Browser::logged_in(&api, &api.operator).await);
    for browser in [&of_viewer, &of_operator, &late, &leaving] {
        assert_eq!(browser.get("/").await.status, 200);
        let login = browser.get("/login").await;
        assert_eq!((login.status, login.headers["location"].as_str()), (303, "/"));
    }
    let mut connection = api.db.connect().await;
    keys::revoke(&mut connection, &"viewer".parse().unwrap(), &Actor::System("test")).await.unwrap();
    assert!(leads_to_the_login(&of_viewer.get("/").await));
    api.execute(
        "update sessions set expires_at = now() from api_keys k where k.id = api_key_id and name = 'boss'",
    )
    .await;
    assert!(leads_to_the_login(&late.get("/").await));

    for body in ["", "csrf=", "csrf=x"] {
        assert_eq!(leaving.send("POST", "/logout", body).await.status, 403);
    }
    let elsewhere = of_operator.get("/").await;
    let others = format!("csrf={}", after(elsewhere.text(), "name=\"csrf\" value=\""));
    assert_eq!(leaving.send_text("POST", "/logout", others).await.status, 403);
    let home = leaving.get("/").await;
    assert_eq!(home.status, 200, "it goes on");
    let own = format!("csrf={}", after(home.text(), "name=\"csrf\" value=\""));
    let left = leaving.send_text("POST", "/logout", own).await;
    assert!(leads_to_the_login(&left));
    assert!(left.headers["set-cookie"].starts_with("cyberbrain_session=; Path=/; Max-Age=0;"));
    assert!(leads_to_the_login(&leaving.get("/").await));
    assert_eq!(of_operator.get("/").await.status, 200, "another session of the same key goes on");

    api.execute("update api_keys set expires_at = now() where name = 'operator'").await;
    assert!(leads_to_the_login(&of_operator.get("/").await));
}

#[tokio::test]
async fn sessions_of_a_key_are_bounded_and_old_ones_are_cleared_away() {
    let Some(api) = Api::start().await else { return };
    api.execute(
        "insert into sessions (token_sha256, api_key_id, created_at, expires_at)
         select sha256(n::text::bytea), id, now() - interval '1 hour', now() + interval '1 hour'
         from api_keys, generate_series(1, 150) n where name = 'viewer'
         union all
         select sha256(('old' || n)::bytea), id, now() - interval '1 day', now() - interval '1 hour'
         from api_keys, generate_series(1, 150) n where name = 'boss'",
    )
    .await;
    let browser = Browser::logged_in(&api, &api.viewer).await;
    assert_eq!(api.count("select count(*) from sessions").await, 100);
    assert_eq!(browser.get("/").await.status, 200, "the newest is kept");
}

#[tokio::test]
async fn pages_follow_events_with_their_session() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let Some(api) = Api::start().await else { return };
    let run = api.launch(&json!({ "jobs": ["gpu_report"] })).await;
    let browser = Browser::logged_in(&api, &api.viewer).await;
    let path = format!("/runs/{run}/events");
    let asked = request("GET", &path, None, &[("cookie", &browser.cookie)], Body::empty());
    let response = api.router.clone().oneshot(asked).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut seen) = (response.into_body(), String::new());
    while !seen.contains("\"submit\"") {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
}
