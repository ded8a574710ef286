//! Random clusters and queues: small numbers, so that everything is scarce and shapes repeat.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy as Any, any, prop, prop_oneof};

use super::{ago, gpu, gpu_uuid, host, host_id, run_job};
use crate::{
    ids::HostId,
    placement::{
        Class, Cordon, Gpu, GpuHealth, Head, Host, Options, Placeability, Problem, Request, Strategy,
        Telemetry,
    },
    spec::{GpuChoice, GpuPolicy, GpuRequest, ImageRef, OnMiss, Resources},
};

const HOSTS: u32 = 3;

/// Mostly this one, sometimes any of these.
fn mostly<T: Copy + std::fmt::Debug + 'static>(usual: T, all: &'static [T]) -> impl Any<Value = T> {
    prop_oneof![6 => Just(usual), 1 => prop::sample::select(all)]
}

/// Mostly nothing, sometimes up to this.
fn seldom(most: u32) -> impl Any<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 0..=most]
}

fn hosts() -> impl Any<Value = Vec<Host>> {
    let room =
        (0..=4_u32, prop_oneof![Just(64_u32), 0..=8_u32], prop_oneof![Just(64_u32), 0..=8_u32], 0..=12_u32);
    let one = (mostly(Placeability::Ready, Placeability::ALL), room, any::<bool>(), 0..120_u64);
    prop::collection::vec(one, 1..=HOSTS as usize).prop_map(|all| {
        let host = |(number, (placeability, (open, cpu, memory, more), has_image, age_seconds))| Host {
            placeability,
            age_seconds,
            cpu_millis_free: cpu * 250,
            cpu_millis_total: 16_000,
            memory_mib_free: memory * 256,
            memory_mib_total: 16_384,
            attempts_open: open,
            attempts_max: open + more,
            images: if has_image { BTreeSet::from([ImageRef::builtin()]) } else { BTreeSet::new() },
            ..host(number)
        };
        (1..).zip(all).map(host).collect()
    })
}

fn gpus() -> impl Any<Value = Vec<Gpu>> {
    let memory = prop_oneof![1 => Just(0_u32), 4 => Just(8_192), 6 => Just(24_576)];
    // What the driver keeps for itself: a little, or enough for the ledger to be tighter than what is free.
    let kept = prop::sample::select(vec![32_u32, 4]);
    let used = (seldom(24), seldom(9_000), seldom(20_000), prop::option::of(0..=100_u32));
    let state = (
        mostly(Telemetry::Fresh, Telemetry::ALL),
        mostly(GpuHealth::Healthy, GpuHealth::ALL),
        mostly(Cordon::Open, Cordon::ALL),
    );
    prop::collection::vec((1..=HOSTS, (memory, kept), used, state), 0..=8).prop_map(|all| {
        let card = |(index, (number, (total_mib, kept), used, (telemetry, health, cordon))): (u32, _)| {
            let (reserved_gib, overshoot_mib, foreign_mib, utilization_percent) = used;
            let allocatable_mib = total_mib - total_mib / kept;
            Gpu {
                host: host_id(number),
                total_mib,
                allocatable_mib,
                reserved_mib: u32::min(reserved_gib * 1_024, allocatable_mib),
                overshoot_mib,
                foreign_mib,
                utilization_percent,
                telemetry,
                health,
                cordon,
                ..gpu(&format!("{index}"), index)
            }
        };
        (0..).zip(all).map(card).collect()
    })
}

fn choice() -> impl Any<Value = GpuChoice> {
    let on_miss = || prop::sample::select(OnMiss::ALL);
    let host = || prop::option::of((1..=HOSTS).prop_map(|host| format!("host-{host}")));
    prop_oneof![
        6 => Just(GpuChoice::Any),
        1 => (0..9_u32, on_miss())
            .prop_map(|(card, on_miss)| GpuChoice::Uuid { uuid: gpu_uuid(&card.to_string()), on_miss }),
        1 => (0..9_u32, host(), on_miss())
            .prop_map(|(index, host, on_miss)| GpuChoice::Index { index, host, on_miss }),
    ]
}

fn request() -> impl Any<Value = Request> {
    let vram_mib = prop_oneof![
        1 => Just(None),
        6 => (1..=8_u32).prop_map(|gib| Some(gib * 1_024)),
        1 => (8..=25_u32).prop_map(|gib| Some(gib * 1_024)),
        // The last MiB: by the ledger, and by what is effectively free.
        1 => prop::sample::select(vec![Some(23_808), Some(24_085), Some(7_936)]),
    ];
    let count = prop_oneof![4 => Just(1_u32), 2 => Just(2), 1 => Just(3)];
    let pin =
        prop_oneof![6 => Just(None), 1 => (1..=HOSTS + 1).prop_map(|host| Some(format!("host-{host}")))];
    let policy = prop::sample::select(GpuPolicy::ALL);
    (policy, count, vram_mib, choice(), (1..=4_u32, 1..=4_u32), pin).prop_map(
        |(policy, count, min_vram_mib, choice, (cpu, memory), host)| Request {
            resources: Resources { cpu_millis: cpu * 250, memory_mib: memory * 256, ..Resources::default() },
            gpu: GpuRequest { policy, count, min_vram_mib, choice, prefer_wait_seconds: 60 },
            image: ImageRef::builtin(),
            host,
        },
    )
}

/// A class before its RunJobs have numbers: priority, submitter, shape, heads (waited, expires), unlisted.
type Sketch = (i32, &'static str, prop::sample::Index, Vec<(i64, i64)>, u64);

pub(super) fn problems() -> impl Any<Value = Problem> {
    let heads = prop::collection::vec((0..900_i64, -60..60_i64), 1..6);
    let submitter = prop::sample::select(vec!["a", "b", "c"]);
    let class = (0..3_i32, submitter, any::<prop::sample::Index>(), heads, 0..3_u64);
    // Few shapes and many classes, so that shapes repeat across priorities and submitters.
    let queue = (prop::collection::vec(request(), 1..5), prop::collection::vec(class, 0..8));
    let held = prop::collection::btree_map("[abc]", 0..5_u64, 0..3);
    (hosts(), gpus(), queue, held, prop::sample::select(Strategy::ALL)).prop_map(
        |(hosts, gpus, (requests, sketches), held, strategy)| {
            let mut numbers = 1..;
            let classes =
                sketches.into_iter().map(|sketch| class_of(sketch, &requests, &mut numbers)).collect();
            let known: BTreeSet<HostId> = hosts.iter().map(|host| host.id).collect();
            let gpus = gpus.into_iter().filter(|gpu| known.contains(&gpu.host)).collect();
            Problem { hosts, gpus, classes, held, options: Options { strategy, ..Options::default() } }
        },
    )
}

fn class_of(sketch: Sketch, requests: &[Request], numbers: &mut impl Iterator<Item = u32>) -> Class {
    let (priority, submitter, shape, heads, unlisted) = sketch;
    let head = |(waited, expires)| Head {
        run_job: run_job(numbers.next().unwrap()),
        waiting_since: ago(waited),
        prefer_expires: ago(expires),
    };
    let mut heads: Vec<Head> = heads.into_iter().map(head).collect();
    heads.sort_by_key(|head| (head.waiting_since, head.run_job));
    Class {
        priority,
        submitter: submitter.into(),
        request: shape.get(requests).clone(),
        waiting: u64::try_from(heads.len()).unwrap() + unlisted,
        heads,
    }
}
