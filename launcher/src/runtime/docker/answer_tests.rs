use cyberbrain_core::lifecycle::FailureKind;

use super::{super::super::error::Effect, *};

fn asked(call: EngineCall) -> Asked<'static> {
    Asked { call, subject: "cb-1" }
}

fn server(call: EngineCall, status_code: u16, message: &str) -> Error {
    asked(call).error(Bollard::DockerResponseServerError { status_code, message: message.to_owned() })
}

#[test]
fn statuses_are_sorted_by_call() {
    use EngineCall::{Create, Inspect, Kill, Remove, Rename, Start};
    let no_driver = r#"could not select device driver "nvidia" with capabilities: [[gpu]]"#;
    let cli = "OCI runtime create failed: ... nvidia-container-cli: initialization error";
    let table: &[(EngineCall, u16, &str, &str)] = &[
        (Create, 404, "No such image: sha256:aa", "image_missing"),
        (Create, 409, "Conflict. The container name is already in use", "name_taken"),
        (Create, 400, "invalid mount config", "refused"),
        (Create, 400, "unknown or invalid runtime name: nvidia", "gpu_runtime_missing"),
        (Create, 500, "disk full", "engine"),
        (Rename, 404, "No such container", "not_found"),
        (Rename, 409, "Conflict", "name_taken"),
        (Start, 404, "No such container", "not_found"),
        (Start, 400, "exec: \"/nope\": no such file", "entrypoint_invalid"),
        (Start, 400, "error mounting \"/gone\" to rootfs at \"/logs\": no such file", "engine"),
        (Start, 500, no_driver, "gpu_runtime_missing"),
        (Start, 500, cli, "gpu_runtime_missing"),
        (Start, 500, "failed to create shim", "engine"),
        (Remove, 409, "You cannot remove a running container", "refused"),
        (Kill, 409, "is not running", "refused"),
        (Inspect, 500, no_driver, "engine"),
        (Inspect, 503, "busy", "engine"),
    ];
    for (call, status, message, code) in table {
        assert_eq!(server(*call, *status, message).code(), *code, "{call} {status} {message}");
    }
}

#[test]
fn only_a_clear_no_is_certainly_without_effect() {
    assert_eq!(server(EngineCall::Create, 409, "x").effect(), Effect::None);
    assert_eq!(server(EngineCall::Create, 500, "x").effect(), Effect::Unknown);
    assert_eq!(asked(EngineCall::Create).timeout(Duration::from_secs(1)).effect(), Effect::Unknown);
    let broken =
        asked(EngineCall::Start).error(Bollard::IOError { err: std::io::ErrorKind::BrokenPipe.into() });
    assert_eq!(broken.code(), "unreachable");
    assert_eq!(broken.effect(), Effect::Unknown);
    assert_eq!(broken.failure(), FailureKind::EngineError);
}

fn state(status: ContainerStateStatusEnum) -> EngineState {
    EngineState {
        status: Some(status),
        exit_code: Some(0),
        oom_killed: Some(false),
        started_at: Some(NEVER.to_owned()),
        finished_at: Some(NEVER.to_owned()),
        ..EngineState::default()
    }
}

#[test]
fn states_are_closed() {
    use ContainerStateStatusEnum::{
        CREATED, DEAD, EMPTY, EXITED, PAUSED, REMOVING, RESTARTING, RUNNING, STOPPING,
    };
    let word = |status| match observation(asked(EngineCall::Inspect), Some(&state(status))) {
        Observation::Absent => "absent",
        Observation::Created => "created",
        Observation::Running { started_at: None } => "running",
        Observation::Running { started_at: Some(_) } => "running since",
        Observation::Exited(_) => "exited",
        Observation::Unknown(_) => "unknown",
    };
    let table = [
        (CREATED, "created"),
        (RUNNING, "running"),
        (PAUSED, "running"),
        (STOPPING, "running"),
        (RESTARTING, "running"),
        (EXITED, "exited"),
        (DEAD, "exited"),
        (REMOVING, "unknown"),
        (EMPTY, "unknown"),
    ];
    for (status, expected) in table {
        assert_eq!(word(status), expected, "{status}");
    }
    assert!(matches!(observation(asked(EngineCall::Inspect), None), Observation::Unknown(_)));
}

#[test]
fn an_exit_carries_code_oom_and_times() {
    let state = EngineState {
        exit_code: Some(3),
        oom_killed: Some(true),
        started_at: Some("2026-01-02T03:04:05.000000006Z".to_owned()),
        finished_at: Some("2026-01-02T03:04:06Z".to_owned()),
        ..state(ContainerStateStatusEnum::EXITED)
    };
    let Observation::Exited(exit) = observation(asked(EngineCall::Inspect), Some(&state)) else { panic!() };
    assert_eq!(
        (exit.code, exit.oom_killed),
        (3, true),
        "a killed child shows beside the main process's code"
    );
    assert_eq!(exit.started_at.unwrap().timestamp_subsec_nanos(), 6);
    assert_eq!((exit.finished_at.unwrap() - exit.started_at.unwrap()).num_milliseconds(), 999);
    let without = EngineState { exit_code: None, ..state };
    assert!(matches!(observation(asked(EngineCall::Inspect), Some(&without)), Observation::Unknown(_)));
}
