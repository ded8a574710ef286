//! The table of routes: what there is, who may use it, and how. The router, the guard and the documentation are all
//! made of it, so that none can differ from the others.

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get, post},
};
use cyberbrain_common::keys::Scope;

use crate::{
    app::App,
    auth,
    handlers::{artifacts, docs, health, launch, library, machines, report, run_jobs, runs},
    layers::{TIME_LIMIT, layered},
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: says nothing about the installation's work.
    Open,
    /// Holders of a key of this scope or a wider one.
    Scope(Scope),
}

const VIEWER: Access = Access::Scope(Scope::Viewer);
const OPERATOR: Access = Access::Scope(Scope::Operator);

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct QueryParameter {
    pub name: &'static str,
    pub about: &'static str,
}

const fn query(name: &'static str, about: &'static str) -> QueryParameter {
    QueryParameter { name, about }
}

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    /// All it knows; others are refused (open routes ignore them).
    pub query: &'static [QueryParameter],
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// A body to try, for routes that take one.
    pub example: Option<&'static str>,
    handler: fn() -> MethodRouter<App>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method.as_str(), self.path, self.access)
    }
}

const CURSOR: QueryParameter = query("cursor", "next_cursor of the page before");

const RUN_FILTERS: &[QueryParameter] = &[
    query("status", "pending, running, success, failed or cancelled"),
    query("job", "key of a job that the run holds"),
    query("directive", "type (D1) or name of the directive"),
    query("tag", "a tag that it has"),
    query("requested_by", "name of the key that launched it"),
    query("created_after", "RFC 3339, inclusive"),
    query("created_before", "RFC 3339, exclusive"),
    query("limit", "1 to 500; 50 without it"),
    CURSOR,
];

const ARTIFACT_PAGE: &[QueryParameter] = &[query("limit", "1 to 1000; 100 without it"), CURSOR];

const LAUNCH_EXAMPLE: &str = r#"{"jobs": ["log_triage", "gpu_report", "service_map"], "tags": ["first"]}"#;

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/runs",
        access: OPERATOR,
        query: &[],
        about: "Launch a run. 202 with the run and its Location. With an Idempotency-Key header the same request sent \
                again within 24 hours answers with the same run.",
        example: Some(LAUNCH_EXAMPLE),
        handler: || post(launch::launch),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs",
        access: VIEWER,
        query: RUN_FILTERS,
        about: "List runs, newest first.",
        example: None,
        handler: || get(runs::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}",
        access: VIEWER,
        query: &[],
        about: "Show a run with its run jobs.",
        example: None,
        handler: || get(runs::show),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}/report",
        access: VIEWER,
        query: &[],
        about: "The report: Markdown, or JSON with Accept: application/json. 409 run-not-finished before the run's end.",
        example: None,
        handler: || get(report::report),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}/artifacts",
        access: VIEWER,
        query: ARTIFACT_PAGE,
        about: "List the files that a run left, oldest first.",
        example: None,
        handler: || get(artifacts::list),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/cancel",
        access: OPERATOR,
        query: &[],
        about: "Cancel a run: what waits ends at once, workers get SIGTERM, then SIGKILL. 202 when it is noted, 200 when \
                the run had ended before. Repeating it changes nothing.",
        example: None,
        handler: || post(runs::cancel),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}",
        access: VIEWER,
        query: &[],
        about: "Show a run job with its attempts and its audit trail.",
        example: None,
        handler: || get(run_jobs::show),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/run-jobs/{id}/cancel",
        access: OPERATOR,
        query: &[],
        about: "Cancel one run job; the others of its run go on. Answers as the cancel of a run.",
        example: None,
        handler: || post(run_jobs::cancel),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/gpus",
        access: VIEWER,
        query: &[],
        about: "List GPUs: what is reserved, what is seen, and the score (lower is better).",
        example: None,
        handler: || get(machines::gpus),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/hosts",
        access: VIEWER,
        query: &[],
        about: "List hosts with their CPU and memory ledgers.",
        example: None,
        handler: || get(machines::hosts),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/directives",
        access: VIEWER,
        query: &[],
        about: "List directives.",
        example: None,
        handler: || get(library::directives),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/jobs",
        access: VIEWER,
        query: &[],
        about: "List jobs: what a launch can name.",
        example: None,
        handler: || get(library::jobs),
    },
    Route {
        method: Method::Get,
        path: "/healthz",
        access: Access::Open,
        query: &[],
        about: "200 while the process answers.",
        example: None,
        handler: || get(health::healthz),
    },
    Route {
        method: Method::Get,
        path: "/readyz",
        access: Access::Open,
        query: &[],
        about: "200 while requests can be served, else 503 with every reason.",
        example: None,
        handler: || get(health::readyz),
    },
    Route {
        method: Method::Get,
        path: "/",
        access: Access::Open,
        query: &[],
        about: "Leads here.",
        example: None,
        handler: || get(docs::home),
    },
    Route {
        method: Method::Get,
        path: "/api/docs",
        access: Access::Open,
        query: &[],
        about: "This page.",
        example: None,
        handler: || get(docs::page),
    },
    Route {
        method: Method::Get,
        path: "/problems/{slug}",
        access: Access::Open,
        query: &[],
        about: "The type of a problem; leads to its description below.",
        example: None,
        handler: || get(docs::problem),
    },
];

/// The whole service, made of [`ROUTES`].
pub fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let guard = from_fn_with_state((app.clone(), route), auth::guard);
        router = router.route(route.path, (route.handler)().route_layer(guard));
    }
    layered(router.with_state(app.clone()), TIME_LIMIT)
}
