//! One requested RunJob becomes one per host.
//!
//! The RunJob that the client got an id for is pinned to the first host; copies for the others follow, with the
//! host in their name. Hosts that are silent, cordoned or draining are left out.

use cyberbrain_common::{
    db::{
        Conn, Error,
        admission::{self, PerHost, Pinned, Size},
        audit::{self, Entry},
        transition::{Facts, Step, transition_all},
    },
    ids::fresh,
    launch::limit,
    metric,
};
use cyberbrain_core::{
    audit::Operation,
    ids::RunId,
    lifecycle::{Event, FailureKind},
    placement::Request,
    spec::JobSpec,
};

use crate::moves::ACTOR;

/// Longest name of a RunJob, in characters.
const NAME_CHARACTERS: usize = limit::NAME_CHARACTERS;

pub(super) enum FanOut {
    /// Nothing was changed: there is no host yet.
    NoHost,
    Done,
}

/// Fans out what is one per host. Under the lock of the Run and its RunJobs.
pub(super) async fn fan_out(tx: &mut Conn, run: RunId) -> Result<FanOut, Error> {
    let originals = admission::per_host(tx, run).await?;
    if originals.is_empty() {
        return Ok(FanOut::Done);
    }
    let hosts = admission::open_hosts(tx).await?;
    if hosts.is_empty() {
        return Ok(FanOut::NoHost);
    }
    let mut size = admission::size(tx, run).await?;
    let mut pinned = Vec::new();
    let mut refused = Vec::new();
    for original in &originals {
        let copies = u64::try_from(hosts.len() - 1).unwrap_or(u64::MAX);
        let total = size.run_jobs.saturating_add(copies);
        if total > u64::try_from(limit::RUN_JOBS).unwrap_or(u64::MAX) {
            refused.push(too_many(original, total));
        } else {
            pinned.extend(pin(original, &hosts, &mut size));
        }
    }
    admission::pin(tx, &pinned).await?;
    let copies: Vec<&Pinned> = pinned.iter().filter(|pinned| pinned.id != pinned.original).collect();
    let submitted: Vec<Entry> = copies.iter().map(|copy| submit_entry(run, copy)).collect();
    audit::write_all(tx, &submitted).await?;
    transition_all(tx, &refused, &ACTOR).await?;
    metrics::counter!(metric::JOBS_SUBMITTED).increment(u64::try_from(copies.len()).unwrap_or(u64::MAX));
    Ok(FanOut::Done)
}

fn pin(original: &PerHost, hosts: &[String], size: &mut Size) -> Vec<Pinned> {
    let first = hosts.iter().take(1).map(|host| (original.id, None, original.name.clone(), host));
    let others = hosts.iter().skip(1).map(|host| {
        size.run_jobs += 1;
        size.last_ordinal += 1;
        (fresh(), Some(size.last_ordinal), name_at(&original.name, host), host)
    });
    first
        .chain(others)
        .map(|(id, ordinal, name, host)| {
            let spec = JobSpec { host: Some(host.clone()), ..original.spec.clone() };
            Pinned { id, original: original.id, ordinal, name, shape: shape(&spec), spec }
        })
        .collect()
}

/// `name@host`; of a long name the end is cut, so that the host stays readable.
fn name_at(name: &str, host: &str) -> String {
    let room = NAME_CHARACTERS.saturating_sub(host.chars().count() + 1);
    let kept: String = name.chars().take(room).collect();
    format!("{kept}@{host}")
}

fn shape(spec: &JobSpec) -> String {
    Request {
        resources: spec.resources,
        gpu: spec.gpu.clone(),
        image: spec.image.clone(),
        host: spec.host.clone(),
    }
    .shape_key()
}

fn too_many(original: &PerHost, total: u64) -> Step {
    Step {
        run_job: original.id,
        event: Event::Refuse { failure: FailureKind::Infeasible },
        facts: Facts {
            detail: Some(format!(
                "one per host would make {total} run jobs; a run has {} at most: launch several runs",
                limit::RUN_JOBS
            )),
            ..Facts::default()
        },
    }
}

fn submit_entry(run: RunId, copy: &Pinned) -> Entry {
    Entry::new(Operation::Submit, &ACTOR).run(run).run_job(copy.id).image(copy.spec.image.to_string())
}

#[cfg(test)]
mod tests {
    use super::{NAME_CHARACTERS, name_at};

    #[test]
    fn long_names_are_cut_before_the_host() {
        assert_eq!(name_at("triage", "alpha"), "triage@alpha");
        let long = name_at(&"ä".repeat(NAME_CHARACTERS), "alpha");
        assert_eq!(long.chars().count(), NAME_CHARACTERS);
        assert!(long.ends_with("ä@alpha"), "{long}");
    }
}
