//! Hosts, GPUs and what runs on them.

use axum::routing::get;

use super::{Method, Route, Takes, VIEWER, json};
use crate::{
    handlers::machines,
    openapi::of,
    views::{GpuList, HostList},
};

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
];
