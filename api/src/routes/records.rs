//! Keys, the audit trail and usage.

use axum::routing::{delete, get, post};
use cyberbrain_common::{db::usage::UsageBy, keys::NewKeyRequest};
use cyberbrain_core::audit::Operation;

use super::{
    ADMIN, Answer, Content, Form, Method, QueryParameter, Route, Takes, VIEWER, json, query::CURSOR,
};
use crate::{
    handlers::{keys, records},
    openapi::of,
    problem::Kind,
    views::{AuditPage, KeyPage, KeyView, NewKeyView, UsageList},
};

const fn id(name: &'static str, about: &'static str) -> QueryParameter {
    QueryParameter { name, about, form: Form::Id }
}

const RUN: QueryParameter = id("run", "id of a run");
const RUN_JOB: QueryParameter = id("run_job", "id of a run job");
const ATTEMPT: QueryParameter = id("attempt", "id of an attempt");
const OPERATION: QueryParameter =
    QueryParameter::one_of("operation", "the step that was recorded", Operation::NAMES);
const ACTOR: QueryParameter =
    QueryParameter::text("actor", "who did it, as it is written: key:boss, system:scheduler");
const HOST: QueryParameter = QueryParameter::text("host", "name of a host");
const FROM: QueryParameter = QueryParameter::time("from", "RFC 3339, inclusive");
const TO: QueryParameter = QueryParameter::time("to", "RFC 3339, exclusive");

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Post,
        path: "/api/v1/keys",
        name: "create_key",
        access: ADMIN,
        query: &[],
        about: "Make an API key. The answer shows it for the only time.",
        takes: Takes::Json {
            schema: of::<NewKeyRequest>,
            example: r#"{"name": "nightly", "scope": "operator", "expires_at": "2030-01-01T00:00:00Z"}"#,
        },
        answers: &[json(201, "The key, with its text.", of::<NewKeyView>)],
        refuses: &[Kind::Conflict],
        handler: || post(keys::make),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/keys",
        name: "list_keys",
        access: ADMIN,
        query: &[QueryParameter::limit(keys::MOST_PER_PAGE, keys::PER_PAGE), CURSOR],
        about: "List API keys, newest first, revoked ones too. Their secrets are nowhere.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<KeyPage>)],
        refuses: &[],
        handler: || get(keys::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/keys/{id}",
        name: "get_key",
        access: ADMIN,
        query: &[],
        about: "Show an API key.",
        takes: Takes::Nothing,
        answers: &[json(200, "The key.", of::<KeyView>)],
        refuses: &[],
        handler: || get(keys::show),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/keys/{id}",
        name: "revoke_key",
        access: ADMIN,
        query: &[],
        about: "Revoke an API key, at once and for good. 409 for the last valid admin key. Repeating it changes nothing.",
        takes: Takes::Nothing,
        answers: &[Answer { status: 204, about: "It is revoked.", content: Content::Nothing }],
        refuses: &[Kind::Conflict],
        handler: || delete(keys::revoke),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/audit",
        name: "list_audit",
        access: VIEWER,
        query: &[
            RUN,
            RUN_JOB,
            ATTEMPT,
            OPERATION,
            ACTOR,
            HOST,
            FROM,
            TO,
            QueryParameter::limit(records::MOST_PER_PAGE, records::PER_PAGE),
            CURSOR,
        ],
        about: "List the audit trail, newest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<AuditPage>)],
        refuses: &[],
        handler: || get(records::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/audit/export",
        name: "export_audit",
        access: VIEWER,
        query: &[RUN, RUN_JOB, ATTEMPT, OPERATION, ACTOR, HOST, FROM, TO],
        about: "Export the audit trail: a JSON object per line, newest first, all that fits the filters. An export that breaks \
                off ends without a last chunk.",
        takes: Takes::Nothing,
        answers: &[Answer {
            status: 200,
            about: "The lines.",
            content: Content::Stream("application/x-ndjson"),
        }],
        refuses: &[Kind::TooManyStreams],
        handler: || get(records::export),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/usage",
        name: "get_usage",
        access: VIEWER,
        query: &[QueryParameter::one_of("by", "what to sum over; day without it", UsageBy::NAMES), FROM, TO],
        about: "Sum the tokens of LLM calls: JSON, or CSV with Accept: text/csv.",
        takes: Takes::Nothing,
        answers: &[Answer {
            status: 200,
            about: "The sums.",
            content: Content::JsonOrText(of::<UsageList>, &["text/csv"]),
        }],
        refuses: &[Kind::NotAcceptable],
        handler: || get(records::sums),
    },
];
