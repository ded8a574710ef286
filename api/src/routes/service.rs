//! Health and documentation.

use axum::routing::get;

use super::{Access, Answer, Content, Method, Route, Takes, json};
use crate::{
    handlers::{docs, health},
    openapi::{any_object, of},
    problem::Kind,
};

const fn page(about: &'static str) -> Answer {
    Answer { status: 200, about, content: Content::Text("text/html") }
}

const fn elsewhere(about: &'static str) -> Answer {
    Answer { status: 307, about, content: Content::Nothing }
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/healthz",
        name: "healthz",
        access: Access::Open,
        query: &[],
        about: "200 while the process answers.",
        takes: Takes::Nothing,
        answers: &[json(200, "It answers.", of::<health::Health>)],
        refuses: &[],
        handler: || get(health::healthz),
    },
    Route {
        method: Method::Get,
        path: "/readyz",
        name: "readyz",
        access: Access::Open,
        query: &[],
        about: "200 while requests can be served, else 503 with every reason.",
        takes: Takes::Nothing,
        answers: &[json(200, "Requests can be served.", of::<health::Health>)],
        refuses: &[Kind::NotReady],
        handler: || get(health::readyz),
    },
    Route {
        method: Method::Get,
        path: "/api/docs",
        name: "docs",
        access: Access::Open,
        query: &[],
        about: "This page.",
        takes: Takes::Nothing,
        answers: &[page("The page.")],
        refuses: &[],
        handler: || get(docs::page),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/openapi.json",
        name: "openapi",
        access: Access::Open,
        query: &[],
        about: "This documentation as OpenAPI 3.1, for machines.",
        takes: Takes::Nothing,
        answers: &[json(200, "The document.", any_object)],
        refuses: &[],
        handler: || get(docs::openapi),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/schemas/report.json",
        name: "report_schema",
        access: Access::Open,
        query: &[],
        about: "The JSON Schema (2020-12) of a run's report as JSON.",
        takes: Takes::Nothing,
        answers: &[json(200, "The schema.", any_object)],
        refuses: &[],
        handler: || get(docs::report_schema),
    },
    Route {
        method: Method::Get,
        path: "/problems/{slug}",
        name: "problem",
        access: Access::Open,
        query: &[],
        about: "The type of a problem; leads to its description in the documentation.",
        takes: Takes::Nothing,
        answers: &[elsewhere("To the description.")],
        refuses: &[Kind::NotFound, Kind::BadRequest],
        handler: || get(docs::problem),
    },
];
