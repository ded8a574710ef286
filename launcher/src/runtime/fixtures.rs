//! A plan that passes every check, for unit tests to change.

use std::{collections::BTreeMap, time::Duration};

use cyberbrain_core::{
    ids::{Fence, GpuUuid},
    spec::{Network, Resources},
};
use uuid::Uuid;

use super::{
    labels::{Labels, Purpose, WorkerLabels},
    name::{ContainerName, ImageId},
    plan::{CacheMount, ContainerPlan, Mounts, User},
};

pub(super) fn plan() -> ContainerPlan {
    let attempt_id = Uuid::from_u128(4).into();
    ContainerPlan {
        name: ContainerName::for_attempt(attempt_id, Fence(3)),
        labels: Labels {
            instance: Uuid::from_u128(1).into(),
            purpose: Purpose::Worker(WorkerLabels {
                run_id: Uuid::from_u128(2).into(),
                run_job_id: Uuid::from_u128(3).into(),
                attempt_id,
                attempt: 1,
                task_key: "log_triage".into(),
            }),
        },
        image: ImageId::of_digest(&"a".repeat(64)),
        command: vec!["log_triage".into()],
        env: BTreeMap::from([("LANG".to_owned(), "C.UTF-8".to_owned())]),
        resources: Resources { cpu_millis: 1_500, memory_mib: 256, shm_mib: 32, pids: 64 },
        gpus: vec![GpuUuid::new("GPU-8f6d")],
        mounts: Mounts {
            out: Some("/data/out".into()),
            input: Some("/data/input".into()),
            uploads: Some("/data/uploads".into()),
            caches: vec![CacheMount { host: "/models".into(), target: "/models".into() }],
            secrets: Vec::new(),
        },
        user: User::NONROOT,
        network: Network::Bridge,
        stop_grace: Duration::from_secs(10),
    }
}
