//! Live events.

use axum::routing::get;

use super::{Answer, Content, Method, Route, Takes, VIEWER};
use crate::{handlers::events, openapi::of, problem::Kind, views::EventView};

pub(super) const EVENTS: Answer =
    Answer { status: 200, about: "The events.", content: Content::EventStream(of::<EventView>) };

pub(super) const REFUSES: &[Kind] = &[Kind::InvalidHeader, Kind::CursorGone, Kind::TooManyStreams];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/api/v1/events",
        name: "follow_events",
        access: VIEWER,
        query: &[],
        about: "All that happens, as server-sent events: audit for each row of the audit trail. Without Last-Event-ID what comes \
                from now on; with it what followed that event, without gap or repeat.",
        takes: Takes::Nothing,
        answers: &[EVENTS],
        refuses: REFUSES,
        handler: || get(events::all),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}/events",
        name: "follow_run_events",
        access: VIEWER,
        query: &[],
        about: "What happens to a run and its run jobs, as server-sent events: from its beginning, or with Last-Event-ID what \
                followed that event.",
        takes: Takes::Nothing,
        answers: &[EVENTS],
        refuses: REFUSES,
        handler: || get(events::of_run),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}/events",
        name: "follow_run_job_events",
        access: VIEWER,
        query: &[],
        about: "What happens to a run job, as server-sent events: from its beginning, or with Last-Event-ID what followed that \
                event.",
        takes: Takes::Nothing,
        answers: &[EVENTS],
        refuses: REFUSES,
        handler: || get(events::of_run_job),
    },
];
