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

const HOSTS: u32 = 4;

fn hosts() -> impl Any<Value = Vec<Host>> {
    let one = (
        prop_oneof![4 => Just(Placeability::Ready), 1 => prop::sample::select(Placeability::ALL)],
        (0..5_u32, 0..5_u32),
        (0..9_u32, 0..9_u32),
        any::<bool>(),
        0..120_u64,
    );
    prop::collection::vec(one, 1..=4).prop_map(|all| {
        let host =
            |(number, (placeability, (cpu, memory), (open, max), has_image, age_seconds)): (u32, _)| Host {
                placeability,
                age_seconds,
                cpu_millis_free: cpu * 500,
                cpu_millis_total: 2_000,
                memory_mib_free: memory * 512,
                memory_mib_total: 2_048,
                attempts_open: open,
                attempts_max: max,
                images: if has_image { BTreeSet::from([ImageRef::builtin()]) } else { BTreeSet::new() },
                ..host(number)
            };
        (1..).zip(all).map(host).collect()
    })
}

fn gpus() -> impl Any<Value = Vec<Gpu>> {
    let one = (
        1..=HOSTS,
        prop::sample::select(vec![0_u32, 8_192, 24_576]),
        (
            0..24_u32,
            prop_oneof![3 => Just(0_u32), 1 => 0..9_000_u32],
            prop_oneof![3 => Just(0_u32), 1 => 0..20_000_u32],
        ),
        prop::option::of(0..=100_u32),
        prop_oneof![4 => Just(Telemetry::Fresh), 1 => prop::sample::select(Telemetry::ALL)],
        prop_oneof![6 => Just(GpuHealth::Healthy), 1 => prop::sample::select(GpuHealth::ALL)],
        prop_oneof![6 => Just(Cordon::Open), 1 => Just(Cordon::Cordoned)],
    );
    prop::collection::vec(one, 0..=8).prop_map(|all| {
        let card = |(
            index,
            (
                number,
                total_mib,
                (reserved, overshoot_mib, foreign_mib),
                utilization_percent,
                telemetry,
                health,
                cordon,
            ),
        ): (u32, _)| {
            let allocatable_mib = total_mib - total_mib / 64;
            Gpu {
                host: host_id(number),
                total_mib,
                allocatable_mib,
                reserved_mib: u32::min(reserved * 1_024, allocatable_mib),
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

fn request() -> impl Any<Value = Request> {
    let choice = prop_oneof![
        4 => Just(GpuChoice::Any),
        1 => (0..9_u32, prop::sample::select(OnMiss::ALL))
            .prop_map(|(card, on_miss)| GpuChoice::Uuid { uuid: gpu_uuid(&card.to_string()), on_miss }),
        1 => (0..9_u32, prop::option::of(1..=HOSTS), prop::sample::select(OnMiss::ALL))
            .prop_map(|(index, host, on_miss)| GpuChoice::Index { index, host: host.map(|host| format!("host-{host}")), on_miss }),
    ];
    (
        prop::sample::select(GpuPolicy::ALL),
        1..=3_u32,
        prop_oneof![1 => Just(None), 3 => (1..26_u32).prop_map(|gib| Some(gib * 1_024))],
        choice,
        (1..5_u32, 1..4_u32),
        prop_oneof![5 => Just(None), 1 => (1..=HOSTS + 1).prop_map(|host| Some(format!("host-{host}")))],
    )
        .prop_map(|(policy, count, min_vram_mib, choice, (cpu, memory), host)| Request {
            resources: Resources { cpu_millis: cpu * 250, memory_mib: memory * 256, ..Resources::default() },
            gpu: GpuRequest { policy, count, min_vram_mib, choice, prefer_wait_seconds: 60 },
            image: ImageRef::builtin(),
            host,
        })
}

pub(super) fn problems() -> impl Any<Value = Problem> {
    let heads = prop::collection::vec((0..900_i64, -60..60_i64), 1..6);
    // Few shapes and many classes, so that shapes repeat across priorities and submitters.
    let classes = (
        prop::collection::vec(request(), 1..5),
        prop::collection::vec((0..3_i32, 0..3_usize, any::<prop::sample::Index>(), heads, 0..3_u64), 0..8),
    );
    (
        hosts(),
        gpus(),
        classes,
        prop::collection::btree_map("[abc]", 0..5_u64, 0..3),
        prop::sample::select(Strategy::ALL),
    )
        .prop_map(|(hosts, gpus, (requests, classes), held, strategy)| {
            let mut numbers = 1..;
            let mut class = |(priority, submitter, request, heads, unlisted): (
                i32,
                usize,
                prop::sample::Index,
                Vec<(i64, i64)>,
                u64,
            )| {
                let mut heads: Vec<Head> = heads
                    .into_iter()
                    .map(|(waited, expires)| Head {
                        run_job: run_job(numbers.next().unwrap()),
                        waiting_since: ago(waited),
                        prefer_expires: ago(expires),
                    })
                    .collect();
                heads.sort_by_key(|head| (head.waiting_since, head.run_job));
                Class {
                    priority,
                    submitter: ["a", "b", "c"][submitter].into(),
                    request: request.get(&requests).clone(),
                    waiting: u64::try_from(heads.len()).unwrap() + unlisted,
                    heads,
                }
            };
            let classes = classes.into_iter().map(&mut class).collect();
            let known: BTreeSet<HostId> = hosts.iter().map(|host| host.id).collect();
            let gpus = gpus.into_iter().filter(|gpu| known.contains(&gpu.host)).collect();
            let options = Options { strategy, ..Default::default() };
            Problem { hosts, gpus, classes, held, options }
        })
}
