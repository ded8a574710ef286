//! From a request and the library to what is stored: the directive's snapshot, and each RunJob's frozen specification.
//!
//! [`plan`] is pure; [`Library::read`] fetches just the rows that the request names.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use cyberbrain_core::{
    ids::{JobId, UploadId},
    job_kind::JobKind,
    placement::Request,
    run::{CUSTOM_DIRECTIVE_NAME, DirectiveSnapshot},
    spec::{DirectiveType, GpuRequest, ImageRef, JobSpec},
};
use serde_json::Value;

use super::{
    Error, builtin, gpu,
    params::Params,
    problem::{Pointer, Problems},
    request::{GpuWish, LaunchRequest, RunJobRequest},
};
use crate::db::{
    Conn,
    library::{self, AllowedImage, Directive, JobTemplate},
    uploads,
};

/// What the request names, as far as it exists.
pub(super) struct Library {
    pub directive: Option<Directive>,
    pub jobs: Vec<JobTemplate>,
    pub images: Vec<AllowedImage>,
    pub uploads: HashSet<UploadId>,
}

impl Library {
    pub(super) async fn read(connection: &mut Conn, request: &LaunchRequest) -> Result<Self, Error> {
        let mut jobs = library::jobs_named(connection, &named_jobs(request)).await?;
        let directive = library::directive(connection, &wanted_directive(request, &jobs)).await?;
        if jobs.is_empty()
            && let Some(directive) = &directive
        {
            jobs = library::jobs_named(connection, &directive.snapshot.task_list).await?;
        }
        let images: Vec<ImageRef> = jobs.iter().map(|job| job.spec.image.clone()).collect();
        let images = library::allowed_images(connection, &images).await?;
        let inputs: Vec<UploadId> =
            request.run_jobs.iter().flat_map(|run_job| run_job.inputs.iter().copied()).collect();
        let uploads = uploads::existing(connection, &inputs).await?;
        Ok(Self { directive, jobs, images, uploads })
    }

    fn job(&self, name: &str) -> Option<(usize, &JobTemplate)> {
        let by_key = self.jobs.iter().enumerate().find(|(_, job)| job.task_key == name);
        by_key.or_else(|| self.jobs.iter().enumerate().find(|(_, job)| job.is_named(name)))
    }

    fn image(&self, image: &ImageRef) -> Option<&AllowedImage> {
        self.images.iter().find(|allowed| allowed.image == *image)
    }
}

/// A specification that one or many RunJobs share.
pub(super) struct Frozen {
    pub job: JobId,
    pub task_key: String,
    pub spec: JobSpec,
    pub shape: String,
}

/// One RunJob to be.
pub(super) struct PlannedRunJob {
    /// Index into [`Plan::frozen`].
    pub frozen: usize,
    pub name: String,
    pub params: Params,
    pub inputs: Vec<UploadId>,
    pub priority: i32,
}

/// Everything that is to be stored.
pub(super) struct Plan {
    pub directive: DirectiveSnapshot<Value>,
    pub frozen: Vec<Frozen>,
    pub run_jobs: Vec<PlannedRunJob>,
}

/// Decides what to store.
///
/// # Errors
/// [`Error::Invalid`] with every problem found.
pub(super) fn plan(request: &LaunchRequest, library: &Library) -> Result<Plan, Error> {
    let mut problems = Problems::default();
    let directive = check_directive(request, library, &mut problems);
    let root = Pointer::Root;
    let (source, wanted) = wanted_run_jobs(request, directive);
    if wanted.is_empty() && directive.is_some() {
        problems
            .add(&root.key("jobs"), "name at least one job in jobs or run_jobs; GET /api/v1/jobs lists them");
    }
    let mut planner = Planner { request, library, directive, frozen: Vec::new(), known: HashMap::new() };
    let mut run_jobs = Vec::with_capacity(wanted.len());
    let list = root.key(source.field());
    for (index, run_job) in wanted.iter().enumerate() {
        if problems.is_full() {
            break;
        }
        let at = match source {
            Source::Jobs | Source::RunJobs => list.index(index),
            Source::Directive => list,
        };
        run_jobs.extend(planner.run_job(source, run_job, &at, &mut problems));
    }
    let frozen = planner.frozen;
    let Some(directive) = directive else { return Err(problems.into_error()) };
    problems.or(Plan { directive: snapshot(request, directive), frozen, run_jobs })
}

/// Where a RunJob was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Jobs,
    RunJobs,
    /// Nowhere: it is what the directive lists.
    Directive,
}

impl Source {
    const fn field(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Directive => "directive",
            Self::RunJobs => "run_jobs",
        }
    }
}

fn named_jobs(request: &LaunchRequest) -> Vec<String> {
    let long = request.run_jobs.iter().map(|run_job| &run_job.job);
    let mut names: Vec<String> = request.jobs.iter().chain(long).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The directive that is asked for, or the one that goes without saying.
fn wanted_directive(request: &LaunchRequest, jobs: &[JobTemplate]) -> library::DirectiveName {
    match (&request.directive, &request.custom_directive_text) {
        (Some(name), _) => library::DirectiveName::of(name),
        (None, Some(_)) => library::DirectiveName::Builtin(DirectiveType::D4),
        (None, None) => {
            let mut defaults = jobs.iter().map(|job| job.default_directive);
            let first = defaults.next().filter(|first| defaults.all(|other| other == *first));
            library::DirectiveName::Builtin(first.unwrap_or(DirectiveType::D4))
        }
    }
}

fn check_directive<'a>(
    request: &LaunchRequest,
    library: &'a Library,
    problems: &mut Problems,
) -> Option<&'a Directive> {
    let root = Pointer::Root;
    let at = root.key("directive");
    let wanted = wanted_directive(request, &library.jobs);
    match &library.directive {
        None => {
            problems.add(&at, format!("there is no directive {wanted}; GET /api/v1/directives lists them"));
            None
        }
        Some(directive) => {
            if !directive.active {
                let name = &directive.snapshot.name;
                problems.add(&at, format!("directive {name:?} is switched off; name another one"));
            }
            Some(directive)
        }
    }
}

fn wanted_run_jobs<'a>(
    request: &'a LaunchRequest,
    directive: Option<&Directive>,
) -> (Source, Vec<Cow<'a, RunJobRequest>>) {
    let short = |job: &String| Cow::Owned(RunJobRequest { job: job.clone(), ..RunJobRequest::default() });
    if !request.run_jobs.is_empty() {
        (Source::RunJobs, request.run_jobs.iter().map(Cow::Borrowed).collect())
    } else if !request.jobs.is_empty() {
        (Source::Jobs, request.jobs.iter().map(short).collect())
    } else {
        let listed = directive.map_or(&[][..], |directive| &directive.snapshot.task_list);
        (Source::Directive, listed.iter().map(short).collect())
    }
}

fn snapshot(request: &LaunchRequest, directive: &Directive) -> DirectiveSnapshot<Value> {
    let snapshot = directive.snapshot.clone();
    match &request.custom_directive_text {
        None => snapshot,
        Some(text) => {
            DirectiveSnapshot { name: CUSTOM_DIRECTIVE_NAME.to_owned(), text: text.clone(), ..snapshot }
        }
    }
}

struct Planner<'a> {
    request: &'a LaunchRequest,
    library: &'a Library,
    directive: Option<&'a Directive>,
    frozen: Vec<Frozen>,
    /// Which specification was frozen for which job, time limit and GPU request.
    known: HashMap<(usize, u32, GpuRequest), usize>,
}

impl<'a> Planner<'a> {
    fn run_job(
        &mut self,
        source: Source,
        run_job: &RunJobRequest,
        at: &Pointer<'_>,
        problems: &mut Problems,
    ) -> Option<PlannedRunJob> {
        let place = match source {
            Source::Jobs | Source::Directive => *at,
            Source::RunJobs => at.key("job"),
        };
        let name = &run_job.job;
        let Some((number, job)) = self.library.job(name) else {
            problems.add(&place, format!("there is no job {name:?}; GET /api/v1/jobs lists them"));
            return None;
        };
        if !job.active {
            problems.add(&place, format!("job {name:?} is switched off; leave it out"));
        }
        self.check_allowed(job, &place, problems);
        for (index, input) in run_job.inputs.iter().enumerate() {
            if !self.library.uploads.contains(input) {
                problems.add(
                    &at.key("inputs").index(index),
                    format!("there is no upload {input}, or none any more"),
                );
            }
        }
        let (of_run, own) = (self.request.params.as_ref(), run_job.params.as_ref());
        builtin::check(
            JobKind::of(&job.task_key),
            of_run.map(Params::as_map),
            own.map(Params::as_map),
            at,
            problems,
        );
        let image = self.check_image(job, &place, problems)?;
        if let Some(wish) = &run_job.gpu {
            check_vram(wish, image, &at.key("gpu").key("min_vram_mib"), problems);
        }
        let frozen = self.freeze(number, job, image, run_job);
        Some(PlannedRunJob {
            frozen,
            name: run_job.name.clone().unwrap_or_else(|| job.name.clone()),
            params: run_job.params.clone().unwrap_or_default(),
            inputs: run_job.inputs.clone(),
            priority: run_job.priority.unwrap_or(self.request.priority),
        })
    }

    fn check_allowed(&self, job: &JobTemplate, at: &Pointer<'_>, problems: &mut Problems) {
        let Some(directive) = self.directive else { return };
        let snapshot = &directive.snapshot;
        if snapshot.task_list.is_empty() || snapshot.task_list.iter().any(|allowed| job.is_named(allowed)) {
            return;
        }
        let (name, kind, key) = (&snapshot.name, snapshot.kind, &job.task_key);
        let allowed = snapshot.task_list.join(", ");
        problems.add(
            at,
            format!(
                "directive {name:?} ({kind}) allows {allowed} only: leave out {key}, or launch it under a \
                 directive that allows it, such as D4"
            ),
        );
    }

    fn check_image(
        &self,
        job: &JobTemplate,
        at: &Pointer<'_>,
        problems: &mut Problems,
    ) -> Option<&'a AllowedImage> {
        let image = &job.spec.image;
        let allowed = self.library.image(image).filter(|allowed| allowed.active);
        if allowed.is_none() {
            let key = &job.task_key;
            problems.add(
                at,
                format!(
                    "image {image} of job {key} is not on the worker image allowlist: ask an admin to add it"
                ),
            );
        }
        allowed
    }

    fn freeze(
        &mut self,
        number: usize,
        job: &JobTemplate,
        image: &AllowedImage,
        run_job: &RunJobRequest,
    ) -> usize {
        let gpu = gpu::resolve(&job.spec.gpu, image, run_job.gpu.as_ref());
        let run_seconds = run_job.timeout_seconds.unwrap_or(job.spec.timeouts.run_seconds);
        let next = self.frozen.len();
        *self.known.entry((number, run_seconds, gpu)).or_insert_with_key(|(_, _, gpu)| {
            let mut spec = job.spec.clone();
            spec.gpu = gpu.clone();
            spec.timeouts.run_seconds = run_seconds;
            let shape = Request {
                resources: spec.resources,
                gpu: spec.gpu.clone(),
                image: spec.image.clone(),
                host: spec.host.clone(),
            }
            .shape_key();
            self.frozen.push(Frozen { job: job.id, task_key: job.task_key.clone(), spec, shape });
            next
        })
    }
}

fn check_vram(wish: &GpuWish, image: &AllowedImage, at: &Pointer<'_>, problems: &mut Problems) {
    if let (Some(wanted), Some(needed)) = (wish.min_vram_mib, image.min_vram_mib)
        && wanted < needed
    {
        problems.add(at, format!("image {} needs {needed} MiB of VRAM or more", image.image));
    }
}
