//! What only a simulated engine has: faults to order, outputs, and thousands of containers.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use cyberbrain_core::{
    ids::{AttemptId, Fence, InstanceId},
    spec::{Network, Resources},
};
use cyberbrain_launcher::runtime::{
    ContainerName, ContainerPlan, Effect, EngineCall, Fault, FaultEffect, Labels, Mounts, Observation,
    OutputFile, Purpose, SimulatedOptions, SimulatedRuntime, User, WorkerLabels, WorkerRuntime,
};
use futures::{StreamExt, stream};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);

async fn engine() -> Arc<SimulatedRuntime> {
    engine_with(SimulatedOptions::named("test")).await
}

async fn engine_with(options: SimulatedOptions) -> Arc<SimulatedRuntime> {
    let engine = Arc::new(SimulatedRuntime::new(options));
    engine.install_worker_image(Path::new("")).await.unwrap();
    engine
}

fn plan(instance: InstanceId, behaviour: &str) -> ContainerPlan {
    let attempt_id = AttemptId::from(Uuid::now_v7());
    ContainerPlan {
        name: ContainerName::for_attempt(attempt_id, Fence::FIRST),
        labels: Labels {
            instance,
            purpose: Purpose::Worker(WorkerLabels {
                run_id: Uuid::now_v7().into(),
                run_job_id: Uuid::now_v7().into(),
                attempt_id,
                attempt: 1,
                task_key: "simulated".into(),
            }),
        },
        image: SimulatedRuntime::builtin_image(),
        command: Vec::new(),
        env: BTreeMap::from([("CYBERBRAIN_SIMULATE".to_owned(), behaviour.to_owned())]),
        resources: Resources::default(),
        gpus: Vec::new(),
        mounts: Mounts::default(),
        user: User::NONROOT,
        network: Network::None,
        stop_grace: Duration::from_secs(1),
    }
}

async fn started(engine: &SimulatedRuntime, behaviour: &str) -> ContainerName {
    let plan = plan(Uuid::now_v7().into(), behaviour);
    engine.create(&plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    plan.name
}

#[tokio::test]
async fn an_answer_can_be_lost_with_or_without_its_effect() {
    let engine = engine().await;
    let plan = plan(Uuid::now_v7().into(), "");
    engine.faults().fail_next(EngineCall::Create, Fault::Timeout, FaultEffect::None);
    engine.faults().fail_next(EngineCall::Create, Fault::Unreachable, FaultEffect::Done);
    let first = engine.create(&plan).await.unwrap_err();
    assert_eq!((first.code(), first.effect()), ("timeout", Effect::Unknown));
    assert!(matches!(engine.inspect(&plan.name).await, Observation::Absent));
    let second = engine.create(&plan).await.unwrap_err();
    assert_eq!((second.code(), second.effect()), ("unreachable", Effect::Unknown));
    assert!(matches!(engine.inspect(&plan.name).await, Observation::Created), "it happened nevertheless");
    assert_eq!(engine.create(&plan).await.unwrap_err().code(), "name_taken", "and the orders are used up");
}

#[tokio::test]
async fn every_fault_can_be_ordered() {
    let engine = engine().await;
    for (fault, code) in [
        (Fault::Timeout, "timeout"),
        (Fault::Unreachable, "unreachable"),
        (Fault::Engine { status: 500 }, "engine"),
        (Fault::ImageMissing, "image_missing"),
        (Fault::GpuRuntimeMissing, "gpu_runtime_missing"),
        (Fault::EntrypointInvalid, "entrypoint_invalid"),
    ] {
        let plan = plan(Uuid::now_v7().into(), "run_ms=1");
        engine.create(&plan).await.unwrap();
        engine.faults().fail_next(EngineCall::Start, fault, FaultEffect::None);
        assert_eq!(engine.start(&plan.name).await.unwrap_err().code(), code);
        engine.start(&plan.name).await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_line_breaks_waits_and_is_mended() {
    let engine = engine().await;
    let name = started(&engine, "run_ms=600000").await;
    let waiting = {
        let (engine, name) = (Arc::clone(&engine), name.clone());
        tokio::spawn(async move { engine.wait(&name).await })
    };
    engine.faults().cut();
    let broken = timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(matches!(broken, Observation::Unknown(_)), "{broken:?}");
    assert!(matches!(engine.inspect(&name).await, Observation::Unknown(_)));
    assert_eq!(engine.identify().await.unwrap_err().code(), "unreachable");
    engine.faults().mend();
    assert!(matches!(engine.inspect(&name).await, Observation::Running { .. }), "it ran on");
}

#[tokio::test]
async fn a_slow_engine_is_slow() {
    let engine = engine().await;
    let delay = Duration::from_millis(200);
    engine.faults().delay(EngineCall::List, delay);
    let begun = Instant::now();
    engine.list_ours(Uuid::now_v7().into()).await.unwrap();
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn containers_vanish_and_engines_restart() {
    let engine = engine().await;
    let (one, two) = (started(&engine, "run_ms=600000").await, started(&engine, "run_ms=600000").await);
    engine.vanish(&one);
    assert!(matches!(timeout(LONG, engine.wait(&one)).await.unwrap(), Observation::Absent));
    let before = engine.identify().await.unwrap();
    engine.restart_engine();
    let Observation::Exited(exit) = timeout(LONG, engine.wait(&two)).await.unwrap() else { panic!() };
    assert_eq!(exit.code, 137);
    assert_eq!(engine.identify().await.unwrap(), before, "the same engine, the same boot");
    engine.reboot();
    let after = engine.identify().await.unwrap();
    assert_eq!((&after.engine_id, after.boot_id == before.boot_id), (&before.engine_id, false));
}

#[tokio::test]
async fn a_success_leaves_its_outputs_and_a_failure_none() {
    let mut options = SimulatedOptions::named("outputs");
    options.outputs = Some(Arc::new(|plan| {
        vec![OutputFile { name: "result.json".into(), bytes: plan.name.as_str().as_bytes().to_vec() }]
    }));
    let engine = engine_with(options).await;
    for (behaviour, leaves) in [("run_ms=1", true), ("run_ms=1,exit=3", false)] {
        let out = tempfile::tempdir().unwrap();
        let mut plan = plan(Uuid::now_v7().into(), behaviour);
        plan.mounts.out = Some(out.path().to_owned());
        engine.create(&plan).await.unwrap();
        engine.start(&plan.name).await.unwrap();
        let ended = timeout(LONG, engine.wait(&plan.name)).await.unwrap();
        assert!(matches!(ended, Observation::Exited(_)), "{ended:?}");
        let left = std::fs::read_to_string(out.path().join("result.json")).ok();
        assert_eq!(left, leaves.then(|| plan.name.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_engines_run_five_thousand_containers() {
    let instance = InstanceId::from(Uuid::now_v7());
    let engines: Vec<_> = stream::iter(0..50)
        .then(|number| engine_with(SimulatedOptions::named(format!("host-{number}"))))
        .collect()
        .await;
    let begun = Instant::now();
    let ended = stream::iter(0..5_000_usize)
        .map(|number| {
            let engine = Arc::clone(&engines[number % engines.len()]);
            async move {
                let plan = plan(instance, "");
                engine.create(&plan).await.unwrap();
                engine.start(&plan.name).await.unwrap();
                let Observation::Exited(exit) = engine.wait(&plan.name).await else { panic!() };
                engine.remove(&plan.name).await.unwrap();
                exit.code
            }
        })
        .buffer_unordered(2_000)
        .collect::<Vec<_>>();
    let ended = timeout(LONG, ended).await.expect("5,000 containers of at most 500 ms, 2,000 at a time");
    assert_eq!(ended.iter().filter(|code| **code == 0).count(), 5_000);
    eprintln!("5,000 simulated containers took {:?}", begun.elapsed());
    for engine in engines {
        assert!(engine.list_ours(instance).await.unwrap().is_empty());
    }
}
