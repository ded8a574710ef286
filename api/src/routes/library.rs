//! Directives, jobs and the allowlists.

use axum::routing::get;

use super::{Method, Route, Takes, VIEWER, json};
use crate::{
    handlers::library,
    openapi::of,
    views::{DirectiveList, JobList},
};

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/api/v1/directives",
        name: "list_directives",
        access: VIEWER,
        query: &[],
        about: "List directives.",
        takes: Takes::Nothing,
        answers: &[json(200, "The current version of each.", of::<DirectiveList>)],
        refuses: &[],
        handler: || get(library::directives),
    },
    Route {
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
    },
];
