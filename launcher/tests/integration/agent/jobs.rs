//! A job that is a shell's command, for tests to change.

use std::collections::BTreeMap;

use cyberbrain_core::spec::{
    GpuRequest, ImageRef, JobSpec, Network, OnHostLost, Resources, RetryPolicy, Timeouts,
};

pub fn spec() -> JobSpec {
    JobSpec {
        task_key: "custom_job".into(),
        image: ImageRef { name: "shell".into(), tag: "test".into() },
        command: Vec::new(),
        env: BTreeMap::new(),
        resources: Resources { cpu_millis: 100, memory_mib: 32, shm_mib: 8, pids: 32 },
        gpu: GpuRequest::none(),
        timeouts: Timeouts { stop_grace_seconds: 2, ..Timeouts::default() },
        retry: RetryPolicy { max_attempts: 1, max_infra_failures: 0, backoff_seconds: 1 },
        network: Network::None,
        on_host_lost: OnHostLost::Replace,
        host: None,
        output: None,
        secrets: Vec::new(),
        caches: Vec::new(),
        pull: cyberbrain_core::grant::PullPolicy::default(),
    }
}

/// Leaves a result that is taken.
pub const GOOD: &str = r#"printf '{"kind":"custom","values":{"answer":42}}' > /logs/result.json"#;
