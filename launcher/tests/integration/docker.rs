//! The engine for tests, and an image of this machine's own shell, since no registry is at hand.

use std::{
    env,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cyberbrain_core::spec::ImageRef;
use cyberbrain_launcher::{
    image::{self, Recipe},
    runtime::{DockerOptions, DockerRuntime, GpuInjection, ImageId, WorkerRuntime},
};
use uuid::Uuid;

pub const PROGRAMS: [&str; 13] = [
    "/bin/bash",
    "/bin/sh",
    "/bin/cat",
    "/bin/grep",
    "/bin/ln",
    "/bin/ls",
    "/bin/sleep",
    "/bin/touch",
    "/usr/bin/head",
    "/usr/bin/id",
    "/usr/bin/mkfifo",
    "/usr/bin/tail",
    "/usr/bin/yes",
];

/// The engine; `None`, with a line that says why, where there is none and none is required.
pub async fn engine() -> Option<DockerRuntime> {
    let options = DockerOptions { host: None, gpu_injection: GpuInjection::DeviceRequests };
    match DockerRuntime::connect(&options).await {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            let required = env::var("CYBERBRAIN_TEST_REQUIRE").is_ok_and(|words| words.contains("docker"));
            assert!(!required, "docker is required and does not answer: {error:?}");
            eprintln!("skipped: no container engine answers: {error}");
            None
        }
    }
}

/// An image on the engine, removed when its last user in this process is done.
#[derive(Debug)]
pub struct TestImage {
    pub id: ImageId,
}

static SHELL: Mutex<Weak<TestImage>> = Mutex::new(Weak::new());
static LOADING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Says which process made a test image.
const MAKER: &str = "cyberbrain.test.pid";

/// `/bin/sh` and a few tools; no entry point. Its ID is this process's own, so that no other test process
/// removes it under us. Hold it as long as a container of it may run: the engine removes no image in use.
pub async fn shell_image(engine: &DockerRuntime) -> Arc<TestImage> {
    let _one_at_a_time = LOADING.lock().await;
    if let Some(image) = SHELL.lock().unwrap_or_else(PoisonError::into_inner).upgrade() {
        return image;
    }
    remove_leftovers(engine).await;
    let name = format!("cyberbrain-test-{}", Uuid::now_v7().simple());
    let mut recipe = Recipe::programs(ImageRef { name: name.clone(), tag: "shell".into() }, &PROGRAMS);
    recipe.labels.insert("cyberbrain.test".into(), name);
    recipe.labels.insert(MAKER.into(), std::process::id().to_string());
    let image = Arc::new(image::build(&recipe).unwrap());
    let id = engine.load_image(&image).await.unwrap();
    let image = Arc::new(TestImage { id });
    *SHELL.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&image);
    image
}

/// Images of test processes that were killed, or let a container outlive its image.
async fn remove_leftovers(engine: &DockerRuntime) {
    for image in engine.images().await.unwrap() {
        let maker = image.labels.get(MAKER);
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may be about to do the same, and a container may still use it.
            let _ = engine.remove_image(&image.id).await;
        }
    }
}

impl Drop for TestImage {
    fn drop(&mut self) {
        let id = self.id.to_string();
        // A runtime of its own: this may be the last thing that the test's runtime does.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Some(engine) = engine().await
                    && let Err(error) = engine.remove_image(&id).await
                {
                    eprintln!("the test image {id} was not removed: {error}");
                }
            });
        });
        removing.join().unwrap();
    }
}
