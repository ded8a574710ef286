//! From what a client says to a job's specification, with everything that is wrong on the way. Pure.

use std::collections::BTreeMap;

use cyberbrain_core::{
    grant::{CacheRef, SecretRef, is_free_target, is_plain_name},
    outcome::{MAX_CUSTOM_VALUES, OutputSchema, ValueRule},
    spec::{GpuRequest, ImageRef, JobScope, JobSpec, Network, OnHostLost, Resources, RetryPolicy, Timeouts},
};

use super::request::{CacheWish, JobSettings, ResourceSettings, RetrySettings, SecretWish, TimeoutSettings};
use crate::{
    db::library::AllowedImage,
    launch::{
        check::{check_gpu, check_line, check_range, check_stored},
        gpu::resolve,
        limit as launch_limit,
        problem::{Pointer, Problems},
    },
    library::check::limit,
};

/// The specification of a new job, before its settings.
pub(super) fn blank(task_key: &str) -> JobSpec {
    JobSpec {
        task_key: task_key.to_owned(),
        image: ImageRef { name: String::new(), tag: String::new() },
        command: Vec::new(),
        env: BTreeMap::new(),
        resources: Resources::default(),
        gpu: GpuRequest::none(),
        timeouts: Timeouts::default(),
        retry: RetryPolicy::default(),
        network: Network::Bridge,
        on_host_lost: OnHostLost::Replace,
        host: None,
        output: None,
        secrets: Vec::new(),
        caches: Vec::new(),
        pull: cyberbrain_core::grant::PullPolicy::default(),
    }
}

/// `spec` with these settings.
pub(super) fn apply(
    settings: &JobSettings,
    spec: &JobSpec,
    at: &Pointer<'_>,
    problems: &mut Problems,
) -> JobSpec {
    let mut spec = spec.clone();
    if let Some(image) = &settings.image {
        match image.parse::<ImageRef>() {
            Ok(image) => spec.image = image,
            Err(error) => problems.add(&at.key("image"), error.to_string()),
        }
    }
    if let Some(command) = &settings.command {
        check_command(command, &at.key("command"), problems);
        spec.command.clone_from(command);
    }
    if let Some(env) = &settings.env {
        set_env(env, &mut spec.env, &at.key("env"), problems);
    }
    if let Some(resources) = &settings.resources {
        spec.resources = set_resources(*resources, spec.resources, &at.key("resources"), problems);
    }
    if let Some(gpu) = &settings.gpu {
        check_gpu(gpu, &at.key("gpu"), problems);
        spec.gpu = resolve(&GpuRequest::none(), &AllowedImage::undemanding(&spec.image), Some(gpu));
    }
    if let Some(timeouts) = &settings.timeouts {
        spec.timeouts = set_timeouts(*timeouts, spec.timeouts, &at.key("timeouts"), problems);
    }
    if let Some(retry) = &settings.retry {
        spec.retry = set_retry(*retry, spec.retry, &at.key("retry"), problems);
    }
    if let Some(host) = &settings.host {
        if let Some(host) = host {
            check_line(host, limit::HOST_CHARACTERS, &at.key("host"), problems);
        }
        spec.host.clone_from(host);
    }
    if let Some(output) = &settings.output {
        if let Some(schema) = output {
            check_output(schema, &at.key("output"), problems);
        }
        spec.output.clone_from(output);
    }
    if let Some(secrets) = &settings.secrets {
        spec.secrets = set_secrets(secrets, &at.key("secrets"), problems);
    }
    if let Some(caches) = &settings.caches {
        spec.caches = set_caches(caches, &at.key("caches"), problems);
    }
    check_variables(&spec, &at.key("secrets"), problems);
    spec.pull = settings.pull.unwrap_or(spec.pull);
    spec.network = settings.network.unwrap_or(spec.network);
    spec.on_host_lost = settings.on_host_lost.unwrap_or(spec.on_host_lost);
    spec
}

/// A job for every host is pinned when a Run is admitted.
pub(super) fn check_scope(scope: JobScope, spec: &JobSpec, at: &Pointer<'_>, problems: &mut Problems) {
    match scope {
        JobScope::PerHost if spec.host.is_some() => {
            problems.add(&at.key("host"), "a job with the scope per_host runs on every host; leave it out");
        }
        JobScope::PerHost | JobScope::One => {}
    }
}

/// A schema that no result can break the limits of.
fn check_output(schema: &OutputSchema, at: &Pointer<'_>, problems: &mut Problems) {
    if schema.0.len() > MAX_CUSTOM_VALUES {
        problems.add(at, format!("there are {} values; {MAX_CUSTOM_VALUES} at most", schema.0.len()));
        return;
    }
    for (name, rule) in &schema.0 {
        let fits = name.len() <= limit::VALUE_NAME_BYTES
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !fits {
            problems.add(
                at,
                format!("{name:?} is no name of a value: a to z, 0 to 9 and _, 64 at most, a letter first"),
            );
            continue;
        }
        let at = at.key(name);
        match rule {
            ValueRule::Integer { least: Some(least), most: Some(most) } if least > most => {
                problems.add(&at.key("least"), "it is more than most");
            }
            ValueRule::Name { one_of } => check_one_of(one_of, &at.key("one_of"), problems),
            ValueRule::Bool {} | ValueRule::Integer { .. } | ValueRule::Number {} => {}
        }
    }
}

/// Names as a result may hold them.
fn check_one_of(names: &[String], at: &Pointer<'_>, problems: &mut Problems) {
    if !(1..=limit::VALUE_NAMES).contains(&names.len()) {
        problems.add(at, format!("there are 1 to {} names", limit::VALUE_NAMES));
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let fits = (1..=limit::VALUE_NAME_BYTES).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c));
        if !fits {
            problems.add(&at.index(index), "it is no name: 1 to 64 letters, digits and _ - . : /");
        }
    }
}

const NO_NAME: &str = "it is no plain name: letters, digits and . _ -, 64 at most, a letter or digit first";

fn set_secrets(wishes: &[SecretWish], at: &Pointer<'_>, problems: &mut Problems) -> Vec<SecretRef> {
    if wishes.len() > limit::GRANTS {
        problems.add(at, format!("there are {} secrets; {} at most", wishes.len(), limit::GRANTS));
        return Vec::new();
    }
    for (index, wish) in wishes.iter().enumerate() {
        let at = at.index(index);
        if !is_plain_name(&wish.name) {
            problems.add(&at.key("name"), NO_NAME);
        } else if wishes[..index].iter().any(|other| other.name == wish.name) {
            problems.add(&at.key("name"), "it is listed twice");
        }
        if let Some(variable) = &wish.path_variable
            && !is_variable(variable)
        {
            problems.add(
                &at.key("path_variable"),
                "it is no name of a variable: letters, digits and _, 64 at most",
            );
        }
    }
    let wishes = wishes.iter().cloned();
    wishes.map(|SecretWish { name, path_variable }| SecretRef { name, path_variable }).collect()
}

fn set_caches(wishes: &[CacheWish], at: &Pointer<'_>, problems: &mut Problems) -> Vec<CacheRef> {
    if wishes.len() > limit::GRANTS {
        problems.add(at, format!("there are {} caches; {} at most", wishes.len(), limit::GRANTS));
        return Vec::new();
    }
    for (index, wish) in wishes.iter().enumerate() {
        let at = at.index(index);
        if !is_plain_name(&wish.name) {
            problems.add(&at.key("name"), NO_NAME);
        }
        if !is_free_target(&wish.target) {
            problems.add(
                &at.key("target"),
                "it is no absolute path beside the directories of the system and of the worker, like /models",
            );
        } else if wishes[..index].iter().any(|other| other.target == wish.target) {
            problems.add(&at.key("target"), "two caches would be mounted there");
        }
    }
    wishes.iter().cloned().map(|CacheWish { name, target }| CacheRef { name, target }).collect()
}

/// One variable has one meaning.
fn check_variables(spec: &JobSpec, at: &Pointer<'_>, problems: &mut Problems) {
    let named = |secret: &SecretRef| secret.path_variable.clone();
    let mut seen = std::collections::BTreeSet::new();
    for (index, variable) in spec.secrets.iter().map(named).enumerate() {
        let Some(variable) = variable else { continue };
        let place = at.index(index);
        let at = place.key("path_variable");
        if spec.env.contains_key(&variable) {
            problems.add(&at, "env sets it too");
        }
        if !seen.insert(variable) {
            problems.add(&at, "another secret has it too");
        }
    }
}

fn is_variable(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.len() <= limit::VARIABLE_NAME_BYTES
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn check_command(command: &[String], at: &Pointer<'_>, problems: &mut Problems) {
    if command.len() > limit::ARGUMENTS {
        problems.add(at, format!("there are {} arguments; {} at most", command.len(), limit::ARGUMENTS));
        return;
    }
    for (index, argument) in command.iter().enumerate() {
        check_stored(argument, limit::ARGUMENT_CHARACTERS, &at.index(index), problems);
    }
}

fn set_env(
    settings: &BTreeMap<String, Option<String>>,
    env: &mut BTreeMap<String, String>,
    at: &Pointer<'_>,
    problems: &mut Problems,
) {
    if settings.len() > limit::VARIABLES {
        problems.add(at, format!("there are {} variables; {} at most", settings.len(), limit::VARIABLES));
        return;
    }
    for (name, value) in settings {
        if !is_variable(name) {
            problems.add(at, format!("{name:?} is no name of a variable: letters, digits and _, 64 at most"));
            continue;
        }
        match value {
            None => {
                env.remove(name);
            }
            Some(value) => {
                check_stored(value, limit::ARGUMENT_CHARACTERS, &at.key(name), problems);
                env.insert(name.clone(), value.clone());
            }
        }
    }
    if env.len() > limit::VARIABLES {
        problems.add(at, format!("that makes {} variables; {} at most", env.len(), limit::VARIABLES));
    }
}

/// The new number if there is one, else the old one.
fn take(
    given: Option<u32>,
    was: u32,
    range: std::ops::RangeInclusive<u32>,
    at: &Pointer<'_>,
    problems: &mut Problems,
) -> u32 {
    let Some(given) = given else { return was };
    check_range(given, &range, at, problems);
    given
}

fn set_resources(
    settings: ResourceSettings,
    was: Resources,
    at: &Pointer<'_>,
    problems: &mut Problems,
) -> Resources {
    Resources {
        cpu_millis: take(
            settings.cpu_millis,
            was.cpu_millis,
            limit::CPU_MILLIS,
            &at.key("cpu_millis"),
            problems,
        ),
        memory_mib: take(
            settings.memory_mib,
            was.memory_mib,
            limit::MEMORY_MIB,
            &at.key("memory_mib"),
            problems,
        ),
        shm_mib: take(settings.shm_mib, was.shm_mib, limit::SHM_MIB, &at.key("shm_mib"), problems),
        pids: take(settings.pids, was.pids, limit::PIDS, &at.key("pids"), problems),
    }
}

fn set_timeouts(
    settings: TimeoutSettings,
    was: Timeouts,
    at: &Pointer<'_>,
    problems: &mut Problems,
) -> Timeouts {
    let lost = at.key("host_lost_seconds");
    let timeouts = Timeouts {
        queue_seconds: take(
            settings.queue_seconds,
            was.queue_seconds,
            limit::QUEUE_SECONDS,
            &at.key("queue_seconds"),
            problems,
        ),
        run_seconds: take(
            settings.run_seconds,
            was.run_seconds,
            launch_limit::TIMEOUT_SECONDS,
            &at.key("run_seconds"),
            problems,
        ),
        stop_grace_seconds: take(
            settings.stop_grace_seconds,
            was.stop_grace_seconds,
            limit::STOP_GRACE_SECONDS,
            &at.key("stop_grace_seconds"),
            problems,
        ),
        host_lost_seconds: take(
            settings.host_lost_seconds,
            was.host_lost_seconds,
            limit::HOST_LOST_SECONDS,
            &lost,
            problems,
        ),
    };
    // The guard of a host that is cut off has to stop the worker before anybody replaces it.
    let least = timeouts.stop_grace_seconds.saturating_add(limit::GUARD_SECONDS);
    if timeouts.host_lost_seconds < least && timeouts.stop_grace_seconds <= *limit::STOP_GRACE_SECONDS.end() {
        problems.add(&lost, format!("with this stop_grace_seconds it is {least} or more"));
    }
    timeouts
}

fn set_retry(
    settings: RetrySettings,
    was: RetryPolicy,
    at: &Pointer<'_>,
    problems: &mut Problems,
) -> RetryPolicy {
    RetryPolicy {
        max_attempts: take(
            settings.max_attempts,
            was.max_attempts,
            limit::MAX_ATTEMPTS,
            &at.key("max_attempts"),
            problems,
        ),
        max_infra_failures: take(
            settings.max_infra_failures,
            was.max_infra_failures,
            limit::INFRA_FAILURES,
            &at.key("max_infra_failures"),
            problems,
        ),
        backoff_seconds: take(
            settings.backoff_seconds,
            was.backoff_seconds,
            limit::BACKOFF_SECONDS,
            &at.key("backoff_seconds"),
            problems,
        ),
    }
}
