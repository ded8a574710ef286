//! Images that are pulled: a real engine, a registry of ours that wants a login.

use cyberbrain_core::{
    grant::PullPolicy,
    spec::{ImageRef, JobSpec, RetryPolicy},
};
use tempfile::NamedTempFile;

use super::{
    registry::{Asks, BEARER_TOKEN, IDENTITY_TOKEN, PASSWORD, Registry},
    world::{GOOD, Launcher, Row, World, spec},
};
use crate::{docker, kept};

struct Pulling {
    world: World,
    registry: Registry,
    _launcher: Launcher,
    _auth: NamedTempFile,
}

impl Pulling {
    async fn start(asks: Asks, login: impl FnOnce(&Registry) -> NamedTempFile) -> Option<Self> {
        let world = World::new().await?;
        let registry = Registry::start(asks).await;
        let auth = login(&registry);
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

    async fn assert_runs(&self, pull: PullPolicy) {
        let row = self.outcome(pull).await;
        assert_eq!((row.status.as_str(), row.exit_code), ("success", Some(0)), "{row:?}");
    }

    async fn has(&self, pin: &str) -> bool {
        let images = self.world.engine.images().await.unwrap();
        images.iter().any(|image| image.digests.iter().any(|digest| digest == pin))
    }

    async fn remove_image(&self, pin: &str) {
        docker::engine().await.unwrap().remove_image(pin).await.unwrap();
    }

    async fn assert_nothing_kept(&self, words: &[&str]) {
        kept::assert_not_in_the_database(&self.world.pool, words).await;
        kept::assert_not_in_files(self.world.data.path(), words);
    }
}

fn password(registry: &Registry) -> NamedTempFile {
    registry.auth_file(PASSWORD)
}

#[tokio::test]
async fn an_image_is_pulled_with_a_login_as_the_policy_says_and_runs() {
    let Some(pulling) = Pulling::start(Asks::Basic, password).await else { return };
    let never = pulling.outcome(PullPolicy::Never).await;
    assert_eq!(never.failure.as_deref(), Some("image_missing"), "{never:?}");
    assert_eq!(pulling.registry.manifests(), 0, "nobody was asked");

    pulling.assert_runs(PullPolicy::Missing).await;
    let pin = pulling.registry.pin.clone();
    assert!(pulling.has(&pin).await && pulling.registry.refused() > 0);
    let (asked, refused) = (pulling.registry.manifests(), pulling.registry.refused());
    assert!(asked > 0);

    pulling.assert_runs(PullPolicy::Missing).await;
    let seen = (pulling.registry.manifests(), pulling.registry.refused());
    assert_eq!(seen, (asked, refused), "it is there, and nobody was asked");
    pulling.remove_image(&pin).await;
    pulling.assert_nothing_kept(&[PASSWORD]).await;
}

#[tokio::test]
async fn a_registry_with_a_token_server_is_logged_in_to_by_password_or_identity_token() {
    let words = [PASSWORD, IDENTITY_TOKEN, BEARER_TOKEN];
    let logins: [fn(&Registry) -> NamedTempFile; 2] = [password, Registry::identity_file];
    for login in logins {
        let Some(pulling) = Pulling::start(Asks::Bearer, login).await else { return };
        pulling.assert_runs(PullPolicy::Missing).await;
        let pin = pulling.registry.pin.clone();
        assert!(pulling.has(&pin).await);
        let tokens = pulling.registry.tokens();
        assert!(tokens > 0 && pulling.registry.refused() > 0, "it was told where to get a token");
        pulling.assert_runs(PullPolicy::Always).await;
        assert!(pulling.registry.tokens() > tokens, "a question has a login of its own");
        pulling.remove_image(&pin).await;
        pulling.assert_nothing_kept(&words).await;
    }
    let wrong = |registry: &Registry| registry.auth_file("planted-wrong-5be1");
    let Some(pulling) = Pulling::start(Asks::Bearer, wrong).await else { return };
    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!(
        (row.failure.as_deref(), row.status.as_str()),
        (Some("registry_refused"), "failed"),
        "{row:?}"
    );
    assert_eq!((pulling.registry.tokens(), pulling.registry.manifests()), (0, 0));
    pulling.assert_nothing_kept(&["planted-wrong-5be1"]).await;
}

#[tokio::test]
async fn always_means_that_the_registry_has_it_now() {
    let Some(mut pulling) = Pulling::start(Asks::Basic, password).await else { return };
    let first = pulling.registry.pin.clone();
    pulling.assert_runs(PullPolicy::Always).await;
    let asked = pulling.registry.manifests();
    pulling.assert_runs(PullPolicy::Always).await;
    assert!(pulling.registry.manifests() > asked, "what the engine holds is asked for all the same");

    // Another image behind the tag changes nothing until an admin pins it; then it is fetched.
    let second = pulling.registry.push();
    pulling.assert_runs(PullPolicy::Always).await;
    assert!(!pulling.has(&second).await, "the pin decides, not the tag");
    sqlx::query("update worker_image_allowlist set pin = $1 where name = 'pulled'")
        .bind(&second)
        .execute(&pulling.world.pool)
        .await
        .unwrap();
    pulling.assert_runs(PullPolicy::Always).await;
    assert!(pulling.has(&second).await);

    // Withdrawn: held by the engine, and not started any more.
    pulling.registry.withdraw_all();
    let row = pulling.outcome(PullPolicy::Always).await;
    assert_eq!((row.failure.as_deref(), row.container_id.as_ref()), (Some("image_missing"), None), "{row:?}");
    assert!(row.failure_detail.as_ref().unwrap().contains("the registry has no image"), "{row:?}");
    pulling.assert_runs(PullPolicy::Missing).await;

    // Nobody answers: it waits for a registry that does.
    pulling.registry.stop().await;
    let row = pulling.outcome(PullPolicy::Always).await;
    assert_eq!(row.failure.as_deref(), Some("image_pull_failed"), "{row:?}");
    assert_eq!((row.status.as_str(), row.container_id.as_ref()), ("pending", None), "{row:?}");
    pulling.assert_runs(PullPolicy::Missing).await;
    for pin in [&first, &second] {
        pulling.remove_image(pin).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again_and_a_registry_that_is_down_is() {
    let wrong = |registry: &Registry| registry.auth_file("planted-wrong-5be1");
    let Some(mut pulling) = Pulling::start(Asks::Basic, wrong).await else { return };
    for policy in [PullPolicy::Missing, PullPolicy::Always] {
        let row = pulling.outcome(policy).await;
        assert_eq!(
            (row.failure.as_deref(), row.status.as_str()),
            (Some("registry_refused"), "failed"),
            "{row:?}"
        );
        let detail = row.failure_detail.unwrap();
        assert!(
            detail.contains("--registry-auth-file") && detail.contains(&pulling.registry.pin),
            "{detail}"
        );
    }
    let pin = pulling.registry.pin.clone();
    assert_eq!((pulling.registry.manifests(), pulling.has(&pin).await), (0, false));

    pulling.registry.stop().await;
    let row = pulling.outcome(PullPolicy::Missing).await;
    assert_eq!(row.failure.as_deref(), Some("image_pull_failed"), "{row:?}");
    assert_eq!(row.status, "pending", "it is tried again, at the cost of no attempt: {row:?}");
    pulling.assert_nothing_kept(&["planted-wrong-5be1"]).await;
}
