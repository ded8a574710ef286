//! The page of documentation: made of the route table and the kinds of problems, nothing from elsewhere.

use std::{fmt::Write as _, sync::LazyLock};

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Redirect},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cyberbrain_common::launch::limit;
use cyberbrain_core::report;
use sha2::{Digest as _, Sha256};

use crate::{
    extract::MAX_BODY_BYTES,
    openapi,
    problem::{Kind, Problem},
    routes::{Access, GROUPS, Route, Takes},
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    pre{background:#8881;padding:.75rem;overflow-x:auto}code{font-size:.95em}td,th{text-align:left;vertical-align:top;\
    padding:.15rem .75rem .15rem 0}h2{margin-top:2rem}section{border-top:1px solid #8884}:root{color-scheme:light dark}";

static PAGE: LazyLock<String> = LazyLock::new(render);

/// The page may use its own style sheet and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).expect("base64 and plain words are a header value")
});

/// `GET /api/v1/schemas/report.json`.
pub(crate) async fn report_schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], report::SCHEMA)
}

/// `GET /problems/{slug}`: so that the type URI of a problem leads somewhere.
pub(crate) async fn problem(
    axum::extract::Path(slug): axum::extract::Path<String>,
) -> Result<Redirect, Problem> {
    let kind = Kind::ALL.iter().find(|kind| kind.slug() == slug);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NotFound, "there is no problem of this type"))?;
    Ok(Redirect::temporary(&format!("/api/docs#problem-{}", kind.slug())))
}

/// `GET /api/docs`.
pub(crate) async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY.clone())], Html(PAGE.as_str()))
}

/// `GET /api/v1/openapi.json`.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::JSON.as_str())
}

fn render() -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cyberbrain Orchestrator API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>Cyberbrain Orchestrator API</h1>"
    );
    html.push_str(
        "<p>Every request but those marked open needs <code>Authorization: Bearer &lt;key&gt;</code>. The first start \
         wrote an admin key to <code>admin.key</code> in the data directory; if it is lost, \
         <code>cyberbrain key create --local</code> makes another. Scopes include each other: viewer, operator, \
         admin.</p><p>Bodies are JSON; unknown fields and query parameters are refused. Times are RFC 3339 in UTC. \
         Lists come in pages: follow <code>next_cursor</code> until it is null. Errors are \
         <code>application/problem+json</code> with <code>type</code>, <code>title</code>, <code>status</code>, \
         <code>detail</code>, <code>request_id</code> and <code>errors</code>, each with <code>in</code> (body, query, \
         path, header, check), a JSON <code>pointer</code> and a <code>detail</code>. Answers of 503 and 429 say when \
         to try again in <code>Retry-After</code>.</p>",
    );
    push_limits(&mut html);
    html.push_str("<h2>Try it</h2>");
    push(
        &mut html,
        "pre",
        "export KEY=$(cat $CYBERBRAIN_DATA_DIR/admin.key)\n\
         curl -H \"Authorization: Bearer $KEY\" http://127.0.0.1:9595/api/v1/jobs",
    );
    for (about, routes) in GROUPS {
        push(&mut html, "h2", about);
        routes.iter().for_each(|route| push_route(&mut html, route));
    }
    push_problems(&mut html);
    html
}

fn push_limits(html: &mut String) {
    let rows = [
        ("run jobs of a run", limit::RUN_JOBS.to_string()),
        ("bytes of each params", limit::PARAMS_BYTES.to_string()),
        ("bytes of a body", MAX_BODY_BYTES.to_string()),
        ("tags, and characters of each", format!("{}, {}", limit::TAGS, limit::TAG_CHARACTERS)),
        ("priority", format!("{} to {}", limit::PRIORITY.start(), limit::PRIORITY.end())),
        (
            "timeout_seconds",
            format!("{} to {}", limit::TIMEOUT_SECONDS.start(), limit::TIMEOUT_SECONDS.end()),
        ),
    ];
    html.push_str("<h2>Limits</h2><table>");
    for (what, most) in rows {
        push_row(html, "", &[what, &most]);
    }
    html.push_str("</table>");
}

fn push_route(html: &mut String, route: &Route) {
    let access = match route.access {
        Access::Open => "open",
        Access::Scope(scope) => scope.as_str(),
        Access::Page => "browsers that are logged in",
    };
    html.push_str("<section>");
    push(html, "h3", &format!("{} {}", route.method.as_str(), route.path));
    push(html, "p", &format!("{} Access: {access}.", route.about));
    if !route.query.is_empty() {
        html.push_str("<table>");
        for parameter in route.query {
            push_row(html, "", &[parameter.name, parameter.about]);
        }
        html.push_str("</table>");
    }
    if !route.is_for_browsers() {
        push(html, "pre", &example(route));
    }
    html.push_str("</section>");
}

fn example(route: &Route) -> String {
    let mut line = String::from("curl");
    if route.method.as_str() != "GET" {
        let _ = write!(line, " -X {}", route.method.as_str());
    }
    if route.access != Access::Open {
        line.push_str(" -H \"Authorization: Bearer $KEY\"");
    }
    match route.takes {
        Takes::Nothing => {}
        Takes::Json { example, .. } => {
            let _ = write!(line, " -H 'Content-Type: application/json' \\\n  -d '{example}'");
        }
        // Forms are for browsers.
        Takes::Form { .. } => {}
        Takes::Bytes => line.push_str(" -T \"$FILE\""),
    }
    let path = route.path.replace("{id}", "$ID").replace("{slug}", Kind::NotFound.slug());
    let _ = write!(line, " \\\n  http://127.0.0.1:9595{path}");
    line
}

fn push_problems(html: &mut String) {
    html.push_str("<h2>Problems</h2><table>");
    for kind in Kind::ALL {
        let id = format!("problem-{}", kind.slug());
        let r#type = format!("/problems/{}", kind.slug());
        push_row(html, &id, &[&r#type, &kind.status().as_u16().to_string(), kind.title()]);
    }
    html.push_str("</table>");
}

fn push_row(html: &mut String, id: &str, cells: &[&str]) {
    html.push_str("<tr");
    if !id.is_empty() {
        let _ = write!(html, " id=\"{id}\"");
    }
    html.push('>');
    for cell in cells {
        push(html, "td", cell);
    }
    html.push_str("</tr>");
}

fn push(html: &mut String, element: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = write!(html, "<{element}>{text}</{element}>");
}
