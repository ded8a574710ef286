//! Job templates.

use axum::routing::{delete, get, patch, post};
use cyberbrain_common::library::jobs::{JobChange, NewJob};

use super::{
    ADMIN, Answer, CHANGES_VERSION, Content, Method, QueryParameter, READS_VERSION, Route, Takes, UNCHANGED,
    VIEWER, json,
    query::{ACTIVE, CURSOR},
    versioned,
};
use crate::{
    handlers::jobs,
    openapi::of,
    problem::Kind,
    views::{JobPage, JobView},
};

const EXAMPLE: &str = r#"{"job": "embed_docs", "name": "Embed documents", "spec": {"image": "registry.local/embed:1.4", "gpu": {"policy": "require", "min_vram_mib": 8000}}}"#;
const CHANGE_EXAMPLE: &str =
    r#"{"spec": {"resources": {"memory_mib": 4096}, "timeouts": {"run_seconds": 7200}}}"#;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/jobs",
        name: "create_job",
        access: ADMIN,
        query: &[],
        about: "Make a job template. Its key is for good. Its image need not be on the worker image allowlist yet: launches \
                are refused while it is not. 409 if the key or an alias is that of another job.",
        takes: Takes::Json { schema: of::<NewJob>, example: EXAMPLE },
        answers: &[versioned(201, "The job.", of::<JobView>)],
        refuses: &[Kind::Conflict],
        handler: || post(jobs::create),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/jobs",
        name: "list_jobs",
        access: VIEWER,
        query: &[ACTIVE, QueryParameter::limit(jobs::MOST_PER_PAGE, jobs::PER_PAGE), CURSOR],
        about: "List jobs: what a launch can name, in the order in which they were made.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<JobPage>)],
        refuses: &[],
        handler: || get(jobs::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/jobs/{name}",
        name: "get_job",
        access: VIEWER,
        query: &[],
        about: "Show a job by its key or an alias.",
        takes: Takes::Nothing,
        answers: &[versioned(200, "The job.", of::<JobView>), UNCHANGED],
        refuses: READS_VERSION,
        handler: || get(jobs::show),
    },
    Route {
        method: Method::Patch,
        path: "/api/v1/jobs/{name}",
        name: "edit_job",
        access: ADMIN,
        query: &[],
        about: "Edit a job. Run jobs keep the specification that they were launched with. What is left out stays; a change \
                that changes nothing makes no version. Image and command of a built-in job stay.",
        takes: Takes::Json { schema: of::<JobChange>, example: CHANGE_EXAMPLE },
        answers: &[versioned(200, "The job as it is now.", of::<JobView>)],
        refuses: CHANGES_VERSION,
        handler: || patch(jobs::edit),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/jobs/{name}",
        name: "delete_job",
        access: ADMIN,
        query: &[],
        about: "Delete a job, or switch it off where a run job was made of it or a directive lists it. 409 for a built-in one.",
        takes: Takes::Nothing,
        answers: &[
            Answer { status: 204, about: "It is gone.", content: Content::Nothing },
            versioned(200, "It is off.", of::<JobView>),
        ],
        refuses: CHANGES_VERSION,
        handler: || delete(jobs::delete),
    },
];
