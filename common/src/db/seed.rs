//! What a new installation starts with: directives D1–D4, the three built-in jobs, and the built-in worker image.
//!
//! Idempotent, and never overwrites an edit: a row that exists under its name is left alone.

use cyberbrain_core::{
    ids::{DirectiveId, JobId},
    job_kind::JobKind,
    spec::{
        DirectiveType, GpuRequest, ImageRef, JobScope, JobSpec, Network, OnHostLost, Resources, RetryPolicy,
        Timeouts,
    },
};
use uuid::Uuid;

use super::{Conn, Error};
use crate::ids::fresh;

struct DirectiveSeed {
    kind: DirectiveType,
    name: &'static str,
    description: &'static str,
    text: &'static str,
    jobs: &'static [&'static str],
}

const DIRECTIVES: [DirectiveSeed; 4] = [
    DirectiveSeed {
        kind: DirectiveType::D1,
        name: "Log triage",
        description: "Find what is wrong in the logs of the allow-listed containers",
        text: include_str!("seed_texts/d1_log_triage.md"),
        jobs: &[JobKind::LogTriage.as_str()],
    },
    DirectiveSeed {
        kind: DirectiveType::D2,
        name: "GPU report",
        description: "Report how the GPUs were used",
        text: include_str!("seed_texts/d2_gpu_report.md"),
        jobs: &[JobKind::GpuReport.as_str()],
    },
    DirectiveSeed {
        kind: DirectiveType::D3,
        name: "Service map",
        description: "Map the services of each host and how they are connected",
        text: include_str!("seed_texts/d3_service_map.md"),
        jobs: &[JobKind::ServiceMap.as_str()],
    },
    DirectiveSeed {
        kind: DirectiveType::D4,
        name: "Custom",
        description: "Run any allow-listed worker image",
        text: include_str!("seed_texts/d4_custom.md"),
        jobs: &[],
    },
];

struct JobSeed {
    key: &'static str,
    alias: &'static str,
    name: &'static str,
    description: &'static str,
    directive: DirectiveType,
    scope: JobScope,
    /// Subcommand of `cyberbrain worker`.
    command: &'static str,
    run_seconds: u32,
    network: Network,
}

const JOBS: [JobSeed; 3] = [
    JobSeed {
        key: JobKind::LogTriage.as_str(),
        alias: "task1",
        name: "Log triage",
        description: "Severities, message templates, stack traces and what is new in the logs of a host",
        directive: DirectiveType::D1,
        scope: JobScope::PerHost,
        command: "log-triage",
        run_seconds: 1_800,
        // It asks language models through the launcher's gateway, where there are any.
        network: Network::Bridge,
    },
    JobSeed {
        key: JobKind::GpuReport.as_str(),
        alias: "task2",
        name: "GPU report",
        description: "Use of the GPUs over the window, from the kept samples",
        directive: DirectiveType::D2,
        scope: JobScope::One,
        command: "gpu-report",
        run_seconds: 600,
        // It reads staged files only.
        network: Network::None,
    },
    JobSeed {
        key: JobKind::ServiceMap.as_str(),
        alias: "task3",
        name: "Service map",
        description: "Services of a host and how they are connected, from the container inventory",
        directive: DirectiveType::D3,
        scope: JobScope::PerHost,
        command: "service-map",
        run_seconds: 600,
        // It reads staged files only.
        network: Network::None,
    },
];

impl JobSeed {
    fn spec(&self) -> JobSpec {
        JobSpec {
            task_key: self.key.to_owned(),
            image: ImageRef::builtin(),
            command: vec![self.command.to_owned()],
            env: std::collections::BTreeMap::new(),
            resources: Resources::default(),
            gpu: GpuRequest::none(),
            timeouts: Timeouts { run_seconds: self.run_seconds, ..Timeouts::default() },
            retry: RetryPolicy::default(),
            network: self.network,
            on_host_lost: OnHostLost::Replace,
            host: None,
            output: None,
            secrets: Vec::new(),
            caches: Vec::new(),
            pull: cyberbrain_core::grant::PullPolicy::default(),
        }
    }
}

/// Inserts what is missing.
pub(super) async fn plant(connection: &mut Conn) -> Result<(), Error> {
    for seed in &DIRECTIVES {
        let jobs: Vec<String> = seed.jobs.iter().map(|&key| key.to_owned()).collect();
        sqlx::query!(
            "insert into directives (id, directive_type, name, version, description, directive_text, task_list, builtin)
             select $1, $2, $3, 1, $4, $5, $6, true
             where not exists (select 1 from directives where name = $3 or (builtin and directive_type = $2))
             on conflict (name, version) do nothing",
            fresh::<DirectiveId>().uuid(),
            seed.kind.as_str(),
            seed.name,
            seed.description,
            seed.text.trim_end(),
            &jobs,
        )
        .execute(&mut *connection)
        .await?;
    }
    for seed in &JOBS {
        let spec =
            serde_json::to_value(seed.spec()).expect("a job specification serializes: all keys are text");
        sqlx::query!(
            "insert into jobs (id, task_key, aliases, name, description, scope, default_directive, spec, builtin)
             values ($1, $2, $3, $4, $5, $6, $7, $8, true) on conflict (task_key) do nothing",
            fresh::<JobId>().uuid(),
            seed.key,
            &[seed.alias.to_owned()],
            seed.name,
            seed.description,
            seed.scope.as_str(),
            seed.directive.as_str(),
            spec,
        )
        .execute(&mut *connection)
        .await?;
    }
    let image = ImageRef::builtin();
    sqlx::query!(
        "insert into worker_image_allowlist (id, name, tag, description, builtin)
         values ($1, $2, $3, 'The jobs that come with Cyberbrain', true) on conflict (name, tag) do nothing",
        fresh::<Uuid>(),
        image.name,
        image.tag,
    )
    .execute(connection)
    .await?;
    Ok(())
}
