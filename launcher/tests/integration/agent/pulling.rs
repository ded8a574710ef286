//! Images that are pulled: a real engine, a registry of ours that wants a login.

use cyberbrain_core::{
    grant::PullPolicy,
    spec::{ImageRef, JobSpec, RetryPolicy},
};

use super::{
    registry::Registry,
    world::{GOOD, Launcher, Row, World, spec},
};
use crate::{docker, kept};

const PASSWORD: &str = "planted-hunter2-c7d2";

struct Pulling {
    world: World,
    registry: Registry,
    _launcher: Launcher,
    _auth: tempfile::NamedTempFile,
}

impl Pulling {
    async fn start(password: &str) -> Option<Self> {
        let world = World::new().await?;
        let registry = Registry::start("robot", PASSWORD).await;
        let auth = registry.auth_file("robot", password);
        sqlx::query(
            "insert into worker_image_allowlist (id, name, tag, pin) values (gen_random_uuid(), 'pulled', '1', $1)",
        )
        .bind(&registry.pin)
        .execute(&world.pool)
        .await
        .unwrap();
        let launcher = world.launcher(&["--registry-auth-file", auth.path().to_str().unwrap()]).await;
        Some(Self { world, registry, _launcher: launcher, _auth: auth })
    }

    async fn outcome(&self, pull: PullPolicy) -> Row {
        let command = vec!["/bin/bash".into(), "-c".into(), GOOD.into()];
        let retry = RetryPolicy { max_attempts: 1, max_infra_failures: 3, backoff_seconds: 300 };
        let image = ImageRef { name: "pulled".into(), tag: "1".into() };
        let job = self.world.job(JobSpec { image, command, pull, retry, ..spec() }).await;
        let attempt = self.world.offer(job).await;
        self.world.until_released(attempt).await
    }

    async fn is_there(&self) -> bool {
        let images = self.world.engine.images().await.unwrap();
        images.iter().any(|image| image.digests.contains(&self.registry.pin))
    }

    async fn remove_image(&self) {
        docker::engine().await.unwrap().remove_image(&self.registry.pin).await.unwrap();
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_a_login_as_the_policy_says_and_runs() {
    let Some(pulling) = Pulling::start(PASSWORD).await else { return };
    let never = pulling.outcome(PullPolicy::Never).await;
    assert_eq!(never.failure.as_deref(), Some("image_missing"), "{never:?}");
    assert_eq!(pulling.registry.manifests(), 0, "nobody was asked");

    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{row:?}");
    assert!(pulling.is_there().await && pulling.registry.refused() > 0);
    let asked = pulling.registry.manifests();
    assert!(asked > 0);

    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!((row.status.as_str(), pulling.registry.manifests()), ("success", asked), "it is there");
    let before = pulling.registry.refused();
    let row = pulling.outcome(PullPolicy::Always).await;
    assert_eq!(row.status, "success", "{row:?}");
    // Whoever asks is refused first, and told how to log in. The engine need not fetch what it has.
    assert!(pulling.registry.refused() > before, "the registry was asked again");
    pulling.remove_image().await;

    kept::assert_not_in_the_database(&pulling.world.pool, &[PASSWORD]).await;
    kept::assert_not_in_files(pulling.world.data.path(), &[PASSWORD]);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again_and_a_registry_that_is_down_is() {
    let Some(mut pulling) = Pulling::start("planted-wrong-5be1").await else { return };
    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!(
        (row.failure.as_deref(), row.status.as_str()),
        (Some("registry_refused"), "failed"),
        "{row:?}"
    );
    let detail = row.failure_detail.unwrap();
    assert!(detail.contains("--registry-auth-file") && detail.contains(&pulling.registry.pin), "{detail}");
    assert_eq!((pulling.registry.manifests(), pulling.is_there().await), (0, false));

    pulling.registry.stop().await;
    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!(row.failure.as_deref(), Some("image_pull_failed"), "{row:?}");
    assert_eq!(row.status, "pending", "it is tried again, at the cost of no attempt: {row:?}");
    kept::assert_not_in_the_database(&pulling.world.pool, &["planted-wrong-5be1"]).await;
}
