//! Repeating a Run: `retry` of what did not succeed, `clone` of everything, both as a Run of their own.
//!
//! What a job was at the first launch is what runs again: its frozen specification, params, inputs and priority. The
//! rules are those of today: the directive's current version, the jobs and the image allowlist decide whether it may
//! run, and what was a job for each host becomes one for each host of today when it is cloned. Guarantees as those of
//! [`super::launch`]: one transaction, and one Run per idempotency key. The origin is not changed.

use std::collections::HashSet;

use cyberbrain_core::{
    audit::Actor,
    ids::{JobId, RunId, RunJobId, UploadId},
    lifecycle::RunJobStatus,
    placement::Request,
    run::CUSTOM_DIRECTIVE_NAME,
    spec::{ImageRef, JobScope, JobSpec},
};
use serde::Serialize;
use sqlx::Connection as _;

use super::{
    Error, Fingerprint, LaunchKind, Launched, Once, Params,
    plan::{Frozen, Plan, PlannedRunJob},
    remember, replayed,
    store::{self, Header},
    told,
};
use crate::db::{
    Conn, Error as DbError,
    library::{self, Directive, DirectiveName},
    origins::{self, OriginRun, OriginRunJob},
    runs::{Origin, OriginKind},
    uploads,
};

/// The most reasons that one refusal lists.
const MAX_REASONS: usize = 20;

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Of a Run that has ended, the RunJobs that did not succeed.
    Retry(RunId),
    /// One RunJob that has ended without success.
    RetryOne(RunJobId),
    /// All RunJobs of a Run, ended or not.
    Clone(RunId),
}

impl Repeat {
    const fn kind(self) -> OriginKind {
        match self {
            Self::Retry(_) | Self::RetryOne(_) => OriginKind::Retry,
            Self::Clone(_) => OriginKind::Clone,
        }
    }

    fn not_found(self) -> Error {
        let (what, id) = match self {
            Self::Retry(id) | Self::Clone(id) => ("run", id.to_string()),
            Self::RetryOne(id) => ("run job", id.to_string()),
        };
        Error::Database(DbError::NotFound { what, id })
    }
}

/// Repeats in a transaction of its own.
///
/// # Errors
/// [`Error::NotEnded`], [`Error::NothingToRetry`] and [`Error::NotRepeatable`], and those of [`super::launch`].
pub async fn repeat(
    connection: &mut Conn,
    what: Repeat,
    actor: &Actor,
    once: Option<&Once<'_>>,
) -> Result<Launched, Error> {
    let mut tx = connection.begin().await.map_err(DbError::from)?;
    let fingerprint = Fingerprint::of(&what);
    if let Some(known) = replayed(&mut tx, once, &fingerprint, actor).await? {
        return Ok(known);
    }
    let launched = make(&mut tx, what, actor).await?;
    remember(&mut tx, once, &fingerprint, actor, launched.run).await?;
    tx.commit().await.map_err(DbError::from)?;
    told(launched, actor);
    Ok(launched)
}

async fn make(connection: &mut Conn, what: Repeat, actor: &Actor) -> Result<Launched, Error> {
    let (run, only) = match what {
        Repeat::Retry(run) | Repeat::Clone(run) => (Some(run), None),
        Repeat::RetryOne(id) => (origins::run_of(connection, id).await?, Some(id)),
    };
    let run = run.ok_or_else(|| what.not_found())?;
    let origin = origins::run(connection, run).await?.ok_or_else(|| what.not_found())?;
    let all = origins::run_jobs(connection, run, only).await?;
    let chosen = choose(what, &origin, all)?;
    let directive = match &origin.directive {
        Some(name) => library::directive(connection, &DirectiveName::Named(name.clone())).await?,
        None => None,
    };
    let images: Vec<ImageRef> = chosen.iter().map(|job| job.spec.image.clone()).collect();
    let images = library::allowed_images(connection, &images).await?;
    let images = images.into_iter().filter(|image| image.active).map(|image| image.image).collect();
    let inputs: Vec<UploadId> = chosen.iter().flat_map(|job| job.inputs.iter().copied()).collect();
    let today = Today { directive, images, uploads: uploads::existing(connection, &inputs).await? };
    let plan = plan(&origin, chosen, &today)?;
    let params = Params::from(origin.params);
    let header = Header {
        params: &params,
        priority: origin.priority,
        tags: &origin.tags,
        origin: Some(Origin { kind: what.kind(), run }),
    };
    let run_jobs = plan.run_jobs.len();
    let run = store::store(connection, &header, &plan, actor).await?;
    Ok(Launched { run, kind: LaunchKind::New { run_jobs } })
}

fn choose(what: Repeat, origin: &OriginRun, all: Vec<OriginRunJob>) -> Result<Vec<OriginRunJob>, Error> {
    let chosen = match what {
        Repeat::Clone(_) => unfanned(all),
        Repeat::Retry(run) => {
            if !origin.status.is_terminal() {
                return Err(Error::NotEnded { what: "run", id: run.to_string() });
            }
            all.into_iter().filter(|job| job.status != RunJobStatus::Success).collect()
        }
        Repeat::RetryOne(id) => {
            if all.iter().any(|job| !job.status.is_terminal()) {
                return Err(Error::NotEnded { what: "run job", id: id.to_string() });
            }
            all.into_iter().filter(|job| job.status != RunJobStatus::Success).collect()
        }
    };
    if chosen.is_empty() { Err(Error::NothingToRetry) } else { Ok(chosen) }
}

/// Takes the copies of jobs that were one for each host out, and the host of the others: admission makes copies for
/// the hosts of that day.
fn unfanned(all: Vec<OriginRunJob>) -> Vec<OriginRunJob> {
    let is_copy = |job: &OriginRunJob| {
        let host = job.spec.host.as_deref();
        job.scope == JobScope::PerHost && host.is_some_and(|host| job.name.ends_with(&format!("@{host}")))
    };
    let originals = all.into_iter().filter(|job| !is_copy(job));
    originals
        .map(|mut job| {
            if job.scope == JobScope::PerHost && job.spec.host.take().is_some() {
                job.shape = shape(&job.spec);
            }
            job
        })
        .collect()
}

fn shape(spec: &JobSpec) -> String {
    Request {
        resources: spec.resources,
        gpu: spec.gpu.clone(),
        image: spec.image.clone(),
        host: spec.host.clone(),
    }
    .shape_key()
}

/// What the library says today.
struct Today {
    directive: Option<Directive>,
    images: HashSet<ImageRef>,
    uploads: HashSet<UploadId>,
}

fn plan(origin: &OriginRun, chosen: Vec<OriginRunJob>, today: &Today) -> Result<Plan, Error> {
    let mut reasons = Vec::new();
    let directive = usable(origin, today.directive.as_ref(), &mut reasons);
    let mut frozen: Vec<Frozen> = Vec::new();
    let mut run_jobs = Vec::with_capacity(chosen.len());
    for job in chosen {
        let known = refusal(&job, directive, &today.images, &today.uploads);
        let id = match known {
            Ok(id) => id,
            Err(reason) => {
                if reasons.len() < MAX_REASONS && !reasons.contains(&reason) {
                    reasons.push(reason);
                }
                continue;
            }
        };
        let same = |known: &Frozen| known.job == id && known.shape == job.shape && known.spec == job.spec;
        // Runs of many jobs hold few kinds, and equal ones stand together.
        let place = frozen.iter().rposition(same).unwrap_or_else(|| {
            frozen.push(Frozen {
                job: id,
                task_key: job.task_key.clone(),
                spec: job.spec.clone(),
                shape: job.shape.clone(),
            });
            frozen.len() - 1
        });
        run_jobs.push(PlannedRunJob {
            frozen: place,
            name: job.name,
            params: Params::from(job.params),
            inputs: job.inputs,
            priority: job.priority,
        });
    }
    match directive {
        Some(directive) if reasons.is_empty() => {
            let mut snapshot = directive.snapshot.clone();
            if let Some(text) = &origin.custom_text {
                CUSTOM_DIRECTIVE_NAME.clone_into(&mut snapshot.name);
                snapshot.text.clone_from(text);
            }
            Ok(Plan { directive: snapshot, frozen, run_jobs })
        }
        Some(_) | None => Err(Error::NotRepeatable(reasons)),
    }
}

fn usable<'a>(
    origin: &OriginRun,
    directive: Option<&'a Directive>,
    reasons: &mut Vec<String>,
) -> Option<&'a Directive> {
    match directive {
        Some(directive) if directive.active => Some(directive),
        Some(directive) => {
            reasons.push(format!("directive {:?} is switched off", directive.snapshot.name));
            None
        }
        None => {
            let name = origin.directive.as_deref().unwrap_or("of the run");
            reasons.push(format!("the directive {name} is not in the library any more"));
            None
        }
    }
}

/// The job in the library, or why it can't run today.
fn refusal(
    job: &OriginRunJob,
    directive: Option<&Directive>,
    images: &HashSet<ImageRef>,
    uploads: &HashSet<UploadId>,
) -> Result<JobId, String> {
    let key = &job.task_key;
    let id = job.job.filter(|_| job.active).ok_or_else(|| format!("job {key} is switched off"))?;
    let listed = directive.map_or(&[][..], |directive| &directive.snapshot.task_list);
    if !listed.is_empty() && !listed.iter().any(|allowed| allowed == key) {
        return Err(format!("its directive does not allow job {key} any more"));
    }
    if !images.contains(&job.spec.image) {
        let image = &job.spec.image;
        return Err(format!("image {image} of job {key} is not on the worker image allowlist any more"));
    }
    if let Some(gone) = job.inputs.iter().find(|input| !uploads.contains(input)) {
        return Err(format!("the upload {gone} that job {key} reads was removed"));
    }
    Ok(id)
}
