//! What only a real engine can show: hardening from the inside, GPUs it does not have, images.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use cyberbrain_core::{
    ids::{GpuUuid, InstanceId},
    spec::{ImageRef, Network, Resources},
    staging::ContainerState,
};
use cyberbrain_launcher::{
    image::{self, Executable, Recipe},
    runtime::{
        ContainerName, ContainerPlan, DockerRuntime, Exit, Follow, ImageId, Labels, LogRequest, LogSource,
        Mounts, Observation, Purpose, RuntimeKind, User, WorkerRuntime,
    },
};
use futures::TryStreamExt;
use uuid::Uuid;

use crate::docker;

pub fn helper(instance: InstanceId, image: &ImageId, script: &str) -> ContainerPlan {
    ContainerPlan {
        name: ContainerName::helper(format!("cb-test-{}", Uuid::now_v7())).unwrap(),
        labels: Labels { instance, purpose: Purpose::Helper { role: "test".into() } },
        image: image.clone(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: BTreeMap::new(),
        resources: Resources { cpu_millis: 500, memory_mib: 48, shm_mib: 8, pids: 24 },
        gpus: Vec::new(),
        mounts: Mounts::default(),
        user: User::NONROOT,
        network: Network::None,
        stop_grace: Duration::from_secs(5),
    }
}

async fn run_to_end(engine: &DockerRuntime, plan: &ContainerPlan) -> (Exit, String) {
    engine.create(plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), engine.wait(&plan.name)).await.unwrap();
    let request = LogRequest { source: LogSource::Ours(plan.name.clone()), after: None, follow: Follow::No };
    let lines: Vec<_> = engine.logs(request).try_collect().await.unwrap();
    engine.remove(&plan.name).await.unwrap();
    let text: String =
        lines.iter().map(|line| format!("{}\n", String::from_utf8_lossy(&line.bytes))).collect();
    match ended {
        Observation::Exited(exit) => (exit, text),
        other => panic!("{other:?}: {text}"),
    }
}

#[tokio::test]
async fn hardening_holds_from_the_inside() {
    let Some(engine) = docker::engine().await else { return };
    let shell = docker::shell_image(&engine).await;
    let directory = tempfile::tempdir().unwrap();
    let [out, input, uploads] = ["out", "input", "uploads"].map(|name| directory.path().join(name));
    for path in [&out, &input, &uploads] {
        std::fs::create_dir(path).unwrap();
        // The worker's user is nobody here.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(input.join("job.json"), "staged").unwrap();
    let script = r#"
        id -u; id -g
        grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        touch /etc/x /logs/written /input/x /uploads/x
        cat /input/job.json; echo
        cat /bin/sleep > /tmp/run && touch /tmp/there && ls /tmp/there
        grep -E ' /tmp ' /proc/mounts
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
        cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
        echo "gpus: $NVIDIA_VISIBLE_DEVICES"
        ls /sys/class/net
        cat /proc/1/comm
        true"#;
    let mut plan = helper(Uuid::now_v7().into(), &shell.id, script);
    plan.mounts =
        Mounts { out: Some(out.clone()), input: Some(input), uploads: Some(uploads), ..Mounts::default() };
    let (exit, text) = run_to_end(&engine, &plan).await;
    assert_eq!(exit.code, 0, "{text}");
    let has = |needle: &str| assert!(text.contains(needle), "{needle:?} is missing in:\n{text}");
    has("65532\n65532\n");
    for set in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        has(set);
    }
    has("NoNewPrivs:\t1");
    for refused in ["'/etc/x'", "'/input/x'", "'/uploads/x'"] {
        has(&format!("cannot touch {refused}: Read-only file system"));
    }
    assert!(out.join("written").exists());
    has("staged");
    has("/tmp/there");
    let tmp = text.lines().find(|line| line.contains(" /tmp ")).unwrap();
    for option in ["nosuid", "nodev", "noexec", "size=24576k"] {
        assert!(tmp.contains(option), "{option} is missing in {tmp}");
    }
    has(&format!("{}\n", 48 * 1024 * 1024));
    has("\n24\n");
    has("gpus: void");
    assert!(!text.contains("eth0"), "the network is none:\n{text}");
    assert!(text.contains("init"), "an init is process 1:\n{text}");
}

#[tokio::test]
async fn a_gpu_that_the_engine_can_not_give_is_an_infrastructure_failure() {
    let Some(engine) = docker::engine().await else { return };
    let shell = docker::shell_image(&engine).await;
    let mut plan = helper(Uuid::now_v7().into(), &shell.id, "exit 0");
    // No machine has this card, so this fails with a toolkit as well as without.
    plan.gpus = vec![GpuUuid::new("GPU-00000000-dead-beef-0000-000000000000")];
    engine.create(&plan).await.unwrap();
    let error = engine.start(&plan.name).await.unwrap_err();
    let left = engine.inspect(&plan.name).await;
    engine.remove(&plan.name).await.unwrap();
    assert_eq!(error.code(), "gpu_runtime_missing", "{error}");
    assert!(matches!(left, Observation::Created), "{left:?}");
}

#[tokio::test]
async fn a_missing_mount_is_refused_not_made() {
    let Some(engine) = docker::engine().await else { return };
    let shell = docker::shell_image(&engine).await;
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let mut plan = helper(Uuid::now_v7().into(), &shell.id, "exit 0");
    plan.mounts.out = Some(missing.clone());
    let error = engine.create(&plan).await.unwrap_err();
    assert_eq!(error.code(), "refused", "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn an_image_is_loaded_once_and_its_containers_run() {
    let Some(engine) = docker::engine().await else { return };
    // Its own content, so that nobody else's image is touched.
    let name = format!("cyberbrain-test-{}", Uuid::now_v7().simple());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("cat");
    std::fs::copy("/bin/cat", &program).unwrap();
    let mut recipe = Recipe::programs(ImageRef { name: name.clone(), tag: "one".into() }, &[]);
    recipe.executables = vec![Executable { source: program.clone(), target: "/cat".into() }];
    recipe.entrypoint = vec!["/cat".into(), "/etc/passwd".into()];
    recipe.labels.insert("cyberbrain.test".into(), name.clone());
    let image = Arc::new(image::build(&recipe).unwrap());
    let other_tag =
        Recipe { reference: ImageRef { name: name.clone(), tag: "two".into() }, ..recipe.clone() };
    let again = Arc::new(image::build(&other_tag).unwrap());
    let first = engine.load_image(&image).await.unwrap();
    assert_eq!(first, *image.id(), "the engine computes the same ID");
    // What is there already is not sent again: it could not be, any more.
    std::fs::remove_file(&program).unwrap();
    assert_eq!(engine.load_image(&again).await.unwrap(), first);
    let held = engine.images().await.unwrap();
    let held: Vec<_> = held.into_iter().filter(|held| held.id == first.as_str()).collect();
    assert_eq!(held.len(), 1);
    let mut tags = held[0].tags.clone();
    tags.sort();
    let mut expected = vec![image.content_tag(), format!("{name}:one"), format!("{name}:two")];
    expected.sort();
    assert_eq!(tags, expected);

    let mut plan = helper(Uuid::now_v7().into(), &first, "");
    plan.command.clear();
    let (exit, text) = run_to_end(&engine, &plan).await;
    engine.remove_image(first.as_str()).await.unwrap();
    assert_eq!(exit.code, 0, "{text}");
    assert!(text.contains("worker:x:65532:65532"), "{text}");
}

#[tokio::test]
async fn this_executable_becomes_a_worker_image_that_runs() {
    let Some(engine) = docker::engine().await else { return };
    // A test binary is an executable like any other; `--list` makes it end well.
    let name = format!("cyberbrain-test-{}", Uuid::now_v7().simple());
    let mut recipe = Recipe::builtin(&image::running_executable());
    recipe.reference = ImageRef { name, tag: "self".into() };
    recipe.entrypoint = vec!["/cyberbrain".into(), "--list".into()];
    let image = Arc::new(tokio::task::spawn_blocking(move || image::build(&recipe)).await.unwrap().unwrap());
    let id = engine.load_image(&image).await.unwrap();
    let mut plan = helper(Uuid::now_v7().into(), &id, "");
    plan.command.clear();
    let (exit, text) = run_to_end(&engine, &plan).await;
    engine.remove_image(id.as_str()).await.unwrap();
    assert_eq!(exit.code, 0, "{text}");
    assert!(text.contains("this_executable_becomes_a_worker_image_that_runs: test"), "{text}");
}

#[tokio::test]
async fn a_broken_executable_sends_nothing() {
    let Some(engine) = docker::engine().await else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = engine.install_worker_image(file.path()).await.unwrap_err();
    assert_eq!(error.code(), "image", "{error}");
    let error = engine.install_worker_image(Path::new("/nope")).await.unwrap_err();
    assert_eq!(error.code(), "image", "{error}");
}

#[tokio::test]
async fn the_engine_says_who_it_is() {
    let Some(engine) = docker::engine().await else { return };
    let (first, second) = (engine.identify().await.unwrap(), engine.identify().await.unwrap());
    assert_eq!(first, second);
    assert_eq!(first.kind, RuntimeKind::Docker);
    assert!(!first.engine_id.is_empty() && !first.machine_id.is_empty() && !first.boot_id.is_empty());
    assert!(first.cpus > 0 && first.memory_mib > 0);
}

#[tokio::test]
async fn the_inventory_shows_who_names_whom() {
    let Some(engine) = docker::engine().await else { return };
    let shell = docker::shell_image(&engine).await;
    let instance = Uuid::now_v7().into();
    let one = helper(instance, &shell.id, "sleep 600");
    let mut two = helper(instance, &shell.id, "sleep 600");
    two.env.insert("UPSTREAM".into(), format!("http://secret@{}:80/", one.name));
    for plan in [&one, &two] {
        engine.create(plan).await.unwrap();
    }
    engine.start(&one.name).await.unwrap();
    let inventory = engine.inventory().await;
    engine.kill(&one.name).await.unwrap();
    engine.wait(&one.name).await;
    for plan in [&one, &two] {
        engine.remove(&plan.name).await.unwrap();
    }
    let inventory = inventory.unwrap();
    let find = |name: &ContainerName| inventory.iter().find(|c| c.name == name.as_str()).unwrap();
    assert_eq!(find(&one.name).state, ContainerState::Running);
    assert_eq!(find(&one.name).image_id, shell.id.as_str());
    assert!(find(&one.name).references.is_empty());
    let names = find(&two.name);
    assert_eq!((names.state, &names.references), (ContainerState::Created, &vec![one.name.to_string()]));
    assert!(!format!("{names:?}").contains("secret"));
}

#[tokio::test]
async fn a_long_line_comes_in_pieces_and_nothing_is_lost() {
    let Some(engine) = docker::engine().await else { return };
    let shell = docker::shell_image(&engine).await;
    // 50,000 characters without a line break, then an end.
    let script = "n=0; while [ $n -lt 5000 ]; do printf 0123456789; n=$((n+1)); done; echo; echo end";
    let plan = helper(Uuid::now_v7().into(), &shell.id, script);
    engine.create(&plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    let request = LogRequest { source: LogSource::Ours(plan.name.clone()), after: None, follow: Follow::Yes };
    let lines: Vec<_> = tokio::time::timeout(Duration::from_secs(60), engine.logs(request).try_collect())
        .await
        .unwrap()
        .unwrap();
    engine.wait(&plan.name).await;
    engine.remove(&plan.name).await.unwrap();
    let mut joined = Vec::new();
    for line in &lines {
        joined.extend_from_slice(&line.bytes);
        if line.end == cyberbrain_launcher::runtime::LineEnd::Newline {
            joined.push(b'\n');
        }
    }
    assert!(lines.len() > 2, "{}", lines.len());
    assert_eq!(joined, format!("{}\nend\n", "0123456789".repeat(5_000)).as_bytes());
}
