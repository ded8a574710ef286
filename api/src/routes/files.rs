//! Artifacts, uploads and the output of workers.

use axum::routing::{delete, get, post};

use super::{
    Answer, Content, Form, Method, OPERATOR, QueryParameter, Route, Takes, VIEWER, json, query::CURSOR,
};
use crate::{
    handlers::{download, logs, uploads},
    openapi::{any_object, of},
    problem::Kind,
    views::{ArtifactView, UploadPage, UploadView},
};

const NAME: QueryParameter = QueryParameter {
    name: "name",
    about: "what the file is called; must be there. 255 bytes at most, without directories",
    form: Form::FileName,
};

const UPLOAD_PAGE: &[QueryParameter] =
    &[QueryParameter::limit(uploads::MOST_PER_PAGE, uploads::PER_PAGE), CURSOR];

const ATTEMPT: QueryParameter = QueryParameter {
    name: "attempt",
    about: "number of the attempt; without it the newest",
    form: Form::Number { least: 1, most: logs::MOST_ATTEMPTS },
};

const TAIL: QueryParameter = QueryParameter {
    name: "tail_bytes",
    about: "so many bytes of its end; without it all",
    form: Form::Number { least: 1, most: logs::MOST_TAIL_BYTES },
};

pub(super) const LOG_QUERY: &[QueryParameter] = &[ATTEMPT, TAIL];

pub(super) const LOG: Answer =
    Answer { status: 200, about: "The text.", content: Content::Text("text/plain") };

pub(super) const CONTENT: &[Answer] = &[
    Answer { status: 200, about: "The file.", content: Content::Bytes },
    Answer { status: 206, about: "The part that Range asks for.", content: Content::Bytes },
];

pub(super) const CONTENT_REFUSES: &[Kind] =
    &[Kind::Gone, Kind::HostUnreachable, Kind::TooManyStreams, Kind::RangeNotSatisfiable];

pub(super) const UNREACHABLE: &[Kind] = &[Kind::Gone, Kind::HostUnreachable, Kind::TooManyStreams];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::Get,
        path: "/api/v1/artifacts/{id}",
        name: "get_artifact",
        access: VIEWER,
        query: &[],
        about: "Show what is known of an artifact.",
        takes: Takes::Nothing,
        answers: &[json(200, "The artifact.", of::<ArtifactView>)],
        refuses: &[],
        handler: || get(download::show),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/artifacts/{id}/content",
        name: "download_artifact",
        access: VIEWER,
        query: &[],
        about: "Download an artifact from the host that has it. One range with Range, also with If-Range; ETag and \
                Digest are its SHA-256. 410 gone when it is not there any more, 503 host-unreachable while no launcher of its \
                host runs.",
        takes: Takes::Nothing,
        answers: CONTENT,
        refuses: CONTENT_REFUSES,
        handler: || get(download::content),
    },
    Route {
        method: Method::Post,
        path: "/api/v1/uploads",
        name: "create_upload",
        access: OPERATOR,
        query: &[NAME],
        about: "Upload a file for run jobs to read: the body is the file, as it is. 201 with the upload and its Location; \
                name its id in the inputs of a run job. What breaks off leaves nothing behind.",
        takes: Takes::Bytes,
        answers: &[json(201, "It is stored.", of::<UploadView>)],
        refuses: &[Kind::TooManyStreams],
        handler: || post(uploads::store),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/uploads",
        name: "list_uploads",
        access: VIEWER,
        query: UPLOAD_PAGE,
        about: "List uploads, newest first.",
        takes: Takes::Nothing,
        answers: &[json(200, "One page.", of::<UploadPage>)],
        refuses: &[],
        handler: || get(uploads::list),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/uploads/{id}",
        name: "get_upload",
        access: VIEWER,
        query: &[],
        about: "Show an upload. 410 when it was deleted, or removed because it was not used for long.",
        takes: Takes::Nothing,
        answers: &[json(200, "The upload.", of::<UploadView>)],
        refuses: &[Kind::Gone],
        handler: || get(uploads::show),
    },
    Route {
        method: Method::Delete,
        path: "/api/v1/uploads/{id}",
        name: "delete_upload",
        access: OPERATOR,
        query: &[],
        about: "Delete an upload. 409 while a run job that has not ended has it as input.",
        takes: Takes::Nothing,
        answers: &[Answer { status: 204, about: "It is gone.", content: Content::Nothing }],
        refuses: &[Kind::Conflict, Kind::Gone],
        handler: || delete(uploads::delete),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}/logs",
        name: "get_run_job_logs",
        access: VIEWER,
        query: LOG_QUERY,
        about: "The output of a run job's worker, up to now: one line each with time and stream. 404 before it is placed.",
        takes: Takes::Nothing,
        answers: &[LOG],
        refuses: UNREACHABLE,
        handler: || get(logs::text),
    },
    Route {
        method: Method::Get,
        path: "/api/v1/run-jobs/{id}/logs/stream",
        name: "follow_run_job_logs",
        access: VIEWER,
        query: &[ATTEMPT],
        about: "The output of a run job's worker as it comes in, as server-sent events: log for each line, end when the \
                attempt is over. With Last-Event-ID it goes on after that event, without gap or repeat.",
        takes: Takes::Nothing,
        answers: &[Answer { status: 200, about: "The events.", content: Content::EventStream(any_object) }],
        refuses: &[Kind::InvalidHeader, Kind::Gone, Kind::HostUnreachable, Kind::TooManyStreams],
        handler: || get(logs::stream),
    },
];
