//! Runs and run jobs.

use axum::routing::{get, post};
use cyberbrain_common::launch::LaunchRequest;
use cyberbrain_core::lifecycle::RunStatus;

use super::{Answer, Content, Method, OPERATOR, QueryParameter, Route, Takes, VIEWER, json, query::CURSOR};
use crate::{
    handlers::{artifacts, launch, report, run_jobs, runs},
    openapi::of,
    problem::Kind,
    views::{ArtifactPage, ExplainView, ReportJson, RunJobDetail, RunPage, RunView},
};

const SINCE: &str = "true: only runs created after the last successful run finished, with job the last one that holds that \
                     job; the answer names it";

const FILTERS: &[QueryParameter] = &[
    QueryParameter::one_of("status", "status of the run", RunStatus::NAMES),
    QueryParameter::text("job", "key of a job that the run holds"),
    QueryParameter::text("directive", "type (D1) or name of the directive"),
    QueryParameter::text("tag", "a tag that it has"),
    QueryParameter::text("requested_by", "name of the key that launched it"),
    QueryParameter::time("created_after", "RFC 3339, inclusive"),
    QueryParameter::time("created_before", "RFC 3339, exclusive"),
    QueryParameter::one_of("since_last_success", SINCE, &["true", "false"]),
    QueryParameter::limit(runs::MOST_PER_PAGE, runs::PER_PAGE),
    CURSOR,
];

const ARTIFACT_PAGE: &[QueryParameter] =
    &[QueryParameter::limit(artifacts::MOST_PER_PAGE, artifacts::PER_PAGE), CURSOR];

const LAUNCH_EXAMPLE: &str = r#"{"jobs": ["log_triage", "gpu_report", "service_map"], "tags": ["first"]}"#;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/runs",
        name: "launch_run",
        access: OPERATOR,
        query: &[],
        about: "Launch a run. 202 with the run and its Location. With an Idempotency-Key header the same request sent \
                again within 24 hours answers with the same run.",
        takes: Takes::Json { schema: of::<LaunchRequest>, example: LAUNCH_EXAMPLE },
        answers: &[json(202, "It is stored and will be worked on.", of::<RunView>)],
        refuses: &[Kind::InvalidHeader, Kind::IdempotencyKeyInUse, Kind::IdempotencyKeyReused],
        handler: || post(launch::launch),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs",
        name: "list_runs",
        access: VIEWER,
        query: FILTERS,
        about: "List runs, newest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<RunPage>)],
        refuses: &[],
        handler: || get(runs::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}",
        name: "get_run",
        access: VIEWER,
        query: &[],
        about: "Show a run with its run jobs.",
        takes: Takes::Nothing,
        answers: &[json(200, "The run.", of::<RunView>)],
        refuses: &[],
        handler: || get(runs::show),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}/report",
        name: "get_run_report",
        access: VIEWER,
        query: &[],
        about: "The report: Markdown, or JSON or HTML by Accept. The JSON keeps to \
                /api/v1/schemas/report.json. 409 run-not-finished before the run's end.",
        takes: Takes::Nothing,
        answers: &[Answer {
            status: 200,
            about: "The report.",
            content: Content::JsonOrText(of::<ReportJson>, &["text/markdown", "text/html"]),
        }],
        refuses: &[Kind::RunNotFinished, Kind::NotAcceptable],
        handler: || get(report::report),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/runs/{id}/artifacts",
        name: "list_artifacts",
        access: VIEWER,
        query: ARTIFACT_PAGE,
        about: "List the files that a run left, oldest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<ArtifactPage>)],
        refuses: &[],
        handler: || get(artifacts::list),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/cancel",
        name: "cancel_run",
        access: OPERATOR,
        query: &[],
        about: "Cancel a run: what waits ends at once, workers get SIGTERM, then SIGKILL. 202 when it is noted, 200 when \
                the run had ended before. Repeating it changes nothing.",
        takes: Takes::Nothing,
        answers: &[
            json(202, "It is noted.", of::<RunView>),
            json(200, "It had ended before; nothing was changed.", of::<RunView>),
        ],
        refuses: &[],
        handler: || post(runs::cancel),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}",
        name: "get_run_job",
        access: VIEWER,
        query: &[],
        about: "Show a run job with its attempts and its audit trail.",
        takes: Takes::Nothing,
        answers: &[json(200, "The run job.", of::<RunJobDetail>)],
        refuses: &[],
        handler: || get(run_jobs::show),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}/explain",
        name: "explain_run_job",
        access: VIEWER,
        query: &[],
        about: "Explain why a run job is where it is: its place in line and what every card and host has against it, worked out \
                now by the code that places; or where it runs, and why there.",
        takes: Takes::Nothing,
        answers: &[json(200, "Why.", of::<ExplainView>)],
        refuses: &[],
        handler: || get(run_jobs::why),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/run-jobs/{id}/cancel",
        name: "cancel_run_job",
        access: OPERATOR,
        query: &[],
        about: "Cancel one run job; the others of its run go on. Answers as the cancel of a run.",
        takes: Takes::Nothing,
        answers: &[
            json(202, "It is noted.", of::<RunJobDetail>),
            json(200, "It had ended before; nothing was changed.", of::<RunJobDetail>),
        ],
        refuses: &[],
        handler: || post(run_jobs::cancel),
    },
];
