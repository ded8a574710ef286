//! Hosts, GPUs, what runs on them and what waits for them.

use axum::routing::{get, post};
use cyberbrain_common::{
    machines::{GpuVerb, HostVerb},
    pausing::PauseRequest,
    reason::ReasonRequest,
};

use super::{
    ADMIN, Answer, Content, Method, OPERATOR, QueryParameter, Route, Takes, VIEWER, json, query::CURSOR,
};
use crate::{
    handlers::{machines, queue, workers},
    openapi::of,
    problem::Kind,
    views::{GpuList, GpuView, HostDetail, HostList, QueueView, RunJobDetail, WorkerPage},
};

const REASON: Takes =
    Takes::Json { schema: of::<ReasonRequest>, example: r#"{"reason": "new power supply on Friday"}"# };
const PAUSE: Takes = Takes::Json {
    schema: of::<PauseRequest>,
    example: r#"{"queue": "run_jobs", "reason": "moving the storage"}"#,
};

const WORKERS: &[QueryParameter] = &[
    QueryParameter::text("host", "name of a host"),
    QueryParameter::limit(workers::MOST_PER_PAGE, workers::PER_PAGE),
    CURSOR,
];

const HOST: Answer = json(200, "The host as it is now.", of::<HostDetail>);
const GPU: Answer = json(200, "The card as it is now.", of::<GpuView>);
const QUEUE: Answer = json(200, "The queues as they are now.", of::<QueueView>);

/// A change of one thing that repeating does not change further.
const fn change(
    path: &'static str,
    name: &'static str,
    about: &'static str,
    answers: &'static [Answer],
    handler: fn() -> axum::routing::MethodRouter<crate::app::App>,
) -> Route {
    Route {
        method: Method::Post,
        path,
        name,
        access: OPERATOR,
        query: &[],
        about,
        takes: REASON,
        answers,
        refuses: &[],
        handler,
    }
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/api/v1/gpus",
        name: "list_gpus",
        access: VIEWER,
        query: &[],
        about: "List GPUs: what is reserved, what is seen, and the score (lower is better).",
        takes: Takes::Nothing,
        answers: &[json(200, "All of them.", of::<GpuList>)],
        refuses: &[],
        handler: || get(machines::gpus),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/gpus/{name}",
        name: "get_gpu",
        access: VIEWER,
        query: &[],
        about: "Show a GPU by its UUID.",
        takes: Takes::Nothing,
        answers: &[GPU],
        refuses: &[],
        handler: || get(machines::gpu),
    },
    change(
        "/api/v1/gpus/{name}/cordon",
        "cordon_gpu",
        "Cordon a GPU: nothing new is placed on it; what runs there goes on.",
        &[GPU],
        || machines::change_gpu_by(GpuVerb::Cordon),
    ),
    change(
        "/api/v1/gpus/{name}/uncordon",
        "uncordon_gpu",
        "Uncordon a GPU: it takes work again.",
        &[GPU],
        || machines::change_gpu_by(GpuVerb::Uncordon),
    ),
    Route {
        method: Method::Get,
        path: "/api/v1/hosts",
        name: "list_hosts",
        access: VIEWER,
        query: &[],
        about: "List hosts with their CPU and memory ledgers.",
        takes: Takes::Nothing,
        answers: &[json(200, "All of them.", of::<HostList>)],
        refuses: &[],
        handler: || get(machines::hosts),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/hosts/{id}",
        name: "get_host",
        access: VIEWER,
        query: &[],
        about: "Show a host with its last cleanup.",
        takes: Takes::Nothing,
        answers: &[HOST],
        refuses: &[],
        handler: || get(machines::host),
    },
    change(
        "/api/v1/hosts/{id}/cordon",
        "cordon_host",
        "Cordon a host: nothing new is placed there; what runs there goes on.",
        &[HOST],
        || machines::change_host_by(HostVerb::Cordon),
    ),
    change(
        "/api/v1/hosts/{id}/uncordon",
        "uncordon_host",
        "Uncordon a host: it takes work again. Ends a drain, too.",
        &[HOST],
        || machines::change_host_by(HostVerb::Uncordon),
    ),
    change(
        "/api/v1/hosts/{id}/drain",
        "drain_host",
        "Drain a host: nothing new is placed there, and what runs there ends by itself; it is drained when open_attempts \
         is 0. Stop workers to hurry it.",
        &[HOST],
        || machines::change_host_by(HostVerb::Drain),
    ),
    Route {
        method: Method::Post,
        path: "/api/v1/hosts/{id}/forget",
        name: "forget_host",
        access: ADMIN,
        query: &[],
        about: "Forget a host that is gone: it is not listed or planned with any more, its history stays. 409 while a \
                launcher of it is in contact or an attempt holds something of it. A launcher that registers it anew brings \
                it back.",
        takes: REASON,
        answers: &[Answer { status: 204, about: "It is forgotten.", content: Content::Nothing }],
        refuses: &[Kind::Conflict],
        handler: || post(machines::forget),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/hosts/{id}/cleanup-orphans",
        name: "cleanup_orphans",
        access: OPERATOR,
        query: &[],
        about: "Have the host's launchers look through its containers, within ten seconds, and remove those of ended \
                attempts; last_cleanup of the host tells what came of it.",
        takes: Takes::Nothing,
        answers: &[json(202, "It is asked for.", of::<HostDetail>)],
        refuses: &[],
        handler: || post(machines::cleanup),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/workers",
        name: "list_workers",
        access: VIEWER,
        query: WORKERS,
        about: "List the workers of all hosts that hold a place now, newest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<WorkerPage>)],
        refuses: &[],
        handler: || get(workers::list),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/workers/{id}/stop",
        name: "stop_worker",
        access: OPERATOR,
        query: &[],
        about: "Stop a worker: SIGTERM, its grace, SIGKILL. Its run job ends as cancelled; retry that to do it again. 409 when \
                the worker is over, so that a later one of the same run job is not hit.",
        takes: Takes::Nothing,
        answers: &[json(202, "It is noted; its launcher hears of it within seconds.", of::<RunJobDetail>)],
        refuses: &[Kind::Conflict],
        handler: || post(workers::stop),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/queue",
        name: "get_queue",
        access: VIEWER,
        query: &[],
        about: "Show the queues: how much waits, for how long, for what, and whether somebody paused them.",
        takes: Takes::Nothing,
        answers: &[QUEUE],
        refuses: &[],
        handler: || get(queue::show),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/queue/pause",
        name: "pause_queue",
        access: ADMIN,
        query: &[],
        about: "Pause one queue or all: runs (nothing is admitted), run_jobs and launch (nothing is placed). What runs goes on, \
                launches are still taken.",
        takes: PAUSE,
        answers: &[QUEUE],
        refuses: &[],
        handler: || post(queue::pause),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/queue/resume",
        name: "resume_queue",
        access: ADMIN,
        query: &[],
        about: "Resume one queue or all.",
        takes: PAUSE,
        answers: &[QUEUE],
        refuses: &[],
        handler: || post(queue::resume),
    },
];
