//! The table of routes: what there is, who may use it, what it takes and what it answers. The router, the guard, the
//! OpenAPI document and the pages of documentation are all made of it, so that none can differ from the others.

mod allowlists;
mod answer;
mod containers;
mod directives;
mod events;
mod files;
mod jobs;
mod machines;
mod pages;
mod query;
mod records;
mod repeats;
mod runs;
mod service;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, any},
};
use cyberbrain_common::keys::Scope;

pub use answer::{Answer, Content, Takes};
pub use query::{Form, QueryParameter};

use crate::{
    app::App,
    auth,
    layers::{TIME_LIMIT, layered},
    mcp,
    openapi::SchemaOf,
    problem::Kind,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody: says nothing about the installation's work.
    Open,
    /// Holders of a key of this scope or a wider one.
    Scope(Scope),
    /// Browsers with a session, whatever the scope of its key; others are led to the login.
    Page,
}

const VIEWER: Access = Access::Scope(Scope::Viewer);
const OPERATOR: Access = Access::Scope(Scope::Operator);
const ADMIN: Access = Access::Scope(Scope::Admin);

/// The methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    /// What generated clients call it; unique.
    pub name: &'static str,
    pub access: Access,
    /// All it knows; others are refused (open routes ignore them).
    pub query: &'static [QueryParameter],
    /// What it does, in a sentence or two.
    pub about: &'static str,
    pub takes: Takes,
    /// Its successes.
    pub answers: &'static [Answer],
    /// Problems beyond those that follow from its access, path, query and body.
    pub refuses: &'static [Kind],
    handler: fn() -> MethodRouter<App>,
}

impl Route {
    /// Every kind of problem that it answers with.
    #[must_use]
    pub fn problems(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Internal, Kind::Timeout];
        match self.access {
            Access::Open => {}
            Access::Page => {
                kinds.extend([Kind::InvalidQuery, Kind::DatabaseUnavailable, Kind::Busy, Kind::RateLimited]);
            }
            Access::Scope(_) => kinds.extend([
                Kind::Unauthorized,
                Kind::Forbidden,
                Kind::InvalidQuery,
                Kind::DatabaseUnavailable,
                Kind::Busy,
                Kind::RateLimited,
            ]),
        }
        if self.path.contains('{') && self.access != Access::Open {
            kinds.extend([Kind::InvalidPath, Kind::NotFound]);
        }
        match self.takes {
            Takes::Nothing => {}
            Takes::Json { .. } => kinds.extend([
                Kind::MalformedJson,
                Kind::BadRequest,
                Kind::PayloadTooLarge,
                Kind::UnsupportedMediaType,
                Kind::InvalidRequest,
            ]),
            Takes::Form { .. } => {
                kinds.extend([Kind::BadRequest, Kind::PayloadTooLarge, Kind::UnsupportedMediaType]);
            }
            Takes::Bytes => kinds.extend([Kind::BadRequest, Kind::PayloadTooLarge, Kind::StorageFull]),
        }
        kinds.extend(self.refuses);
        kinds
    }
}

impl Route {
    /// Whether it is for browsers: what is refused is told as a page.
    #[must_use]
    pub fn is_for_browsers(&self) -> bool {
        self.access == Access::Page || self.path == "/login"
    }

    /// Whether its whole request has to be read and answered within the time limit. Only what is sent can take longer.
    pub(crate) const fn is_hurried(&self) -> bool {
        match self.takes {
            Takes::Nothing | Takes::Json { .. } | Takes::Form { .. } => true,
            Takes::Bytes => false,
        }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method.as_str(), self.path, self.access)
    }
}

/// The rows by what they are about, in the order of the documentation.
pub const GROUPS: &[(&str, &[Route])] = &[
    ("Runs", runs::ROUTES),
    ("Decisions and repeats", repeats::ROUTES),
    ("Events", events::ROUTES),
    ("Files", files::ROUTES),
    ("Machines", machines::ROUTES),
    ("Directives", directives::ROUTES),
    ("Jobs", jobs::ROUTES),
    ("Allowlists", allowlists::ROUTES),
    ("Containers", containers::ROUTES),
    ("Keys and records", records::ROUTES),
    ("Pages", pages::ROUTES),
    ("Service", service::ROUTES),
];

/// The endpoint of the other protocol. Not in the table: what it takes and answers is told by itself, and its tools have
/// scopes of their own (`mcp::TOOLS`).
static MCP: Route = Route {
    method: Method::Post,
    path: "/mcp",
    name: "mcp",
    access: VIEWER,
    query: &[],
    about: "MCP for language models, over Streamable HTTP.",
    takes: Takes::Nothing,
    answers: &[],
    refuses: &[],
    handler: MethodRouter::new,
};

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    GROUPS.iter().flat_map(|(_, routes)| routes.iter())
}

/// The route of a method and a path as the router knows it.
pub(crate) fn find(method: &axum::http::Method, path: &str) -> Option<&'static Route> {
    routes().find(|route| route.path == path && route.method.as_str() == method.as_str())
}

/// The whole service, made of [`GROUPS`].
pub fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let guard = from_fn_with_state((app.clone(), route), auth::guard);
        router = router.route(route.path, (route.handler)().route_layer(guard));
    }
    let guard = from_fn_with_state((app.clone(), &MCP), auth::guard);
    let mcp = any(mcp::serve).with_state(app.mcp()).layer(guard);
    router = router.route(MCP.path, mcp);
    layered(router.with_state(app.clone()), TIME_LIMIT)
}

/// A successful answer with a JSON body and its `ETag`.
const fn versioned(status: u16, about: &'static str, schema: SchemaOf) -> Answer {
    Answer { status, about, content: Content::Versioned(schema) }
}

/// The client has what there is.
const UNCHANGED: Answer =
    Answer { status: 304, about: "It is as If-None-Match says.", content: Content::Nothing };

/// What reading one version of a thing refuses.
const READS_VERSION: &[Kind] = &[Kind::InvalidHeader];
/// What changing a thing that has versions refuses.
const CHANGES_VERSION: &[Kind] =
    &[Kind::InvalidHeader, Kind::PreconditionRequired, Kind::PreconditionFailed, Kind::Conflict];

/// A successful answer with a JSON body.
const fn json(status: u16, about: &'static str, schema: SchemaOf) -> Answer {
    Answer { status, about, content: Content::Json(schema) }
}
