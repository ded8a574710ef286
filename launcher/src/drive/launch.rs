//! From an accepted attempt to a started container.

use std::time::Duration;

use cyberbrain_common::{
    db::{
        self,
        staging::{AllowedImage, allowed_image},
        transition::Facts,
    },
    metric,
    wake::Backoff,
};
use cyberbrain_core::{
    audit::Operation,
    grant::PullPolicy,
    lifecycle::{AttemptState, Event, FailureKind, Outcome},
    outcome::{Progress, ProgressUnit},
    spec::Network,
    staging::LlmAccess,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Drive, Ended, Leftover};
use crate::{
    grants::{Granted, Grants, Refusal},
    orders::{LetGo, Order},
    record::Record,
    runtime::{
        CacheMount, ContainerPlan, Effect, Error, ImageId, ImageOnEngine, Labels, Mounts, Observation,
        PullProgress, Purpose, RuntimeKind, SecretMount, WorkerLabels,
    },
    stage::{self, Staged},
};

/// How often a call that the engine answers with an error of its own is repeated.
const ENGINE_TRIES: u32 = 3;
const READ_LIMIT: Duration = Duration::from_secs(10);

/// What came of looking whether the image is allowed.
enum Checked {
    Allowed(ImageId),
    Refused(String),
}

impl Drive {
    /// Everything up to the start, and then on to the end.
    pub(super) async fn launch(&mut self) -> Result<Ended, LetGo> {
        let order = self.orders.current();
        if order > Order::Continue {
            return Ok(Ended::ordered(order, Leftover::None));
        }
        let image = match self.check_image().await? {
            Checked::Allowed(image) => image,
            Checked::Refused(why) => {
                return Ok(Ended::NeverRan {
                    outcome: Outcome::Failed(FailureKind::ImageNotAllowed),
                    detail: Some(why),
                    refused: true,
                    leftover: Leftover::None,
                });
            }
        };
        let mut orders = self.orders.clone();
        let staged = tokio::select! {
            order = orders.above(Order::Continue) => {
                return if order == Order::LetGo { Err(LetGo) } else { Ok(Ended::ordered(order, Leftover::None)) };
            }
            staged = stage::stage(&self.agent, &self.job, &self.dir) => staged,
        };
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "inputs could not be staged");
                return Ok(Ended::failed(FailureKind::StagingFailed, error.to_string(), Leftover::None));
            }
        };
        let granted = match self.grant().await {
            Ok(granted) => granted,
            Err(refusal) => {
                return Ok(Ended::NeverRan {
                    outcome: Outcome::Failed(refusal.failure()),
                    detail: Some(refusal.to_string()),
                    refused: true,
                    leftover: Leftover::None,
                });
            }
        };
        let plan = match self.plan(&image, &staged, granted) {
            Ok(plan) => plan,
            Err(why) => return Ok(Ended::failed(FailureKind::StagingFailed, why, Leftover::None)),
        };
        if let Err(error) = plan.check() {
            return Ok(Ended::failed(FailureKind::StagingFailed, error.to_string(), Leftover::None));
        }
        if self.job.state == AttemptState::Accepted {
            let facts = Facts {
                boot_id: Some(self.agent.boot_id.clone()),
                image_id: Some(image.to_string()),
                ..Facts::default()
            };
            let fence = self.job.fence;
            self.step(db::transition::Step { facts, ..self.event(Event::Begin { fence }) }).await?;
        }
        if let Some(ended) = self.fetch(&image).await? {
            return Ok(ended);
        }
        if let Some(ended) = self.create(&plan).await? {
            return Ok(ended);
        }
        // The last look at the fence: whoever lost it meanwhile does not start.
        let id = self.container_id.clone().unwrap_or_default();
        let entry =
            self.entry(Operation::Spawn).config(limits_of(&plan, &self.agent.llm_access(plan.network)));
        self.write(&Record { spawned: Some((id, entry)), ..Record::default() }).await?;
        let order = self.orders.current();
        if order > Order::Continue {
            return Ok(Ended::ordered(order, Leftover::Possible));
        }
        self.start_container().await
    }

    /// Asks the allowlist, until it answers.
    async fn check_image(&mut self) -> Result<Checked, LetGo> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let wanted = self.job.spec.image.clone();
        loop {
            let look = async {
                let mut connection = self.agent.pool.acquire().await?;
                allowed_image(&mut connection, &wanted).await
            };
            match timeout(READ_LIMIT, look).await {
                Ok(Ok(Some(AllowedImage::Builtin))) => {
                    return Ok(Checked::Allowed(self.agent.worker_image.clone()));
                }
                Ok(Ok(Some(AllowedImage::Pinned(pin)))) => {
                    return Ok(match ImageId::parse(pin) {
                        Ok(image) => Checked::Allowed(image),
                        Err(error) => {
                            Checked::Refused(format!("the allowlist's pin of {wanted} is unusable: {error}"))
                        }
                    });
                }
                Ok(Ok(None)) => {
                    return Ok(Checked::Refused(format!(
                        "the image {wanted} is not on the allowlist; an administrator can add it with its pin"
                    )));
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the allowlist can't be read, trying again"
                    );
                }
                Err(_) => tracing::warn!("the allowlist can't be read in time, trying again"),
            }
            tokio::select! {
                () = self.orders.let_go() => return Err(LetGo),
                () = sleep(backoff.next_pause()) => {}
            }
        }
    }

    /// Has the engine pull the image if the job's policy asks for it. `None`: go on.
    async fn fetch(&mut self, image: &ImageId) -> Result<Option<Ended>, LetGo> {
        let policy = self.job.spec.pull;
        let wanted = image.is_of_registry()
            && match policy {
                PullPolicy::Always => true,
                PullPolicy::Missing => self.lacks(image).await,
                PullPolicy::Never => false,
            };
        if !wanted {
            return Ok(None);
        }
        let (registries, reference) = (self.agent.grants.registries.clone(), image.to_string());
        let reading = tokio::task::spawn_blocking(move || registries.login_for(&reference));
        let login = match reading.await.expect("reading a file does not panic, and is not aborted") {
            Ok(login) => login,
            Err(error) => {
                let failure = FailureKind::RegistryRefused;
                return Ok(Some(Ended::failed(failure, error.to_string(), Leftover::None)));
            }
        };
        let (sink, attempt, fence) = (&self.agent.progress, self.job.attempt, self.job.fence);
        let told = |progress: PullProgress| sink.put(attempt, fence, pulling(progress));
        let mut orders = self.orders.clone();
        let begun = Instant::now();
        let fetching = async {
            let runtime = &self.agent.runtime;
            if policy == PullPolicy::Always {
                runtime.ask_registry(image, login.as_ref()).await?;
                if !self.lacks(image).await {
                    return Ok(());
                }
            }
            runtime.pull(image, login.as_ref(), &told).await
        };
        let pulled = tokio::select! {
            order = orders.above(Order::Continue) => {
                return if order == Order::LetGo { Err(LetGo) } else { Ok(Some(Ended::ordered(order, Leftover::None))) };
            }
            pulled = fetching => pulled,
        };
        metrics::histogram!(metric::JOB_START, "phase" => "pull").record(begun.elapsed().as_secs_f64());
        let Err(error) = pulled else { return Ok(None) };
        tracing::warn!(error = &error as &dyn std::error::Error, "the image could not be pulled");
        let failure = match error.effect() {
            Effect::None => error.failure(),
            Effect::Unknown => FailureKind::ImagePullFailed,
        };
        Ok(Some(Ended::failed(failure, error.to_string(), Leftover::None)))
    }

    /// Whether the engine says that it lacks the image. Where it does not answer, creating the container will tell.
    async fn lacks(&self, image: &ImageId) -> bool {
        let pin = image.as_str().to_owned();
        let held = |images: Vec<ImageOnEngine>| images.iter().any(|held| held.digests.contains(&pin));
        self.agent.runtime.images().await.is_ok_and(|images| !held(images))
    }

    /// What it may have of what the job names.
    async fn grant(&self) -> Result<Granted, Refusal> {
        let (grants, user) = (self.agent.grants.clone(), self.agent.layout.worker);
        let (secrets, caches) = (self.job.spec.secrets.clone(), self.job.spec.caches.clone());
        if self.agent.kind == RuntimeKind::Process {
            return Grants::give_a_process(&secrets, &caches);
        }
        let looking = tokio::task::spawn_blocking(move || grants.give(&secrets, &caches, user));
        looking.await.expect("looking for files does not panic, and is not aborted")
    }

    fn plan(&self, image: &ImageId, staged: &Staged, granted: Granted) -> Result<ContainerPlan, String> {
        let host_path = |path: std::path::PathBuf| {
            let known = self.agent.layout.translation.host_path(&path);
            known.ok_or_else(|| {
                format!("{} is not below a path that the engine's host shares with us", path.display())
            })
        };
        let job = &self.job;
        Ok(ContainerPlan {
            name: self.name.clone(),
            labels: Labels {
                instance: self.agent.instance.id,
                purpose: Purpose::Worker(WorkerLabels {
                    run_id: job.run,
                    run_job_id: job.run_job,
                    attempt_id: job.attempt,
                    attempt: job.number,
                    task_key: job.task_key.clone(),
                }),
            },
            image: image.clone(),
            command: job.spec.command.clone(),
            env: self.environment(),
            resources: job.spec.resources,
            gpus: job.gpus.iter().map(|gpu| gpu.uuid.clone()).collect(),
            mounts: Mounts {
                out: Some(host_path(self.dir.output())?),
                input: Some(host_path(self.dir.input())?),
                uploads: staged.uploads.then(|| host_path(self.dir.uploads())).transpose()?,
                caches: granted
                    .caches
                    .into_iter()
                    .map(|cache| Ok(CacheMount { host: host_path(cache.host)?, ..cache }))
                    .collect::<Result<_, String>>()?,
                secrets: granted
                    .secrets
                    .into_iter()
                    .map(|secret| Ok(SecretMount { host: host_path(secret.host)?, ..secret }))
                    .collect::<Result<_, String>>()?,
            },
            user: self.agent.layout.worker,
            network: job.spec.network,
            stop_grace: Duration::from_secs(job.spec.timeouts.stop_grace_seconds.into()),
        })
    }

    /// The job's own, and the way to language models. A job that names another way has its own, whole: our key must not
    /// go elsewhere.
    fn environment(&self) -> std::collections::BTreeMap<String, String> {
        let mut env = self.job.spec.env.clone();
        for secret in &self.job.spec.secrets {
            if let Some(variable) = &secret.path_variable {
                env.insert(variable.clone(), secret.path());
            }
        }
        let Some(access) = &self.agent.gateway else { return env };
        let given = access.environment(self.job.attempt);
        if self.job.spec.network == Network::Bridge && given.iter().all(|(name, _)| !env.contains_key(*name))
        {
            env.extend(given.map(|(name, value)| (name.to_owned(), value)));
        }
        env
    }

    /// Makes the container. `None`: it is there.
    async fn create(&mut self, plan: &ContainerPlan) -> Result<Option<Ended>, LetGo> {
        let begun = Instant::now();
        let mut refusals = 0;
        loop {
            let error = match self.agent.runtime.create(plan).await {
                Ok(id) => {
                    self.container_id = Some(id.to_string());
                    metrics::histogram!(metric::JOB_START, "phase" => "create")
                        .record(begun.elapsed().as_secs_f64());
                    return Ok(None);
                }
                Err(Error::NameTaken { .. }) => return self.create_again().await,
                Err(error) => error,
            };
            if error.effect() == Effect::None {
                return Ok(Some(Ended::failed(error.failure(), error.to_string(), Leftover::None)));
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "creating the container failed, looking what is there"
            );
            let answered = matches!(error, Error::Engine { .. });
            match self.agent.runtime.inspect(&self.name).await {
                Observation::Created | Observation::Running { .. } | Observation::Exited(_) => {
                    return self.create_again().await;
                }
                Observation::Absent if answered => {
                    refusals += 1;
                    if refusals >= ENGINE_TRIES {
                        return Ok(Some(Ended::failed(
                            FailureKind::EngineError,
                            error.to_string(),
                            Leftover::Possible,
                        )));
                    }
                }
                // It may still come: the same name is asked for again, so there will be one at most.
                Observation::Absent | Observation::Unknown(_) => {}
            }
            self.pause().await?;
        }
    }

    /// The name is taken: by our own earlier call, or by somebody who must be left alone.
    async fn create_again(&mut self) -> Result<Option<Ended>, LetGo> {
        loop {
            match self.agent.runtime.list_ours(self.agent.instance.id).await {
                Ok(listed) => {
                    let ours = listed
                        .into_iter()
                        .find(|container| container.name == self.name && self.is_ours(container));
                    let Some(container) = ours else {
                        let why = format!(
                            "the name {} is taken by a container that is not ours; remove it",
                            self.name
                        );
                        tracing::error!(container.name = %self.name, "a foreign container has our name");
                        let audit = vec![self.entry(Operation::Error).failed(&why)];
                        self.write(&Record { audit, ..Record::default() }).await?;
                        return Ok(Some(Ended::failed(FailureKind::EngineError, why, Leftover::None)));
                    };
                    self.container_id = Some(container.id.to_string());
                    return Ok(None);
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the engine can't list containers, asking again"
                    );
                    self.pause().await?;
                }
            }
        }
    }

    /// Starts the container that is there, then watches it.
    pub(super) async fn start_container(&mut self) -> Result<Ended, LetGo> {
        let begun = Instant::now();
        let mut refusals = 0;
        loop {
            let error = match self.agent.runtime.start(&self.name).await {
                Ok(()) => {
                    metrics::histogram!(metric::JOB_START, "phase" => "start")
                        .record(begun.elapsed().as_secs_f64());
                    return self.watch(None).await;
                }
                Err(error) => error,
            };
            let seen = self.agent.runtime.inspect(&self.name).await;
            let answered = match (&error, &seen) {
                // It runs or ran after all, whatever the call says.
                (_, Observation::Running { .. } | Observation::Exited(_)) => return self.watch(None).await,
                (_, Observation::Absent) => return self.missing(None).await,
                (Error::GpuRuntimeMissing { .. } | Error::EntrypointInvalid { .. }, Observation::Created) => {
                    return Ok(Ended::failed(error.failure(), error.to_string(), Leftover::Possible));
                }
                (Error::Timeout { .. } | Error::Unreachable { .. }, Observation::Created)
                | (_, Observation::Unknown(_)) => false,
                (_, Observation::Created) => true,
            };
            tracing::warn!(error = &error as &dyn std::error::Error, "starting the container failed");
            refusals += u32::from(answered);
            if refusals >= ENGINE_TRIES {
                return Ok(Ended::failed(FailureKind::EngineError, error.to_string(), Leftover::Possible));
            }
            self.pause().await?;
            let order = self.orders.current();
            if order > Order::Continue && matches!(seen, Observation::Created) {
                return Ok(Ended::ordered(order, Leftover::Possible));
            }
        }
    }
}

fn pulling(progress: PullProgress) -> Progress {
    let PullProgress { done_bytes, total_bytes } = progress;
    Progress::counted("pulling the image", done_bytes, total_bytes, ProgressUnit::Bytes)
}

/// The limits in force, for the audit row: numbers and names only.
fn limits_of(plan: &ContainerPlan, llm: &LlmAccess) -> serde_json::Value {
    serde_json::json!({
        "image_id": plan.image.as_str(),
        "resources": plan.resources,
        "network": plan.network,
        "llm": llm.state(),
        "secrets": plan.mounts.secrets.iter().map(|secret| &secret.target).collect::<Vec<_>>(),
        "caches": plan.mounts.caches.iter().map(|cache| &cache.target).collect::<Vec<_>>(),
        "gpus": plan.gpus,
        "user": plan.user.to_string(),
        "stop_grace_seconds": plan.stop_grace.as_secs(),
    })
}
