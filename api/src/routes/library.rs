//! Jobs.

use axum::routing::get;

use super::{Method, Route, Takes, VIEWER, json};
use crate::{handlers::library, openapi::of, views::JobList};

pub(super) const ROUTES: &[Route] = &[Route {
    method: Method::Get,
    path: "/api/v1/jobs",
    name: "list_jobs",
    access: VIEWER,
    query: &[],
    about: "List jobs: what a launch can name.",
    takes: Takes::Nothing,
    answers: &[json(200, "All of them.", of::<JobList>)],
    refuses: &[],
    handler: || get(library::jobs),
}];
