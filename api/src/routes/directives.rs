//! Directives and their versions.

use axum::routing::{delete, get, patch, post};
use cyberbrain_common::library::directives::{DirectiveChange, NewDirective};
use cyberbrain_core::spec::DirectiveType;

use super::{
    ADMIN, CHANGES_VERSION, Method, QueryParameter, READS_VERSION, Route, Takes, UNCHANGED, VIEWER, json,
    query::{ACTIVE, CURSOR},
    versioned,
};
use crate::{
    handlers::directives,
    openapi::of,
    problem::Kind,
    views::{DirectivePage, DirectiveView},
};

const LIMIT: QueryParameter = QueryParameter::limit(directives::MOST_PER_PAGE, directives::PER_PAGE);
const FILTERS: &[QueryParameter] =
    &[ACTIVE, QueryParameter::one_of("type", "its type", DirectiveType::NAMES), LIMIT, CURSOR];

const EXAMPLE: &str = r#"{"name": "Nightly triage", "type": "D1", "text": "Look for errors since yesterday.", "jobs": ["log_triage"], "max_concurrent_runs": 1}"#;
const CHANGE_EXAMPLE: &str = r#"{"text": "Look for errors of this week.", "approval_required": true}"#;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/directives",
        name: "create_directive",
        access: ADMIN,
        query: &[],
        about: "Make a directive. Its name is for good: an edit makes a new version, and runs keep the one that they were \
                launched with. 409 if the name is taken.",
        takes: Takes::Json { schema: of::<NewDirective>, example: EXAMPLE },
        answers: &[versioned(201, "Its first version.", of::<DirectiveView>)],
        refuses: &[Kind::Conflict],
        handler: || post(directives::create),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/directives",
        name: "list_directives",
        access: VIEWER,
        query: FILTERS,
        about: "List the current version of each directive, in the order in which they were made.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<DirectivePage>)],
        refuses: &[],
        handler: || get(directives::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/directives/{name}",
        name: "get_directive",
        access: VIEWER,
        query: &[],
        about: "Show the current version of a directive, by its name, or by D1 to D4 for the built-in one of that type.",
        takes: Takes::Nothing,
        answers: &[versioned(200, "The directive.", of::<DirectiveView>), UNCHANGED],
        refuses: READS_VERSION,
        handler: || get(directives::show),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/directives/{name}/versions",
        name: "list_directive_versions",
        access: VIEWER,
        query: &[LIMIT, CURSOR],
        about: "List the versions of a directive, newest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<DirectivePage>)],
        refuses: &[],
        handler: || get(directives::versions),
    },
    Route {
        method: Method::Patch,
        path: "/api/v1/directives/{name}",
        name: "edit_directive",
        access: ADMIN,
        query: &[],
        about: "Edit a directive: a new version takes the place of the current one. Runs keep their snapshot. What is left \
                out stays; a change that changes nothing makes no version. Name and type are for good.",
        takes: Takes::Json { schema: of::<DirectiveChange>, example: CHANGE_EXAMPLE },
        answers: &[versioned(200, "The current version.", of::<DirectiveView>)],
        refuses: CHANGES_VERSION,
        handler: || patch(directives::edit),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/directives/{name}",
        name: "delete_directive",
        access: ADMIN,
        query: &[],
        about: "Switch a directive off by a new version: launches can't name it any more, its versions stay to be looked up. \
                409 for a built-in one. A PATCH with active true brings it back.",
        takes: Takes::Nothing,
        answers: &[versioned(200, "It is off.", of::<DirectiveView>)],
        refuses: CHANGES_VERSION,
        handler: || delete(directives::deactivate),
    },
];
