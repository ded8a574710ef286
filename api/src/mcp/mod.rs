//! MCP at `/mcp`: the same services for language models, over Streamable HTTP.
//!
//! Stateless, so that any api process answers any request. Speaks the protocols 2026-07-28 and 2025-11-25. `table::TOOLS`
//! is the one table of what there is and who may use it; every schema comes from the types of the REST face, so that a
//! tool gives nothing that REST does not. Deliberately absent: sessions, sampling, and any call to an address that a
//! client names.

mod form;
mod prompts;
mod resources;
mod schema;
mod server;
mod table;
mod tasks;
mod tools;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tokio_util::sync::CancellationToken;

pub use table::{Effect, TOOLS, Tool};

use self::{
    form::{Form, form_of},
    server::Server,
};
use crate::{app::App, layers::AsItIs, problem::Problem};

/// A larger message is refused.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// Which `Host` and `Origin` headers are let through, against DNS rebinding. Loopback always is.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    pub hosts: Vec<String>,
    pub origins: Vec<String>,
}

type Transport = StreamableHttpService<Server, NeverSessionManager>;

/// The endpoint: one transport for answers in JSON, one for those that come as events.
#[derive(Clone)]
pub(crate) struct Endpoint {
    json: Transport,
    events: Transport,
}

impl Endpoint {
    pub(crate) fn new(app: &App, allowed: &Allowed, stopping: &CancellationToken) -> Self {
        let loopback = ["localhost", "127.0.0.1", "[::1]", "::1"].map(str::to_owned);
        let browsers = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"].map(str::to_owned);
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_max_request_body_bytes(MAX_MESSAGE_BYTES)
            .with_allowed_hosts(loopback.into_iter().chain(allowed.hosts.iter().cloned()))
            .with_allowed_origins(browsers.into_iter().chain(allowed.origins.iter().cloned()))
            .enforce_origin_validation()
            .with_cancellation_token(stopping.child_token());
        let transport = |config| {
            let app = app.clone();
            let sessions = Arc::new(NeverSessionManager::default());
            StreamableHttpService::new(move || Ok(Server::new(app.clone())), sessions, config)
        };
        Self {
            json: transport(config.clone().with_json_response(true)),
            events: transport(config.with_json_response(false)),
        }
    }
}

/// Any request to `/mcp`. What goes wrong in the protocol is told in the protocol's own form.
pub(crate) async fn serve(State(endpoint): State<Endpoint>, request: Request) -> Result<Response, Problem> {
    let (form, request) = form_of(request, MAX_MESSAGE_BYTES).await?;
    let answer = match form {
        Form::Json => endpoint.json.handle(request).await,
        Form::Events => endpoint.events.handle(request).await,
    };
    let mut response = answer.map(Body::new);
    response.extensions_mut().insert(AsItIs);
    Ok(response)
}
