//! From a plan to the engine's create body: a pure function, and the one place where hardening is written.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use cyberbrain_core::{ids::GpuUuid, spec::Network, text_enum};

use super::super::plan::{Access, ContainerPlan};

const MIB: i64 = 1024 * 1024;
/// The container's own log files: the stream is what counts, they only bridge a launcher's absence.
const LOG_MAX_SIZE: &str = "64m";
const LOG_MAX_FILES: &str = "4";
/// Every engine may give this many: more than its own hard limit is refused where it lacks the privilege to
/// raise it (rootless, nested), and 4096 is the kernel's own default for that limit.
const OPEN_FILES: i64 = 4_096;
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

text_enum! {
    /// How this engine is told which GPUs a container gets.
    GpuInjection("GPU injection") {
        /// Device requests of the NVIDIA driver: needs the NVIDIA container toolkit.
        DeviceRequests = "device-requests",
        /// Container Device Interface names, `nvidia.com/gpu=<uuid>`.
        Cdi = "cdi",
        /// The `nvidia` runtime and its environment variable.
        Env = "env",
        /// The GPUs are simulated: the container gets none, and is told so.
        Simulated = "simulated",
    }
}

/// The create body. The plan has been checked.
pub(super) fn create_body(plan: &ContainerPlan, injection: GpuInjection) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(plan.image.as_str().to_owned()),
        cmd: (!plan.command.is_empty()).then(|| plan.command.clone()),
        env: Some(environment(plan, injection)),
        labels: Some(plan.labels.to_map().into_iter().collect()),
        user: Some(plan.user.to_string()),
        tty: Some(false),
        open_stdin: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: i64::try_from(plan.stop_grace.as_secs()).ok(),
        // A health check of the image would only start processes inside the job's limits.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config(plan, injection)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(plan: &ContainerPlan, injection: GpuInjection) -> HostConfig {
    let memory = i64::from(plan.resources.memory_mib) * MIB;
    HostConfig {
        // Limits. Equal values mean: no swap on top.
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(plan.resources.cpu_millis) * 1_000_000),
        pids_limit: Some(i64::from(plan.resources.pids)),
        shm_size: Some(i64::from(plan.resources.shm_mib) * MIB),
        ulimits: Some(vec![ulimit("nofile", OPEN_FILES), ulimit("core", 0)]),
        // Privileges. Seccomp and AppArmor stay at the engine's default: unset means on.
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmpfs_options(plan))])),
        mounts: Some(mounts(plan)),
        ipc_mode: Some("private".to_owned()),
        network_mode: Some(network_mode(plan.network).to_owned()),
        publish_all_ports: Some(false),
        device_requests: device_requests(plan, injection),
        runtime: (injection == GpuInjection::Env && !plan.gpus.is_empty()).then(|| "nvidia".to_owned()),
        // Life cycle. Without an init, SIGTERM to process 1 would be ignored; with automatic removal, exit
        // code and logs would be lost.
        init: Some(true),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_MAX_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_MAX_FILES.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}

fn environment(plan: &ContainerPlan, injection: GpuInjection) -> Vec<String> {
    let uuids = || plan.gpus.iter().map(GpuUuid::as_str).collect::<Vec<_>>().join(",");
    let visible = match injection {
        _ if plan.gpus.is_empty() => Some("void".to_owned()),
        GpuInjection::Simulated | GpuInjection::Cdi => Some("void".to_owned()),
        GpuInjection::Env => Some(uuids()),
        // The engine sets it from the request.
        GpuInjection::DeviceRequests => None,
    };
    let simulated = (injection == GpuInjection::Simulated && !plan.gpus.is_empty()).then(uuids);
    let ours = [
        visible.map(|value| format!("{VISIBLE_DEVICES}={value}")),
        simulated.map(|value| format!("CYBERBRAIN_SIMULATED_GPUS={value}")),
    ];
    let given = plan.env.iter().map(|(name, value)| format!("{name}={value}"));
    given.chain(ours.into_iter().flatten()).collect()
}

/// By UUID, never by index; never a count beside the ids.
fn device_requests(plan: &ContainerPlan, injection: GpuInjection) -> Option<Vec<DeviceRequest>> {
    if plan.gpus.is_empty() {
        return None;
    }
    let uuids = plan.gpus.iter().map(GpuUuid::as_str);
    match injection {
        GpuInjection::DeviceRequests => Some(vec![DeviceRequest {
            driver: Some("nvidia".to_owned()),
            device_ids: Some(uuids.map(str::to_owned).collect()),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..DeviceRequest::default()
        }]),
        GpuInjection::Cdi => Some(vec![DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(uuids.map(|uuid| format!("nvidia.com/gpu={uuid}")).collect()),
            ..DeviceRequest::default()
        }]),
        GpuInjection::Env | GpuInjection::Simulated => None,
    }
}

/// Mounts, not binds: a missing host path is an error then, instead of a new directory owned by root.
fn mounts(plan: &ContainerPlan) -> Vec<Mount> {
    plan.mounts
        .iter()
        .map(|(host, target, access)| Mount {
            typ: Some(MountType::BIND),
            source: Some(host.to_string_lossy().into_owned()),
            target: Some(target.to_string_lossy().into_owned()),
            read_only: Some(access == Access::ReadOnly),
            bind_options: Some(MountBindOptions {
                propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        })
        .collect()
}

/// What it holds counts against the memory limit anyway; half of it at most.
fn tmpfs_options(plan: &ContainerPlan) -> String {
    format!("rw,noexec,nosuid,nodev,mode=1777,size={}m", (plan.resources.memory_mib / 2).max(1))
}

const fn network_mode(network: Network) -> &'static str {
    match network {
        Network::Bridge => "bridge",
        Network::None => "none",
    }
}

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(limit), hard: Some(limit) }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
