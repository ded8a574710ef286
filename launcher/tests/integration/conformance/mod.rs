//! The rules of `WorkerRuntime`, held against each implementation: the same tests on all of them.

mod stage;

use std::{collections::BTreeSet, time::Duration};

use chrono::Utc;
use cyberbrain_core::staging::{ContainerState, LogStream};
use cyberbrain_launcher::runtime::{
    ContainerName, Effect, Exit, Follow, ImageId, LogRequest, LogSource, Observation, Purpose,
};
use futures::{StreamExt, TryStreamExt, future::join_all};
use tokio::time::Instant;
use uuid::Uuid;

use self::stage::{Does, Stage, adopted};

/// Longest time that anything here may take on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

macro_rules! hold {
    ($backend:ident: $($test:ident),+ $(,)?) => {
        mod $backend {
            use super::stage;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    stage::play(stage::$backend().await, super::$test).await;
                }
            )+
        }
    };
}

macro_rules! hold_everywhere {
    ($($test:ident),+ $(,)?) => {
        hold!(simulated: out_of_memory_is_told, what_can_not_be_executed_is_told, $($test),+);
        hold!(docker: out_of_memory_is_told, what_can_not_be_executed_is_told, $($test),+);
        // A process has no memory limit, and its program is fixed.
        hold!(process: $($test),+);
    };
}

hold_everywhere!(
    a_good_end_has_code_and_times,
    an_exit_code_is_no_error,
    what_ran_is_never_run_again,
    a_created_one_is_not_waited_for,
    a_stale_owner_can_do_nothing_before_the_start,
    a_stale_owner_can_do_nothing_while_it_runs,
    a_name_is_taken_once,
    sigterm_ends_it_with_143,
    ignored_sigterm_ends_it_with_137_after_the_grace,
    kill_ends_it_with_137,
    stopping_what_does_not_run_is_fine,
    logs_are_there_until_the_removal,
    logs_go_on_after_a_given_time,
    ours_are_listed_and_removed,
    plans_and_images_are_checked,
    absent_names_are_not_found,
);

async fn exit_of(stage: &Stage, name: &ContainerName) -> Exit {
    match tokio::time::timeout(LONG, stage.runtime.wait(name)).await.expect("it ends in time") {
        Observation::Exited(exit) => exit,
        other => panic!("{name}: {other:?}"),
    }
}

async fn a_good_end_has_code_and_times(stage: Stage) {
    let before = Utc::now() - Duration::from_secs(1);
    let name = stage.started(Does::ExitWith(0)).await;
    let exit = exit_of(&stage, &name).await;
    assert_eq!((exit.code, exit.oom_killed), (0, false));
    let (started, finished) = (exit.started_at.unwrap(), exit.finished_at.unwrap());
    assert!(before < started && started <= finished, "{before} {started} {finished}");
    assert!(matches!(stage.runtime.inspect(&name).await, Observation::Exited(again) if again == exit));
}

async fn an_exit_code_is_no_error(stage: Stage) {
    let name = stage.started(Does::ExitWith(3)).await;
    assert_eq!(exit_of(&stage, &name).await.code, 3);
}

async fn what_ran_is_never_run_again(stage: Stage) {
    let name = stage.started(Does::RunForLong).await;
    let running = stage.runtime.start(&name).await.unwrap_err();
    assert_eq!((running.code(), running.effect()), ("refused", Effect::None));
    stage.runtime.kill(&name).await.unwrap();
    let exit = exit_of(&stage, &name).await;
    let exited = stage.runtime.start(&name).await.unwrap_err();
    assert_eq!((exited.code(), exited.effect()), ("refused", Effect::None));
    assert!(matches!(stage.runtime.inspect(&name).await, Observation::Exited(same) if same == exit));
}

async fn a_created_one_is_not_waited_for(stage: Stage) {
    let plan = stage.plan(Does::ExitWith(0));
    stage.runtime.create(&plan).await.unwrap();
    assert!(matches!(stage.runtime.inspect(&plan.name).await, Observation::Created));
    let waited = tokio::time::timeout(LONG, stage.runtime.wait(&plan.name)).await.unwrap();
    assert!(matches!(waited, Observation::Created), "{waited:?}");
}

/// Everything an owner can do, under a name that is no longer its container's.
async fn nothing_works(stage: &Stage, stale: &ContainerName) {
    let runtime = &stage.runtime;
    let codes = [
        runtime.start(stale).await.unwrap_err().code(),
        runtime.stop(stale, Duration::from_secs(1)).await.unwrap_err().code(),
        runtime.kill(stale).await.unwrap_err().code(),
        runtime.remove(stale).await.unwrap_err().code(),
        runtime.rename(stale, &adopted(&adopted(&adopted(stale)))).await.unwrap_err().code(),
    ];
    assert_eq!(codes, ["not_found"; 5]);
    assert!(matches!(runtime.inspect(stale).await, Observation::Absent));
    assert!(matches!(runtime.wait(stale).await, Observation::Absent));
}

async fn a_stale_owner_can_do_nothing_before_the_start(stage: Stage) {
    let plan = stage.plan(Does::ExitWith(0));
    stage.runtime.create(&plan).await.unwrap();
    let name = adopted(&plan.name);
    stage.runtime.rename(&plan.name, &name).await.unwrap();
    nothing_works(&stage, &plan.name).await;
    assert!(matches!(stage.runtime.inspect(&name).await, Observation::Created));
    stage.runtime.start(&name).await.unwrap();
    assert_eq!(exit_of(&stage, &name).await.code, 0);
}

async fn a_stale_owner_can_do_nothing_while_it_runs(stage: Stage) {
    let stale = stage.started(Does::RunForLong).await;
    let waiting = {
        let (stage, stale) = (stage.clone(), stale.clone());
        tokio::spawn(async move { stage.runtime.wait(&stale).await })
    };
    let name = adopted(&stale);
    stage.runtime.rename(&stale, &name).await.unwrap();
    nothing_works(&stage, &stale).await;
    assert!(matches!(stage.runtime.inspect(&name).await, Observation::Running { started_at: Some(_) }));
    stage.runtime.kill(&name).await.unwrap();
    assert_eq!(exit_of(&stage, &name).await.code, 137);
    // Who waited under the old name learns that it is not his any more, not how it ended.
    let learnt = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(matches!(learnt, Observation::Absent), "{learnt:?}");
}

async fn a_name_is_taken_once(stage: Stage) {
    let plan = stage.plan(Does::ExitWith(0));
    let made = join_all((0..6).map(|_| stage.runtime.create(&plan))).await;
    let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refusal in refused {
        let error = refusal.unwrap_err();
        assert_eq!((error.code(), error.effect()), ("name_taken", Effect::None), "{error}");
    }
    let other = stage.plan(Does::ExitWith(0));
    stage.runtime.create(&other).await.unwrap();
    assert_eq!(stage.runtime.rename(&other.name, &plan.name).await.unwrap_err().code(), "name_taken");
}

async fn sigterm_ends_it_with_143(stage: Stage) {
    let name = stage.started(Does::RunForLong).await;
    let begun = Instant::now();
    stage.runtime.stop(&name, Duration::from_secs(30)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "the grace was not waited for: {:?}", begun.elapsed());
    assert_eq!(exit_of(&stage, &name).await.code, 143);
}

async fn ignored_sigterm_ends_it_with_137_after_the_grace(stage: Stage) {
    let name = stage.started(Does::IgnoreSigterm).await;
    first_line(&stage, &name).await;
    let grace = Duration::from_secs(2);
    let begun = Instant::now();
    stage.runtime.stop(&name, grace).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= grace - Duration::from_millis(100), "killed too early: {took:?}");
    assert!(took < grace + Duration::from_secs(8), "killed too late: {took:?}");
    assert_eq!(exit_of(&stage, &name).await.code, 137);
}

async fn kill_ends_it_with_137(stage: Stage) {
    let name = stage.started(Does::IgnoreSigterm).await;
    stage.runtime.kill(&name).await.unwrap();
    assert_eq!(exit_of(&stage, &name).await.code, 137);
}

async fn stopping_what_does_not_run_is_fine(stage: Stage) {
    let plan = stage.plan(Does::ExitWith(5));
    stage.runtime.create(&plan).await.unwrap();
    stage.runtime.kill(&plan.name).await.unwrap();
    stage.runtime.start(&plan.name).await.unwrap();
    let exit = exit_of(&stage, &plan.name).await;
    stage.runtime.stop(&plan.name, Duration::from_secs(1)).await.unwrap();
    stage.runtime.kill(&plan.name).await.unwrap();
    assert_eq!(exit_of(&stage, &plan.name).await, exit, "and it changes nothing");
}

async fn out_of_memory_is_told(stage: Stage) {
    let name = stage.started(Does::RunOutOfMemory).await;
    let exit = exit_of(&stage, &name).await;
    assert!(exit.oom_killed, "{exit:?}");
    assert_ne!(exit.code, 0);
}

async fn what_can_not_be_executed_is_told(stage: Stage) {
    let plan = stage.plan(Does::NotExecutable);
    stage.runtime.create(&plan).await.unwrap();
    match stage.runtime.start(&plan.name).await {
        Err(error) => {
            assert_eq!((error.code(), error.effect()), ("entrypoint_invalid", Effect::None), "{error}");
            let left = stage.runtime.inspect(&plan.name).await;
            assert!(matches!(left, Observation::Created), "{left:?}");
        }
        // Where the engine's init starts the program, the start itself goes well.
        Ok(()) => assert_eq!(exit_of(&stage, &plan.name).await.code, 127),
    }
}

fn everything(name: &ContainerName, follow: Follow) -> LogRequest {
    LogRequest { source: LogSource::Ours(name.clone()), after: None, follow }
}

async fn first_line(stage: &Stage, name: &ContainerName) {
    let mut lines = stage.runtime.logs(everything(name, Follow::Yes));
    tokio::time::timeout(LONG, lines.next()).await.unwrap().unwrap().unwrap();
}

async fn logs_are_there_until_the_removal(stage: Stage) {
    let name = stage.started(Does::Log(500)).await;
    let followed = stage.runtime.logs(everything(&name, Follow::Yes)).try_collect::<Vec<_>>();
    let followed = tokio::time::timeout(LONG, followed).await.expect("a followed log ends").unwrap();
    assert_eq!(exit_of(&stage, &name).await.code, 0);
    let read: Vec<_> = stage.runtime.logs(everything(&name, Follow::No)).try_collect().await.unwrap();
    assert_eq!(read, followed, "read afterwards, the same lines");
    let numbers: Vec<_> = read
        .iter()
        .filter(|line| line.stream == LogStream::Stdout)
        .map(|line| String::from_utf8(line.bytes.to_vec()).unwrap())
        .collect();
    assert_eq!(numbers.len(), 500);
    for (index, line) in numbers.iter().enumerate() {
        assert!(line.contains(&format!("line {} of 500", index + 1)), "{line}");
    }
    stage.runtime.remove(&name).await.unwrap();
    let gone = stage.runtime.logs(everything(&name, Follow::No)).next().await.unwrap().unwrap_err();
    assert_eq!(gone.code(), "not_found");
}

async fn logs_go_on_after_a_given_time(stage: Stage) {
    let name = stage.started(Does::Log(20)).await;
    exit_of(&stage, &name).await;
    let all: Vec<_> = stage.runtime.logs(everything(&name, Follow::No)).try_collect().await.unwrap();
    let after = all[9].at;
    let request = LogRequest { after: Some(after), ..everything(&name, Follow::No) };
    let rest: Vec<_> = stage.runtime.logs(request).try_collect().await.unwrap();
    let expected: Vec<_> = all.into_iter().filter(|line| line.at > after).collect();
    assert!(!expected.is_empty() && expected.len() <= 12, "{}", expected.len());
    assert_eq!(rest, expected);
}

async fn ours_are_listed_and_removed(stage: Stage) {
    let created = stage.plan(Does::ExitWith(0));
    let id = stage.runtime.create(&created).await.unwrap();
    let running = stage.started(Does::RunForLong).await;
    let exited = stage.started(Does::ExitWith(0)).await;
    exit_of(&stage, &exited).await;
    let mut others = stage.plan(Does::ExitWith(0));
    others.labels.instance = Uuid::now_v7().into();
    stage.runtime.create(&others).await.unwrap();

    let listed = stage.runtime.list_ours(stage.instance).await.unwrap();
    let seen: BTreeSet<_> = listed.iter().map(|one| (one.name.clone(), one.state)).collect();
    let expected = BTreeSet::from([
        (created.name.clone(), ContainerState::Created),
        (running.clone(), ContainerState::Running),
        (exited.clone(), ContainerState::Exited),
    ]);
    assert_eq!(seen, expected, "ours, all of them, and nobody else's");
    let shown = listed.iter().find(|one| one.name == created.name).unwrap();
    assert_eq!(shown.id, id);
    assert_eq!(shown.labels.as_ref(), Some(&created.labels));
    let Purpose::Worker(labels) = &created.labels.purpose else { panic!("a worker's labels") };
    assert_eq!(shown.name.owner().unwrap().0, labels.attempt_id);
    assert_eq!(shown.image_id, stage.image.as_str());

    let refused = stage.runtime.remove(&running).await.unwrap_err();
    assert_eq!((refused.code(), refused.effect()), ("refused", Effect::None), "{refused}");
    stage.runtime.remove(&created.name).await.unwrap();
    stage.runtime.remove(&exited).await.unwrap();
    stage.runtime.remove(&others.name).await.unwrap();
    assert_eq!(stage.runtime.remove(&exited).await.unwrap_err().code(), "not_found");
    let left = stage.runtime.list_ours(stage.instance).await.unwrap();
    assert_eq!(left.into_iter().map(|one| one.name).collect::<Vec<_>>(), [running]);
}

async fn plans_and_images_are_checked(stage: Stage) {
    let mut root = stage.plan(Does::ExitWith(0));
    root.user.uid = 0;
    assert_eq!(stage.runtime.create(&root).await.unwrap_err().code(), "plan");
    let mut unknown = stage.plan(Does::ExitWith(0));
    unknown.image = ImageId::parse(format!("sha256:{}", "0".repeat(64))).unwrap();
    let error = stage.runtime.create(&unknown).await.unwrap_err();
    assert_eq!((error.code(), error.effect()), ("image_missing", Effect::None), "{error}");
    let images = stage.runtime.images().await.unwrap();
    assert!(images.iter().any(|image| image.id == stage.image.as_str()), "{images:?}");
}

async fn absent_names_are_not_found(stage: Stage) {
    nothing_works(&stage, &stage.plan(Does::ExitWith(0)).name).await;
}
