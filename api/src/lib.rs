//! The REST face of Cyberbrain Orchestrator: `/api/v1`, health and a page of documentation.
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
mod problem;
mod routes;
mod tls;
mod views;

pub use app::App;
pub use args::Args;
pub use files::UploadStore;
pub use limit::LimitArgs;
pub use problem::{FieldError, Kind, Part, Problem};
pub use routes::{
    Access, Answer, Content, Form, GROUPS, Method, QueryParameter, Route, Takes, router, routes,
};
pub use run::{Error, run};
pub use serve::Peer;
pub use tls::TlsError;
