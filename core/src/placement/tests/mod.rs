//! Tests of placement: builders that switch on just what a test is about.

mod fit;
mod generate;
mod line;
mod policy;
mod properties;
mod starving;
mod texts;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Class, Cordon, Gpu, GpuHealth, Head, Host, Options, Placeability, Placement, Plan, Problem, Request,
    Telemetry, place,
};
use crate::{
    ids::{GpuUuid, HostId, RunJobId},
    spec::{GpuChoice, GpuPolicy, GpuRequest, ImageRef, OnMiss, Resources},
};

/// The moment at which all tests decide.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn host_id(number: u32) -> HostId {
    HostId::from(Uuid::from_u128(0xA000 + u128::from(number)))
}

fn run_job(number: u32) -> RunJobId {
    RunJobId::from(Uuid::from_u128(0xB000 + u128::from(number)))
}

fn gpu_uuid(name: &str) -> GpuUuid {
    GpuUuid::new(format!("GPU-{name}"))
}

/// A large, ready, hour-old host named `host-<number>`.
fn host(number: u32) -> Host {
    Host {
        id: host_id(number),
        name: format!("host-{number}"),
        placeability: Placeability::Ready,
        age_seconds: 3_600,
        cpu_millis_total: 64_000,
        cpu_millis_free: 64_000,
        memory_mib_total: 262_144,
        memory_mib_free: 262_144,
        images: BTreeSet::from([ImageRef::builtin()]),
        attempts_open: 0,
        attempts_max: 64,
    }
}

/// An idle, fresh card of 24 GiB on `host-1`.
fn gpu(name: &str, index: u32) -> Gpu {
    Gpu {
        uuid: gpu_uuid(name),
        host: host_id(1),
        index,
        model: "Test 24G".into(),
        total_mib: 24_576,
        allocatable_mib: 24_576,
        reserved_mib: 0,
        overshoot_mib: 0,
        foreign_mib: 0,
        utilization_percent: Some(0),
        expected_utilization_percent: 0,
        telemetry: Telemetry::Fresh,
        health: GpuHealth::Healthy,
        cordon: Cordon::Open,
    }
}

fn cpu_request() -> Request {
    Request {
        resources: Resources::default(),
        gpu: GpuRequest::none(),
        image: ImageRef::builtin(),
        host: None,
    }
}

fn gpu_request(policy: GpuPolicy, vram_mib: u32) -> Request {
    let gpu = GpuRequest {
        policy,
        count: 1,
        min_vram_mib: Some(vram_mib),
        choice: GpuChoice::Any,
        prefer_wait_seconds: 0,
    };
    Request { gpu, ..cpu_request() }
}

fn whole_card() -> Request {
    let mut request = gpu_request(GpuPolicy::Require, 0);
    request.gpu.min_vram_mib = None;
    request
}

fn several(count: u32, vram_mib: u32) -> Request {
    let mut request = gpu_request(GpuPolicy::Require, vram_mib);
    request.gpu.count = count;
    request
}

fn named(name: &str, on_miss: OnMiss, vram_mib: u32) -> Request {
    let mut request = gpu_request(GpuPolicy::Require, vram_mib);
    request.gpu.choice = GpuChoice::Uuid { uuid: gpu_uuid(name), on_miss };
    request
}

/// A head that has waited this long and whose `prefer` expires now.
fn head(number: u32, waited_seconds: i64) -> Head {
    Head { run_job: run_job(number), waiting_since: ago(waited_seconds), prefer_expires: now() }
}

/// A class of `ada`, priority 0, with these heads and nobody behind them.
fn class(request: Request, heads: Vec<Head>) -> Class {
    let waiting = u64::try_from(heads.len()).unwrap();
    Class { priority: 0, submitter: "ada".into(), request, waiting, heads }
}

fn problem(hosts: Vec<Host>, gpus: Vec<Gpu>, classes: Vec<Class>) -> Problem {
    Problem { hosts, gpus, classes, held: BTreeMap::new(), options: Options::default() }
}

fn solve(problem: &Problem) -> Plan {
    place(problem, now())
}

/// One request on one host with these cards.
fn solve_one(gpus: Vec<Gpu>, request: Request) -> Plan {
    solve(&problem(vec![host(1)], gpus, vec![class(request, vec![head(1, 1)])]))
}

/// `GPU-a+GPU-b`, or `cpu@host-1`, or `waits: …`, or `refused: …` for the only RunJob of a plan.
fn outcome(plan: &Plan) -> String {
    match (plan.placements.as_slice(), plan.refused.as_slice(), plan.waiting.as_slice()) {
        ([placement], [], []) => where_to(placement),
        ([], [refused], []) => format!("refused: {}", refused.reason),
        ([], [], [waiting]) => format!("waits: {} | {}", waiting.reason.code(), waiting.reason),
        other => panic!("not exactly one outcome: {other:?}"),
    }
}

fn where_to(placement: &Placement) -> String {
    if placement.gpus.is_empty() {
        let number = placement.host.uuid().as_u128() - 0xA000;
        return format!("cpu@host-{number}");
    }
    placement.gpus.iter().map(|grant| grant.gpu.to_string()).collect::<Vec<_>>().join("+")
}

/// Where each placed RunJob went, in the order of the decisions.
fn places(plan: &Plan) -> Vec<(u128, String)> {
    let number = |placement: &Placement| placement.run_job.uuid().as_u128() - 0xB000;
    plan.placements.iter().map(|placement| (number(placement), where_to(placement))).collect()
}
