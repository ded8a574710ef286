//! The faces of Cyberbrain Orchestrator: REST at `/api/v1`, MCP at `/mcp`, pages for browsers, health and documentation.
//!
//! Knows no engine and decides nothing: handlers read a request, call a service of `cyberbrain_common` and show what it
//! says. `routes::GROUPS` is the one table of what there is and who may use it.

mod app;
mod args;
mod auth;
mod run;
mod serve;

mod events;
mod extract;
mod files;
mod handlers;
mod layers;
mod limit;
pub mod mcp;
pub mod openapi;
mod pages;
mod problem;
mod routes;
mod tls;
mod views;

pub use app::App;
pub use args::Args;
pub use files::{KeepError, UploadKeeper, UploadStore};
pub use limit::LimitArgs;
pub use pages::PageCookies;
pub use problem::{FieldError, Kind, Part, Problem};
pub use routes::{
    Access, Answer, Content, Form, GROUPS, Method, QueryParameter, Route, Takes, router, routes,
};
pub use run::{Error, run};
pub use serve::Peer;
pub use tls::TlsError;
