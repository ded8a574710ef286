//! What fits where: cards, whole cards, several cards, hosts, images.

use std::collections::BTreeSet;

use super::{
    class, cpu_request, gpu, gpu_request, head, host, host_id, outcome, places, problem, several, solve,
    solve_one, whole_card,
};
use crate::{
    placement::{Cordon, Gpu, GpuHealth, Grant, Host, Placeability, Problem, Request, Strategy, Telemetry},
    spec::{GpuPolicy, ImageRef, Resources},
};

#[test]
fn a_card_fits_by_what_is_effectively_free_and_by_the_ledger() {
    let card = gpu("a", 0);
    let ceiling = 24_576 - 491;
    for (why, card, need, expected) in [
        ("all of it", card.clone(), ceiling, "GPU-a"),
        (
            "reserved",
            Gpu { reserved_mib: 20_480, ..card.clone() },
            6_677,
            "waits: vram_short | GPU-a: short 3072 MiB",
        ),
        ("just fits", Gpu { reserved_mib: 20_480, ..card.clone() }, 3_605, "GPU-a"),
        (
            "overshoot",
            Gpu { reserved_mib: 20_480, overshoot_mib: 1, ..card.clone() },
            3_605,
            "waits: vram_short | GPU-a: short 1 MiB",
        ),
        (
            "strangers",
            Gpu { foreign_mib: 20_480, ..card.clone() },
            3_606,
            "waits: vram_short | GPU-a: short 1 MiB",
        ),
        (
            "ledger",
            Gpu { allocatable_mib: 10_000, reserved_mib: 9_000, ..card.clone() },
            1_001,
            "waits: vram_short | GPU-a: short 1 MiB",
        ),
        (
            "cordoned",
            Gpu { cordon: Cordon::Cordoned, ..card.clone() },
            1,
            "waits: gpu_cordoned | GPU-a: cordoned",
        ),
        (
            "unhealthy",
            Gpu { health: GpuHealth::Unhealthy, ..card.clone() },
            1,
            "waits: gpu_unhealthy | GPU-a: unhealthy",
        ),
        (
            "gone",
            Gpu { health: GpuHealth::Gone, ..card.clone() },
            1,
            "waits: gpu_gone | GPU-a: gone: the driver does not list it any more",
        ),
        (
            "stale",
            Gpu { telemetry: Telemetry::Stale, ..card.clone() },
            1,
            "waits: telemetry_stale | GPU-a: its telemetry is stale",
        ),
        (
            "never seen",
            Gpu { telemetry: Telemetry::Never, ..card.clone() },
            1,
            "waits: telemetry_missing | GPU-a: it has never sent telemetry",
        ),
        (
            "no memory",
            Gpu { total_mib: 0, allocatable_mib: 0, ..card.clone() },
            1,
            "waits: telemetry_missing | GPU-a: it has never sent telemetry",
        ),
    ] {
        assert_eq!(outcome(&solve_one(vec![card], gpu_request(GpuPolicy::Require, need))), expected, "{why}");
    }
}

#[test]
fn unstated_vram_means_the_whole_card() {
    let card = Gpu { allocatable_mib: 24_000, ..gpu("a", 0) };
    let free = solve_one(vec![card.clone()], whole_card());
    assert_eq!(free.placements[0].gpus, [Grant { gpu: card.uuid.clone(), reserved_mib: 24_000 }]);
    for (why, card, expected) in [
        ("a desktop on it", Gpu { foreign_mib: 1_024, ..card.clone() }, "GPU-a"),
        (
            "strangers",
            Gpu { foreign_mib: 1_025, ..card.clone() },
            "waits: foreign_use | GPU-a: a whole card is wanted and other processes hold 1025 MiB",
        ),
        (
            "leases",
            Gpu { reserved_mib: 1, ..card.clone() },
            "waits: gpu_in_use | GPU-a: a whole card is wanted and 1 MiB are reserved",
        ),
    ] {
        assert_eq!(outcome(&solve_one(vec![card], whole_card())), expected, "{why}");
    }
}

#[test]
fn a_stated_zero_is_not_a_fit_for_a_full_card() {
    let full = Gpu { reserved_mib: 24_576, ..gpu("a", 0) };
    let plan = solve_one(vec![full], gpu_request(GpuPolicy::Require, 0));
    assert_eq!(
        outcome(&plan),
        "waits: gpu_in_use | GPU-a: a whole card is wanted and 24576 MiB are reserved"
    );
}

#[test]
fn several_cards_come_from_one_host_or_not_at_all() {
    let on = |number, card: Gpu| Gpu { host: host_id(number), ..card };
    let two_hosts = |cards| {
        outcome(&solve(&problem(
            vec![host(1), host(2)],
            cards,
            vec![class(several(2, 8_192), vec![head(1, 1)])],
        )))
    };
    let busy = |card: Gpu| Gpu { reserved_mib: 20_000, ..card };
    let (a, b) = (gpu("a", 0), gpu("b", 1));
    let (c, d) = (on(2, gpu("c", 0)), on(2, gpu("d", 1)));
    assert_eq!(two_hosts(vec![a.clone(), busy(b.clone()), c.clone(), d.clone()]), "GPU-c+GPU-d");
    assert_eq!(
        two_hosts(vec![a.clone(), busy(b.clone()), c.clone(), busy(d)]),
        "waits: too_few_gpus | host host-1: 1 of 2 GPUs fit; GPU-b: short 4107 MiB",
        "one card free on each host"
    );
    assert_eq!(
        two_hosts(vec![a, c]),
        "refused: 2 GPUs on one host are asked for; at most 1 that are large enough share one"
    );
}

#[test]
fn pack_takes_the_fullest_card_that_fits() {
    let cards = vec![
        gpu("a", 0),
        Gpu { reserved_mib: 12_288, ..gpu("b", 1) },
        Gpu { reserved_mib: 20_000, ..gpu("c", 2) },
    ];
    let choice = |strategy, vram_mib| {
        let classes = vec![class(gpu_request(GpuPolicy::Require, vram_mib), vec![head(1, 1)])];
        let mut problem = problem(vec![host(1)], cards.clone(), classes);
        problem.options.strategy = strategy;
        outcome(&solve(&problem))
    };
    assert_eq!(choice(Strategy::Spread, 4_000), "GPU-a");
    assert_eq!(choice(Strategy::Pack, 4_000), "GPU-c");
    assert_eq!(choice(Strategy::Pack, 8_000), "GPU-b");
    assert_eq!(choice(Strategy::Pack, 16_000), "GPU-a");
}

#[test]
fn a_burst_does_not_land_on_one_card() {
    let heads = (1..=4).map(|number| head(number, 10 - i64::from(number))).collect();
    let cards = vec![gpu("a", 0), gpu("b", 1)];
    let plan =
        solve(&problem(vec![host(1)], cards, vec![class(gpu_request(GpuPolicy::Require, 512), heads)]));
    let places: Vec<_> = places(&plan).into_iter().map(|(_, place)| place).collect();
    assert_eq!(places, ["GPU-a", "GPU-b", "GPU-a", "GPU-b"]);
}

#[test]
fn hosts_are_taken_by_state_room_image_and_free_share() {
    let with = |change: fn(&mut Host)| {
        let mut host = host(1);
        change(&mut host);
        host
    };
    let half_used = || Host { cpu_millis_free: 32_000, ..host(2) };
    for (why, first, expected) in [
        ("more room", with(|_| ()), "cpu@host-1"),
        ("less room", with(|host| host.memory_mib_free = 1_000), "cpu@host-2"),
        ("no image", with(|host| host.images.clear()), "cpu@host-2"),
        ("cordoned", with(|host| host.placeability = Placeability::Cordoned), "cpu@host-2"),
        ("draining", with(|host| host.placeability = Placeability::Draining), "cpu@host-2"),
        ("silent", with(|host| host.placeability = Placeability::Silent), "cpu@host-2"),
        ("lost", with(|host| host.placeability = Placeability::Lost), "cpu@host-2"),
        ("returning", with(|host| host.placeability = Placeability::NotReconciled), "cpu@host-2"),
        ("full", with(|host| host.attempts_open = 64), "cpu@host-2"),
        ("no CPU", with(|host| host.cpu_millis_free = 499), "cpu@host-2"),
        ("no memory", with(|host| host.memory_mib_free = 511), "cpu@host-2"),
    ] {
        let plan =
            solve(&problem(vec![first, half_used()], vec![], vec![class(cpu_request(), vec![head(1, 1)])]));
        assert_eq!(outcome(&plan), expected, "{why}");
    }
}

#[test]
fn cpu_work_spreads_over_hosts() {
    let heads = (1..=6).map(|number| head(number, 10 - i64::from(number))).collect();
    let hosts = vec![host(1), host(2), host(3)];
    let plan = solve(&problem(hosts, vec![], vec![class(cpu_request(), heads)]));
    let hosts: Vec<_> = places(&plan).into_iter().map(|(_, place)| place).collect();
    assert_eq!(hosts, ["cpu@host-1", "cpu@host-2", "cpu@host-3", "cpu@host-1", "cpu@host-2", "cpu@host-3"]);
}

#[test]
fn an_image_that_must_be_fetched_decides_only_between_equal_cards() {
    let image = ImageRef { name: "trainer".into(), tag: "1".into() };
    let has_image = Host { images: BTreeSet::from([image.clone()]), ..host(2) };
    let request = Request { image, ..gpu_request(GpuPolicy::Require, 1_024) };
    let choice = |first: Gpu| {
        let cards = vec![first, Gpu { host: host_id(2), ..gpu("b", 0) }];
        let classes = vec![class(request.clone(), vec![head(1, 1)])];
        outcome(&solve(&problem(vec![host(1), has_image.clone()], cards, classes)))
    };
    assert_eq!(choice(gpu("a", 0)), "GPU-b");
    assert_eq!(choice(gpu("a", 0)), choice(Gpu { utilization_percent: Some(10), ..gpu("a", 0) }));
    let busy_b = |mut problem: Problem| {
        problem.gpus[1].utilization_percent = Some(10);
        outcome(&solve(&problem))
    };
    let cards = vec![gpu("a", 0), Gpu { host: host_id(2), ..gpu("b", 0) }];
    let classes = vec![class(request.clone(), vec![head(1, 1)])];
    assert_eq!(busy_b(problem(vec![host(1), has_image.clone()], cards, classes)), "GPU-a");
}

#[test]
fn a_pin_is_kept_and_says_what_it_waits_for() {
    let pinned = |name: &str| Request { host: Some(name.into()), ..cpu_request() };
    let choice = |request, second: Host| {
        outcome(&solve(&problem(vec![host(1), second], vec![], vec![class(request, vec![head(1, 1)])])))
    };
    let silent = Host { placeability: Placeability::Silent, ..host(2) };
    assert_eq!(choice(pinned("host-2"), host(2)), "cpu@host-2");
    assert_eq!(
        choice(pinned("host-2"), silent),
        "waits: host_silent | host host-2: the host is out of contact"
    );
    assert_eq!(choice(pinned("host-3"), host(2)), "waits: host_unknown | host host-3 is not known");
}

#[test]
fn what_no_known_host_could_ever_take_is_refused() {
    let lost = Host { placeability: Placeability::Lost, cpu_millis_total: 96_000, ..host(2) };
    let large = Resources { cpu_millis: 96_000, ..Resources::default() };
    let huge = Resources { cpu_millis: 96_001, ..Resources::default() };
    let fat = Resources { memory_mib: 262_145, ..Resources::default() };
    let both = Resources { cpu_millis: 96_000, memory_mib: 262_144, ..Resources::default() };
    let thin_lost = Host { memory_mib_total: 1_024, ..lost.clone() };
    for (why, resources, second, expected) in [
        ("only the lost one", large, lost.clone(), "waits: host_lost | host host-2: the host is lost"),
        (
            "CPU",
            huge,
            lost.clone(),
            "refused: 96001 CPU millis are asked for; the largest known host has 96000",
        ),
        (
            "memory",
            fat,
            lost,
            "refused: 262145 MiB of memory are asked for; the largest known host has 262144",
        ),
        (
            "both on one",
            both,
            thin_lost,
            "refused: no single known host has the CPU, the memory and the GPUs that are asked for",
        ),
    ] {
        let request = Request { resources, ..cpu_request() };
        let plan = solve(&problem(vec![host(1), second], vec![], vec![class(request, vec![head(1, 1)])]));
        assert_eq!(outcome(&plan), expected, "{why}");
    }
    let nowhere = solve(&problem(vec![], vec![], vec![class(cpu_request(), vec![head(1, 1)])]));
    assert_eq!(outcome(&nowhere), "waits: no_host_known | no host is known");
}
