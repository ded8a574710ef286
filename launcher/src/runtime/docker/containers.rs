//! The verbs on one container, always by name.

use std::{collections::HashMap, time::Duration};

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};
use chrono::{TimeDelta, Utc};
use cyberbrain_core::ids::InstanceId;
use tokio::time::{Instant, timeout};

use super::{
    CHANGE, DockerRuntime, READ,
    answer::{Asked, listed, observation},
    bounded, config,
};
use crate::runtime::{
    error::{EngineCall, Error},
    labels,
    name::{ContainerId, ContainerName},
    observe::{Listed, Observation},
    plan::ContainerPlan,
};

/// Until this age the init of a container may not be ready for signals; seen on a loaded machine.
const YOUNG: TimeDelta = TimeDelta::seconds(5);
/// How long the first SIGTERM of a young container is given.
const FIRST_SIGNAL: Duration = Duration::from_secs(1);

impl DockerRuntime {
    pub(super) async fn create_container(&self, plan: &ContainerPlan) -> Result<ContainerId, Error> {
        plan.check()?;
        let asked = Asked { call: EngineCall::Create, subject: plan.name.as_str() };
        let options = CreateContainerOptionsBuilder::new().name(plan.name.as_str()).build();
        let body = config::create_body(plan, self.gpu_injection);
        let made = bounded(asked, CHANGE, self.docker.create_container(Some(options), body)).await;
        match made {
            Ok(made) => Ok(ContainerId::new(made.id)),
            // Without an image name in the engine's answer, ours.
            Err(Error::ImageMissing { image }) if image == plan.name.as_str() => {
                Err(Error::ImageMissing { image: plan.image.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn rename_container(
        &self,
        from: &ContainerName,
        to: &ContainerName,
    ) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::Rename, subject: from.as_str() };
        let options = RenameContainerOptionsBuilder::new().name(to.as_str()).build();
        bounded(asked, CHANGE, self.docker.rename_container(from.as_str(), options)).await
    }

    pub(super) async fn start_created(&self, name: &ContainerName) -> Result<(), Error> {
        let refused = |why: &str| {
            Err(Error::Refused {
                call: EngineCall::Start,
                subject: name.to_string(),
                why: format!("{why}; only what was never started is started"),
            })
        };
        match self.observe(name).await {
            Observation::Created => {}
            Observation::Absent => {
                return Err(Error::NotFound { call: EngineCall::Start, subject: name.to_string() });
            }
            Observation::Running { .. } => return refused("it is running already"),
            Observation::Exited(_) => return refused("it has run already"),
            Observation::Unknown(error) => return Err(error),
        }
        let asked = Asked { call: EngineCall::Start, subject: name.as_str() };
        bounded(asked, CHANGE, self.docker.start_container(name.as_str(), None::<StartContainerOptions>))
            .await
    }

    pub(super) async fn stop_container(&self, name: &ContainerName, grace: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        if self.ended_while_young(name, grace).await {
            return Ok(());
        }
        let grace = grace.saturating_sub(begun.elapsed());
        let asked = Asked { call: EngineCall::Stop, subject: name.as_str() };
        let seconds = i32::try_from(grace.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        bounded(asked, grace + CHANGE, self.docker.stop_container(name.as_str(), Some(options))).await
    }

    /// A SIGTERM that comes before the container's init is set up is lost, and the whole grace would pass in
    /// vain. So a container that was only just started gets one now, and another with the stop itself if
    /// this one did nothing. Says whether it has ended.
    async fn ended_while_young(&self, name: &ContainerName, grace: Duration) -> bool {
        let Observation::Running { started_at: Some(started_at) } = self.observe(name).await else {
            return false;
        };
        if Utc::now() - started_at > YOUNG || self.signal(name, "SIGTERM").await.is_err() {
            // Old enough, or the stop itself will say what is wrong.
            return false;
        }
        let ended = timeout(FIRST_SIGNAL.min(grace), self.wait_until_ended(name)).await;
        matches!(ended, Ok(Observation::Exited(_)))
    }

    pub(super) async fn kill_container(&self, name: &ContainerName) -> Result<(), Error> {
        match self.signal(name, "SIGKILL").await {
            // The engine refuses for one reason only: it is not running.
            Err(Error::Refused { .. }) => Ok(()),
            other => other,
        }
    }

    async fn signal(&self, name: &ContainerName, signal: &str) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::Kill, subject: name.as_str() };
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        bounded(asked, CHANGE, self.docker.kill_container(name.as_str(), Some(options))).await
    }

    pub(super) async fn remove_container(&self, name: &ContainerName) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::Remove, subject: name.as_str() };
        let options = RemoveContainerOptionsBuilder::new().force(false).v(true).build();
        bounded(asked, CHANGE, self.docker.remove_container(name.as_str(), Some(options))).await
    }

    pub(super) async fn observe(&self, name: &ContainerName) -> Observation {
        let asked = Asked { call: EngineCall::Inspect, subject: name.as_str() };
        let call = self.docker.inspect_container(name.as_str(), None::<InspectContainerOptions>);
        match bounded(asked, READ, call).await {
            Ok(container) => observation(asked, container.state.as_ref()),
            Err(Error::NotFound { .. }) => Observation::Absent,
            Err(error) => Observation::Unknown(error),
        }
    }

    pub(super) async fn list_containers(&self, instance: InstanceId) -> Result<Vec<Listed>, Error> {
        let asked = Asked { call: EngineCall::List, subject: "containers" };
        let filter = HashMap::from([("label", vec![format!("{}={instance}", labels::INSTANCE)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let summaries = bounded(asked, READ, self.docker.list_containers(Some(options))).await?;
        Ok(summaries.into_iter().filter_map(listed).collect())
    }
}
