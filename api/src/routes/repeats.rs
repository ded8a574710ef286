//! Decisions about runs, and runs that repeat others.

use axum::routing::post;
use cyberbrain_common::{approve::DecisionRequest, bulk::BulkRequest};

use super::{ADMIN, Method, OPERATOR, Route, Takes, json};
use crate::{
    handlers::repeats,
    openapi::of,
    problem::Kind,
    views::{BulkView, RunView},
};

const DECISION: Takes =
    Takes::Json { schema: of::<DecisionRequest>, example: r#"{"reason": "the maintenance is over"}"# };

const BULK: Takes =
    Takes::Json { schema: of::<BulkRequest>, example: r#"{"tag": "nightly", "dry_run": true}"# };

const REPEAT_REFUSES: &[Kind] = &[
    Kind::InvalidHeader,
    Kind::IdempotencyKeyInUse,
    Kind::IdempotencyKeyReused,
    Kind::Conflict,
    Kind::InvalidRequest,
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/approve",
        name: "approve_run",
        access: ADMIN,
        query: &[],
        about: "Approve a run whose directive asks for that: it is admitted. 202 when it is noted, 200 when it was approved \
                before. A decision stays: 409 after the opposite one.",
        takes: DECISION,
        answers: &[
            json(202, "It is noted.", of::<RunView>),
            json(200, "It was approved before; nothing was changed.", of::<RunView>),
        ],
        refuses: &[Kind::Conflict],
        handler: || post(repeats::approve),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/deny",
        name: "deny_run",
        access: ADMIN,
        query: &[],
        about: "Deny a run whose directive asks for approval: it is cancelled. Answers as approving does.",
        takes: DECISION,
        answers: &[
            json(202, "It is noted.", of::<RunView>),
            json(200, "It was denied before; nothing was changed.", of::<RunView>),
        ],
        refuses: &[Kind::Conflict],
        handler: || post(repeats::deny),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/retry",
        name: "retry_run",
        access: OPERATOR,
        query: &[],
        about: "Retry a run that has ended: a new run of the run jobs that did not succeed, as they were, under today's \
                directive and allowlists. 202 with the new run and its Location; an Idempotency-Key is honoured as by the \
                launch. 409 when it has not ended or nothing failed, 422 when it may not run any more.",
        takes: Takes::Nothing,
        answers: &[json(202, "The new run.", of::<RunView>)],
        refuses: REPEAT_REFUSES,
        handler: || post(repeats::retry),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/runs/{id}/clone",
        name: "clone_run",
        access: OPERATOR,
        query: &[],
        about: "Clone a run: a new run of all its run jobs, as they were, under today's directive and allowlists; a job for \
                each host takes today's hosts. Answers as retrying does.",
        takes: Takes::Nothing,
        answers: &[json(202, "The new run.", of::<RunView>)],
        refuses: REPEAT_REFUSES,
        handler: || post(repeats::clone),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/run-jobs/{id}/retry",
        name: "retry_run_job",
        access: OPERATOR,
        query: &[],
        about: "Retry one run job that has ended without success, in a new run of its own. Answers as retrying a run does.",
        takes: Takes::Nothing,
        answers: &[json(202, "The new run.", of::<RunView>)],
        refuses: REPEAT_REFUSES,
        handler: || post(repeats::retry_run_job),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/bulk/cancel",
        name: "bulk_cancel_runs",
        access: OPERATOR,
        query: &[],
        about: "Cancel all unfinished runs that fit the filters, the newest first, each by itself; at least one filter must \
                be given. With dry_run it only tells which. Repeat it while more is true.",
        takes: BULK,
        answers: &[json(200, "What became of each.", of::<BulkView>)],
        refuses: &[],
        handler: || post(repeats::bulk_cancel),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/bulk/retry",
        name: "bulk_retry_runs",
        access: OPERATOR,
        query: &[],
        about: "Retry all failed and cancelled runs that fit the filters and were not retried yet. Otherwise as cancelling \
                many.",
        takes: BULK,
        answers: &[json(200, "What became of each.", of::<BulkView>)],
        refuses: &[],
        handler: || post(repeats::bulk_retry),
    },
];
