use super::{super::fixtures::plan, *};

fn refusal(change: impl FnOnce(&mut ContainerPlan)) -> PlanError {
    let mut plan = plan();
    assert_eq!(plan.check(), Ok(()), "the untouched plan passes");
    change(&mut plan);
    plan.check().unwrap_err()
}

#[test]
fn root_is_refused() {
    assert_eq!(refusal(|plan| plan.user.uid = 0), PlanError::RootUser);
}

#[test]
fn a_job_can_not_choose_its_gpus_by_environment() {
    for name in GPU_GRANTS {
        let error = refusal(|plan| {
            plan.env.insert(name.to_owned(), "all".to_owned());
        });
        assert_eq!(error, PlanError::ReservedEnv { name });
    }
    let mut harmless = plan();
    harmless.env.insert("NVIDIA_TF32_OVERRIDE".into(), "0".into());
    assert_eq!(harmless.check(), Ok(()));
}

#[test]
fn malformed_environment_and_commands_are_refused() {
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y")] {
        let error = refusal(|plan| {
            plan.env.insert(name.to_owned(), value.to_owned());
        });
        assert_eq!(error, PlanError::Env { name: name.to_owned() });
    }
    let command = refusal(|plan| {
        plan.command.push("a\0b".into());
    });
    assert_eq!(command, PlanError::Command);
}

#[test]
fn mounts_are_absolute_and_distinct() {
    for bad in ["out", "/a/../etc", "/a/./../b"] {
        let error = refusal(|plan| plan.mounts.out = Some(bad.into()));
        assert_eq!(error, PlanError::MountPath { path: bad.into() });
    }
    let twice = refusal(|plan| {
        plan.mounts.caches.push(CacheMount { host: "/models".into(), target: "/logs".into() });
    });
    assert_eq!(twice, PlanError::MountTwice { path: "/logs".into() });
    let root =
        refusal(|plan| plan.mounts.caches.push(CacheMount { host: "/models".into(), target: "/".into() }));
    assert_eq!(root, PlanError::MountPath { path: "/".into() });
}

#[test]
fn limits_are_never_absent() {
    let what = |error| match error {
        PlanError::Limit { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(refusal(|plan| plan.resources.cpu_millis = 0)), "cpu_millis");
    assert_eq!(what(refusal(|plan| plan.resources.memory_mib = 5)), "memory_mib");
    assert_eq!(what(refusal(|plan| plan.resources.shm_mib = 0)), "shm_mib");
    assert_eq!(what(refusal(|plan| plan.resources.pids = 0)), "pids");
    assert_eq!(what(refusal(|plan| plan.stop_grace = Duration::from_secs(3_601))), "stop_grace_seconds");
}

#[test]
fn gpus_are_named_one_by_one() {
    for word in ["all", "none", "void", "0", "GPU-1,GPU-2", ""] {
        let error = refusal(|plan| plan.gpus = vec![GpuUuid::new(word)]);
        assert_eq!(error, PlanError::GpuUuid { text: word.to_owned() });
    }
    let uuid = GpuUuid::new("GPU-1");
    let error = refusal(|plan| plan.gpus = vec![uuid.clone(), uuid.clone()]);
    assert_eq!(error, PlanError::GpuTwice { uuid });
}
