//! Runs: the list, and one of them.

use askama::Template;
use axum::{extract::State, response::Response};
use cyberbrain_common::db::{self, begin_snapshot, run_jobs, runs};
use cyberbrain_core::{ids::RunId, lifecycle::RunStatus};

use super::{Session, Viewer, html, markdown, words};
use crate::{
    app::App,
    extract::{Cursor, Id, Query},
    handlers::{
        artifacts,
        runs::{Begin, PER_PAGE, page},
    },
    problem::Problem,
    views::{ArtifactPage, ArtifactView, RunJobView, RunSummary, RunView},
};

/// Run jobs of a Run that its page shows; REST has all of them.
const MOST_JOBS: usize = 500;

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    viewer: Viewer,
    status: Option<RunStatus>,
    runs: Vec<RunSummary>,
    next_cursor: Option<String>,
    /// Whether this is the newest page, which changes as Runs come in.
    newest: bool,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    viewer: Viewer,
    summary: RunSummary,
    run: RunView,
    jobs_ended: usize,
    jobs_total: usize,
    artifacts: ArtifactPage,
    /// Made of Markdown; the one text that templates don't escape.
    report: Option<String>,
}

/// `GET /`.
pub(crate) async fn list(
    State(app): State<App>,
    session: Session,
    mut query: Query,
) -> Result<Response, Problem> {
    let status = query.take::<RunStatus>("status");
    let cursor = query.take::<Cursor>("cursor");
    query.finish()?;
    let mut filter = runs::Filter { status: status.into_iter().collect(), ..runs::Filter::default() };
    let mut connection = app.connection().await?;
    let found = page(&mut connection, &mut filter, Begin::First(cursor), PER_PAGE).await?;
    html(&RunsPage {
        viewer: Viewer::new(&session),
        status,
        runs: found.runs,
        next_cursor: found.next_cursor,
        newest: cursor.is_none(),
    })
}

/// `GET /runs/{id}`: all as of one instant.
pub(crate) async fn show(
    State(app): State<App>,
    session: Session,
    Id(id): Id<RunId>,
) -> Result<Response, Problem> {
    let mut connection = app.connection().await?;
    let mut snapshot = begin_snapshot(&mut connection).await?;
    let run = runs::find(&mut snapshot, id).await?.ok_or_else(|| Problem::not_found("run", id))?;
    let jobs = run_jobs::of_run(&mut snapshot, id).await?;
    let artifacts = artifacts::page(&mut snapshot, id, None, artifacts::PER_PAGE).await?;
    let report = runs::report(&mut snapshot, id).await?;
    snapshot.commit().await.map_err(db::Error::from)?;
    drop(connection);
    // As REST: a report comes with the end.
    let report = report.filter(|report| report.status.is_terminal()).and_then(|report| report.markdown);
    let summary = RunSummary::from(run.clone());
    let run = RunView::new(run, jobs);
    let (jobs_ended, jobs_total) = run.jobs_ended();
    html(&RunPage {
        viewer: Viewer::new(&session),
        summary,
        run,
        jobs_ended,
        jobs_total,
        artifacts,
        report: report.map(|text| markdown::render(&text, id, markdown::Headings::BelowThePages)),
    })
}

impl RunPage {
    fn shown_jobs(&self) -> &[RunJobView] {
        &self.run.run_jobs[..self.run.run_jobs.len().min(MOST_JOBS)]
    }

    /// Whose file it is.
    fn owner(&self, file: &ArtifactView) -> &str {
        let job = |id| self.run.run_jobs.iter().find(|job| job.id == id);
        file.run_job.map_or("the run", |id| job(id).map_or("–", |job| job.name.as_str()))
    }
}

impl RunJobView {
    /// Why it is where it is.
    fn reason(&self) -> String {
        if let Some(failure) = &self.failure {
            return match &failure.detail {
                Some(detail) => format!("{}: {detail}", failure.kind),
                None => failure.kind.to_string(),
            };
        }
        self.waiting_reason.clone().or_else(|| self.selection_reason.clone()).unwrap_or_default()
    }
}
