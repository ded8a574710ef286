//! Asking the registry for an image by its digest, and pulling it, with progress that is bounded and says nothing of
//! the login. Logging in, as the registry wants it, is the engine's.

use std::collections::HashMap;

use bollard::{
    auth::DockerCredentials, errors::Error as Bollard, models::CreateImageInfo,
    query_parameters::CreateImageOptionsBuilder,
};
use cyberbrain_common::metric;
use futures::StreamExt as _;
use metrics::{counter, histogram};
use tokio::time::{Instant, timeout};

use super::{ASK_REGISTRY, DockerRuntime, PULL, PULL_STALL, answer::Asked};
use crate::{
    registry_auth::Login,
    runtime::{
        PullProgress,
        error::{EngineCall, Error},
        name::ImageId,
    },
};

/// Layers that are told apart; engines allow 127.
const MAX_LAYERS: usize = 256;
/// What registries say to whom they don't know, in the engines' words.
const DENIED: [&str; 6] = [
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "access denied",
    "is denied",
    "incorrect username or password",
];

impl DockerRuntime {
    /// An engine that holds a digest pulls it without asking for its manifest; this asks.
    pub(super) async fn ask_for_manifest(&self, image: &ImageId, login: Option<&Login>) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::AskRegistry, subject: image.as_str() };
        let begun = Instant::now();
        let asking = self.docker.inspect_registry_image(image.as_str(), login.map(credentials));
        let result = match timeout(ASK_REGISTRY, asking).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(sorted(asked, error)),
            Err(_) => Err(asked.timeout(ASK_REGISTRY)),
        };
        record(asked, begun, &result);
        result
    }

    pub(super) async fn pull_image(
        &self,
        image: &ImageId,
        login: Option<&Login>,
        told: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::Pull, subject: image.as_str() };
        let begun = Instant::now();
        let result = match timeout(PULL, self.follow_pull(asked, image, login, told)).await {
            Ok(result) => result,
            Err(_) => Err(asked.timeout(PULL)),
        };
        record(asked, begun, &result);
        result
    }

    async fn follow_pull(
        &self,
        asked: Asked<'_>,
        image: &ImageId,
        login: Option<&Login>,
        told: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> Result<(), Error> {
        let options = CreateImageOptionsBuilder::new().from_image(image.as_str()).build();
        let mut events = self.docker.create_image(Some(options), None, login.map(credentials));
        let mut layers = Layers::default();
        loop {
            match timeout(PULL_STALL, events.next()).await {
                Ok(Some(Ok(event))) => {
                    if let Some(progress) = layers.take(&event) {
                        told(progress);
                    }
                }
                Ok(Some(Err(error))) => return Err(sorted(asked, error)),
                Ok(None) => return Ok(()),
                Err(_) => return Err(asked.timeout(PULL_STALL)),
            }
        }
    }
}

fn credentials(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: login.username.clone(),
        password: login.password.clone(),
        serveraddress: Some(login.registry.clone()),
        identitytoken: login.identity_token.clone(),
        ..DockerCredentials::default()
    }
}

fn record(asked: Asked<'_>, begun: Instant, result: &Result<(), Error>) {
    histogram!(metric::DOCKER_REQUEST_SECONDS, "op" => asked.call.as_str())
        .record(begun.elapsed().as_secs_f64());
    if let Err(error) = result {
        counter!(metric::DOCKER_REQUEST_ERRORS, "op" => asked.call.as_str(), "code" => error.code())
            .increment(1);
    }
}

/// What went wrong on the way to the registry, or at it.
fn sorted(asked: Asked<'_>, error: Bollard) -> Error {
    let (status, detail) = match error {
        Bollard::DockerResponseServerError { status_code, message } => (status_code, message),
        Bollard::DockerStreamError { error } => (500, error),
        other => return asked.error(other),
    };
    let image = asked.subject.to_owned();
    let small = detail.to_lowercase();
    if DENIED.iter().any(|word| small.contains(word)) {
        Error::PullDenied { image, detail }
    } else if status == 404 || small.contains("manifest unknown") || small.contains("not found") {
        Error::NotInRegistry { image }
    } else {
        Error::PullFailed { image, detail }
    }
}

/// How much of each layer is there.
#[derive(Debug, Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    /// The sum over all layers that are known, if this event changes it.
    fn take(&mut self, event: &CreateImageInfo) -> Option<PullProgress> {
        if event.status.as_deref() != Some("Downloading") {
            return None;
        }
        let (id, detail) = (event.id.as_ref()?, event.progress_detail.as_ref()?);
        let part = (u64::try_from(detail.current?).ok()?, u64::try_from(detail.total?).ok()?);
        if self.0.len() >= MAX_LAYERS && !self.0.contains_key(id) {
            return None;
        }
        self.0.insert(id.clone(), part);
        let sum = |of: fn(&(u64, u64)) -> u64| self.0.values().map(of).fold(0, u64::saturating_add);
        Some(PullProgress { done_bytes: sum(|part| part.0), total_bytes: sum(|part| part.1) })
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;
    use cyberbrain_core::lifecycle::FailureKind;

    use super::*;

    fn event(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        let progress_detail = Some(ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail,
            ..Default::default()
        }
    }

    #[test]
    fn progress_is_the_sum_of_the_layers() {
        let mut layers = Layers::default();
        let progress = |done_bytes, total_bytes| Some(PullProgress { done_bytes, total_bytes });
        assert_eq!(layers.take(&event("a", "Downloading", 5, 10)), progress(5, 10));
        assert_eq!(layers.take(&event("b", "Downloading", 1, 30)), progress(6, 40));
        assert_eq!(layers.take(&event("a", "Extracting", 1, 10)), None);
        assert_eq!(layers.take(&event("a", "Downloading", 10, 10)), progress(11, 40));
        assert_eq!(layers.take(&event("c", "Downloading", -1, 10)), None);
        for n in 0..1_000 {
            layers.take(&event(&format!("x{n}"), "Downloading", 1, 1));
        }
        assert_eq!(layers.0.len(), MAX_LAYERS);
    }

    #[test]
    fn what_a_registry_says_is_sorted_by_who_has_to_act() {
        let asked = Asked { call: EngineCall::Pull, subject: "r/a@sha256:0" };
        for (status, message, failure) in [
            (
                500,
                "Get \"http://127.0.0.1:1/v2/\": dial tcp: connection refused",
                FailureKind::ImagePullFailed,
            ),
            (
                500,
                "Head \"http://r/v2/a/manifests/x\": no basic auth credentials",
                FailureKind::RegistryRefused,
            ),
            (500, "unauthorized: authentication required", FailureKind::RegistryRefused),
            (404, "pull access denied for a, repository does not exist", FailureKind::RegistryRefused),
            (404, "manifest for a@sha256:0 not found: manifest unknown", FailureKind::ImageMissing),
            (500, "received unexpected HTTP status: 503 Service Unavailable", FailureKind::ImagePullFailed),
        ] {
            let error = Bollard::DockerResponseServerError { status_code: status, message: message.into() };
            assert_eq!(sorted(asked, error).failure(), failure, "{message}");
        }
    }
}
