//! The container inventory.

use axum::routing::get;
use cyberbrain_common::db::inventory::InventoryScope;

use super::{Method, QueryParameter, Route, Takes, VIEWER, json, query::CURSOR};
use crate::{handlers::containers, openapi::of, views::ContainerPage};

const LIMIT: QueryParameter = QueryParameter::limit(containers::MOST_PER_PAGE, containers::PER_PAGE);

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/api/v1/containers",
        name: "list_containers",
        access: VIEWER,
        query: &[
            QueryParameter::one_of(
                "scope",
                "all, or only those whose logs may be read; all without it",
                InventoryScope::NAMES,
            ),
            QueryParameter::text("host", "name of their host"),
            LIMIT,
            CURSOR,
        ],
        about: "List the containers that launchers have seen, by id, each as it was last seen. Launchers look once a minute; \
                current says whether it was there the last time.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<ContainerPage>)],
        refuses: &[],
        handler: || get(containers::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/containers/{container}/history",
        name: "list_container_history",
        access: VIEWER,
        query: &[LIMIT, CURSOR],
        about: "List the snapshots of a container, newest first: by the engine's full id, or by its name for all that had it. \
                They are kept for a week.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<ContainerPage>)],
        refuses: &[],
        handler: || get(containers::history),
    },
];
