use super::{super::super::fixtures::plan, *};

fn host(plan: &ContainerPlan) -> HostConfig {
    create_body(plan, GpuInjection::DeviceRequests).host_config.unwrap()
}

fn env(plan: &ContainerPlan, injection: GpuInjection) -> Vec<String> {
    create_body(plan, injection).env.unwrap()
}

#[test]
fn every_limit_is_set() {
    let host = host(&plan());
    assert_eq!(host.memory, Some(256 * MIB));
    assert_eq!(host.memory_swap, host.memory, "no swap on top");
    assert_eq!(host.nano_cpus, Some(1_500_000_000));
    assert_eq!(host.pids_limit, Some(64));
    assert_eq!(host.shm_size, Some(32 * MIB));
    let limits: Vec<_> = host
        .ulimits
        .unwrap()
        .into_iter()
        .map(|u| (u.name.unwrap(), u.soft.unwrap(), u.hard.unwrap()))
        .collect();
    assert_eq!(limits, [("nofile".to_owned(), 4_096, 4_096), ("core".to_owned(), 0, 0)]);
}

#[test]
fn every_privilege_is_dropped() {
    let host = host(&plan());
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.cap_drop, Some(vec!["ALL".into()]));
    assert_eq!(host.cap_add, None);
    assert_eq!(
        host.security_opt,
        Some(vec!["no-new-privileges".into()]),
        "seccomp stays the engine's default"
    );
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.ipc_mode.as_deref(), Some("private"));
    assert_eq!(host.pid_mode, None);
    assert_eq!(host.uts_mode, None);
    assert_eq!(host.userns_mode, None);
    assert_eq!(host.devices, None);
    assert_eq!(host.binds, None);
    assert_eq!(host.volumes_from, None);
    assert_eq!(host.port_bindings, None);
    assert_eq!(host.publish_all_ports, Some(false));
    assert_eq!(
        host.tmpfs.unwrap(),
        HashMap::from([("/tmp".to_owned(), "rw,noexec,nosuid,nodev,mode=1777,size=128m".to_owned())])
    );
    assert_eq!(create_body(&plan(), GpuInjection::DeviceRequests).user.as_deref(), Some("65532:65532"));
}

#[test]
fn the_life_cycle_stays_ours() {
    let body = create_body(&plan(), GpuInjection::DeviceRequests);
    assert_eq!(body.stop_signal.as_deref(), Some("SIGTERM"));
    assert_eq!(body.stop_timeout, Some(10));
    assert_eq!(body.healthcheck.unwrap().test, Some(vec!["NONE".into()]));
    assert_eq!(body.tty, Some(false));
    assert_eq!(body.open_stdin, Some(false));
    assert_eq!(body.entrypoint, None, "the image's own");
    let host = body.host_config.unwrap();
    assert_eq!(host.init, Some(true));
    assert_eq!(host.auto_remove, Some(false));
    assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    let log = host.log_config.unwrap();
    assert_eq!(log.typ.as_deref(), Some("json-file"));
    assert_eq!(
        log.config.unwrap(),
        HashMap::from([("max-size".into(), "64m".into()), ("max-file".into(), "4".into())])
    );
}

#[test]
fn mounts_are_exactly_the_plans() {
    let mounts = host(&plan()).mounts.unwrap();
    let seen: Vec<_> = mounts
        .iter()
        .map(|m| (m.source.as_deref().unwrap(), m.target.as_deref().unwrap(), m.read_only.unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("/data/out", "/logs", false),
            ("/data/input", "/input", true),
            ("/data/uploads", "/uploads", true),
            ("/models", "/models", true),
        ]
    );
    for mount in &mounts {
        assert_eq!(mount.typ, Some(MountType::BIND));
        let options = mount.bind_options.as_ref().unwrap();
        assert_eq!(options.propagation, Some(MountBindOptionsPropagationEnum::RPRIVATE));
        assert_eq!(options.create_mountpoint, None);
    }
}

#[test]
fn network_is_the_plans() {
    let mut plan = plan();
    for (network, mode) in [(Network::Bridge, "bridge"), (Network::None, "none")] {
        plan.network = network;
        assert_eq!(host(&plan).network_mode.as_deref(), Some(mode));
    }
}

#[test]
fn gpus_go_by_uuid_in_the_way_the_engine_understands() {
    let plan = plan();
    let requests = |injection| create_body(&plan, injection).host_config.unwrap().device_requests;
    let visible = |injection| env(&plan, injection).into_iter().find(|e| e.starts_with(VISIBLE_DEVICES));

    let nvidia = requests(GpuInjection::DeviceRequests).unwrap();
    assert_eq!(nvidia.len(), 1);
    assert_eq!(nvidia[0].driver.as_deref(), Some("nvidia"));
    assert_eq!(nvidia[0].device_ids, Some(vec!["GPU-8f6d".into()]));
    assert_eq!(nvidia[0].count, None, "never both");
    assert_eq!(nvidia[0].capabilities, Some(vec![vec!["gpu".into()]]));
    assert_eq!(visible(GpuInjection::DeviceRequests), None, "the engine sets it");

    let cdi = requests(GpuInjection::Cdi).unwrap();
    assert_eq!(cdi[0].driver.as_deref(), Some("cdi"));
    assert_eq!(cdi[0].device_ids, Some(vec!["nvidia.com/gpu=GPU-8f6d".into()]));
    assert_eq!(
        visible(GpuInjection::Cdi).unwrap(),
        "NVIDIA_VISIBLE_DEVICES=void",
        "the hook stays out of it"
    );

    assert_eq!(requests(GpuInjection::Env), None);
    assert_eq!(visible(GpuInjection::Env).unwrap(), "NVIDIA_VISIBLE_DEVICES=GPU-8f6d");
    let body = create_body(&plan, GpuInjection::Env);
    assert_eq!(body.host_config.unwrap().runtime.as_deref(), Some("nvidia"));

    assert_eq!(requests(GpuInjection::Simulated), None);
    assert_eq!(visible(GpuInjection::Simulated).unwrap(), "NVIDIA_VISIBLE_DEVICES=void");
    assert!(env(&plan, GpuInjection::Simulated).contains(&"CYBERBRAIN_SIMULATED_GPUS=GPU-8f6d".to_owned()));
}

#[test]
fn a_cpu_job_sees_no_gpu_whatever_the_engine() {
    let mut plan = plan();
    plan.gpus.clear();
    for &injection in GpuInjection::ALL {
        let body = create_body(&plan, injection);
        assert_eq!(body.env.unwrap(), ["LANG=C.UTF-8", "NVIDIA_VISIBLE_DEVICES=void"], "{injection}");
        let host = body.host_config.unwrap();
        assert_eq!(host.device_requests, None, "{injection}");
        assert_eq!(host.runtime, None, "{injection}");
    }
}

#[test]
fn image_command_and_labels_are_the_plans() {
    let mut plan = plan();
    let body = create_body(&plan, GpuInjection::DeviceRequests);
    assert_eq!(body.image.as_deref(), Some(plan.image.as_str()));
    assert_eq!(body.cmd, Some(vec!["log_triage".into()]));
    assert_eq!(body.labels.unwrap(), plan.labels.to_map().into_iter().collect());
    plan.command.clear();
    assert_eq!(create_body(&plan, GpuInjection::DeviceRequests).cmd, None, "the image's own");
}
