//! `/healthz`: the process answers. `/readyz`: it can do its work, or why not.

use std::time::Duration;

use axum::{Json, extract::State};
use cyberbrain_common::db;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    problem::{FieldError, Kind, Part, Problem},
};

/// How long the database may take to answer before it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(3);

/// The answer when all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Looks at nothing but itself: a restart would not bring a database back.
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// 503 with every reason while requests can't be served.
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Health>, Problem> {
    let mut reasons = Vec::new();
    if app.is_stopping() {
        reasons.push(FieldError::new(Part::Check, "/process", "the process is ending"));
    }
    reasons.extend(database(&app).await);
    if reasons.is_empty() {
        return Ok(Json(Health { status: "ready" }));
    }
    let detail = reasons.iter().map(|reason| reason.detail.as_str()).collect::<Vec<_>>().join("; ");
    Err(Problem::new(Kind::NotReady, detail).errors(reasons).retry_after(1))
}

async fn database(app: &App) -> Option<FieldError> {
    let down = || {
        let detail = "the database can't be reached; see the log of this process for the cause";
        FieldError::new(Part::Check, "/database", detail)
    };
    let Ok(mut connection) = app.connection().await else { return Some(down()) };
    match tokio::time::timeout(PATIENCE, db::pending_migrations(&mut connection)).await {
        Err(_) => Some(down()),
        Ok(Ok(0)) => None,
        Ok(Ok(missing)) => {
            let detail = format!("{missing} migrations are missing; run cyberbrain migrate");
            Some(FieldError::new(Part::Check, "/migrations", &detail))
        }
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "readiness: the database can't be read");
            Some(down())
        }
    }
}
