//! Pages for browsers.

use axum::routing::{MethodRouter, get, post};
use cyberbrain_core::lifecycle::RunStatus;

use super::{
    Access, Answer, Content, Method, QueryParameter, Route, Takes,
    events::{EVENTS, REFUSES as EVENTS_REFUSE},
    files::{CONTENT, CONTENT_REFUSES, LOG, LOG_QUERY, UNREACHABLE},
    query::CURSOR,
};
use crate::{
    app::App,
    handlers::{download, events, logs},
    pages,
    problem::Kind,
};

const PAGE: Answer = Answer { status: 200, about: "The page.", content: Content::Text("text/html") };

const ELSEWHERE: Answer = Answer { status: 303, about: "To another page.", content: Content::Nothing };

const RUNS: &[QueryParameter] =
    &[QueryParameter::one_of("status", "status of the runs", RunStatus::NAMES), CURSOR];

const FORM_REFUSES: &[Kind] = &[Kind::Forbidden, Kind::DatabaseUnavailable, Kind::Busy];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/",
        name: "runs_page",
        access: Access::Page,
        query: RUNS,
        about: "Runs, newest first.",
        takes: Takes::Nothing,
        answers: &[PAGE],
        refuses: &[],
        handler: || get(pages::runs),
    },
    Route {
        method: Method::Get,
        path: "/runs/{id}",
        name: "run_page",
        access: Access::Page,
        query: &[],
        about: "A run with its run jobs, artifacts and report.",
        takes: Takes::Nothing,
        answers: &[PAGE],
        refuses: &[],
        handler: || get(pages::run),
    },
    Route {
        method: Method::Get,
        path: "/machines",
        name: "machines_page",
        access: Access::Page,
        query: &[],
        about: "Hosts and GPUs.",
        takes: Takes::Nothing,
        answers: &[PAGE],
        refuses: &[],
        handler: || get(pages::machines),
    },
    Route {
        method: Method::Get,
        path: "/artifacts/{id}/content",
        name: "artifact_page",
        access: Access::Page,
        query: &[],
        about: "An artifact, as /api/v1/artifacts/{id}/content.",
        takes: Takes::Nothing,
        answers: CONTENT,
        refuses: CONTENT_REFUSES,
        handler: || get(download::content),
    },
    Route {
        method: Method::Get,
        path: "/run-jobs/{id}/logs",
        name: "logs_page",
        access: Access::Page,
        query: LOG_QUERY,
        about: "The output of a run job's worker, as /api/v1/run-jobs/{id}/logs.",
        takes: Takes::Nothing,
        answers: &[LOG],
        refuses: UNREACHABLE,
        handler: || get(logs::text),
    },
    Route {
        method: Method::Get,
        path: "/events",
        name: "page_events",
        access: Access::Page,
        query: &[],
        about: "Events for the pages, as /api/v1/events.",
        takes: Takes::Nothing,
        answers: &[EVENTS],
        refuses: EVENTS_REFUSE,
        handler: || get(events::all),
    },
    Route {
        method: Method::Get,
        path: "/runs/{id}/events",
        name: "run_page_events",
        access: Access::Page,
        query: &[],
        about: "Events for the page of a run, as /api/v1/runs/{id}/events.",
        takes: Takes::Nothing,
        answers: &[EVENTS],
        refuses: EVENTS_REFUSE,
        handler: || get(events::of_run),
    },
    Route {
        method: Method::Get,
        path: "/login",
        name: "login_page",
        access: Access::Open,
        query: &[],
        about: "The form that asks for a key.",
        takes: Takes::Nothing,
        answers: &[PAGE, ELSEWHERE],
        refuses: &[Kind::DatabaseUnavailable, Kind::Busy],
        handler: || get(pages::login_form),
    },
    Route {
        method: Method::Post,
        path: "/login",
        name: "login",
        access: Access::Open,
        query: &[],
        about: "Open a session: 303 with its cookie.",
        takes: Takes::Form { fields: &["csrf", "key"] },
        answers: &[ELSEWHERE],
        refuses: &[
            Kind::Unauthorized,
            Kind::RateLimited,
            Kind::Forbidden,
            Kind::DatabaseUnavailable,
            Kind::Busy,
        ],
        handler: || post(pages::login),
    },
    Route {
        method: Method::Post,
        path: "/logout",
        name: "logout",
        access: Access::Page,
        query: &[],
        about: "End the session.",
        takes: Takes::Form { fields: &["csrf"] },
        answers: &[],
        refuses: FORM_REFUSES,
        handler: || post(pages::logout),
    },
    asset_route(
        "/assets/app.css",
        "style_sheet",
        "The style sheet of the pages.",
        &[text("text/css")],
        || get(pages::style_sheet),
    ),
    asset_route("/assets/app.js", "script", "The script of the pages.", &[text("text/javascript")], || {
        get(pages::script)
    }),
    asset_route("/assets/icon.svg", "icon", "The icon of the pages.", &[text("image/svg+xml")], || {
        get(pages::icon)
    }),
];

const fn text(media_type: &'static str) -> Answer {
    Answer { status: 200, about: "The file.", content: Content::Text(media_type) }
}

/// What pages load says nothing of the installation.
const fn asset_route(
    path: &'static str,
    name: &'static str,
    about: &'static str,
    answers: &'static [Answer],
    handler: fn() -> MethodRouter<App>,
) -> Route {
    Route {
        method: Method::Get,
        path,
        name,
        access: Access::Open,
        query: &[],
        about,
        takes: Takes::Nothing,
        answers,
        refuses: &[],
        handler,
    }
}
