//! The worker image allowlist and the container allowlist.

use axum::routing::{delete, get, patch, post};
use cyberbrain_common::library::{
    containers::{AllowedContainerChange, NewAllowedContainer},
    images::{NewWorkerImage, WorkerImageChange},
};

use super::{
    ADMIN, Answer, CHANGES_VERSION, Content, Method, QueryParameter, READS_VERSION, Route, Takes, UNCHANGED,
    VIEWER, json,
    query::{ACTIVE, CURSOR},
    versioned,
};
use crate::{
    handlers::{allowed_containers, worker_images},
    openapi::of,
    problem::Kind,
    views::{AllowedContainerPage, AllowedContainerView, WorkerImagePage, WorkerImageView},
};

const IMAGE_PAGE: &[QueryParameter] =
    &[ACTIVE, QueryParameter::limit(worker_images::MOST_PER_PAGE, worker_images::PER_PAGE), CURSOR];
const CONTAINER_PAGE: &[QueryParameter] = &[
    QueryParameter::one_of(
        "enabled",
        "true: only what may be read; false: only the others",
        &["true", "false"],
    ),
    QueryParameter::limit(allowed_containers::MOST_PER_PAGE, allowed_containers::PER_PAGE),
    CURSOR,
];

const GONE: Answer = Answer { status: 204, about: "It is off the list.", content: Content::Nothing };

const IMAGE_EXAMPLE: &str = r#"{"image": "registry.local/embed:1.4", "pin": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "requires_gpu": true, "min_vram_mib": 8000}"#;
const IMAGE_CHANGE: &str = r#"{"active": false}"#;
const CONTAINER_EXAMPLE: &str =
    r#"{"container_id": "web", "host": "*", "description": "the shop", "tags": ["shop"]}"#;
const CONTAINER_CHANGE: &str = r#"{"enabled": false}"#;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/allowlist/images",
        name: "allow_worker_image",
        access: ADMIN,
        query: &[],
        about: "Let workers be made of an image, as it is now: its pin says which content is meant. 409 if it is on the list \
                already, active or not.",
        takes: Takes::Json { schema: of::<NewWorkerImage>, example: IMAGE_EXAMPLE },
        answers: &[versioned(201, "It is on the list.", of::<WorkerImageView>)],
        refuses: &[Kind::Conflict],
        handler: || post(worker_images::add),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/allowlist/images",
        name: "list_worker_images",
        access: VIEWER,
        query: IMAGE_PAGE,
        about: "List the images that workers may be made of, in the order in which they were added.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<WorkerImagePage>)],
        refuses: &[],
        handler: || get(worker_images::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/allowlist/images/{id}",
        name: "get_worker_image",
        access: VIEWER,
        query: &[],
        about: "Show an image on the list.",
        takes: Takes::Nothing,
        answers: &[versioned(200, "The image.", of::<WorkerImageView>), UNCHANGED],
        refuses: READS_VERSION,
        handler: || get(worker_images::show),
    },
    Route {
        method: Method::Patch,
        path: "/api/v1/allowlist/images/{id}",
        name: "edit_worker_image",
        access: ADMIN,
        query: &[],
        about: "Change an image on the list. While it is not active, launches that need it are refused and what waits does not \
                start; workers that run go on.",
        takes: Takes::Json { schema: of::<WorkerImageChange>, example: IMAGE_CHANGE },
        answers: &[versioned(200, "The image as it is now.", of::<WorkerImageView>)],
        refuses: CHANGES_VERSION,
        handler: || patch(worker_images::edit),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/allowlist/images/{id}",
        name: "delete_worker_image",
        access: ADMIN,
        query: &[],
        about: "Take an image off the list. 409 for the built-in one, which can be switched off.",
        takes: Takes::Nothing,
        answers: &[GONE],
        refuses: CHANGES_VERSION,
        handler: || delete(worker_images::remove),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/allowlist/containers",
        name: "allow_container",
        access: ADMIN,
        query: &[],
        about: "Let jobs read the logs of a container, by its id, the beginning of it, or its name. It need not exist yet. 409 \
                if there is an entry, enabled or not.",
        takes: Takes::Json { schema: of::<NewAllowedContainer>, example: CONTAINER_EXAMPLE },
        answers: &[versioned(201, "It is on the list.", of::<AllowedContainerView>)],
        refuses: &[Kind::Conflict],
        handler: || post(allowed_containers::add),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/allowlist/containers",
        name: "list_allowed_containers",
        access: VIEWER,
        query: CONTAINER_PAGE,
        about: "List the containers whose logs may be read, by id.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<AllowedContainerPage>)],
        refuses: &[],
        handler: || get(allowed_containers::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/allowlist/containers/{name}",
        name: "get_allowed_container",
        access: VIEWER,
        query: &[],
        about: "Show an entry, by the container_id that it was made with.",
        takes: Takes::Nothing,
        answers: &[versioned(200, "The entry.", of::<AllowedContainerView>), UNCHANGED],
        refuses: READS_VERSION,
        handler: || get(allowed_containers::show),
    },
    Route {
        method: Method::Patch,
        path: "/api/v1/allowlist/containers/{name}",
        name: "edit_allowed_container",
        access: ADMIN,
        query: &[],
        about: "Change an entry. It counts from the next time on that a job's inputs are staged.",
        takes: Takes::Json { schema: of::<AllowedContainerChange>, example: CONTAINER_CHANGE },
        answers: &[versioned(200, "The entry as it is now.", of::<AllowedContainerView>)],
        refuses: CHANGES_VERSION,
        handler: || patch(allowed_containers::edit),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/allowlist/containers/{name}",
        name: "delete_allowed_container",
        access: ADMIN,
        query: &[],
        about: "Remove an entry.",
        takes: Takes::Nothing,
        answers: &[GONE],
        refuses: CHANGES_VERSION,
        handler: || delete(allowed_containers::remove),
    },
];
