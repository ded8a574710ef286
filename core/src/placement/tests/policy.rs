//! GPU policies, fallback, infeasible, explicit cards.

use super::{class, gpu, gpu_request, head, host, named, now, outcome, problem, solve, solve_one, where_to};
use crate::{
    lifecycle::FailureKind,
    placement::{
        Cordon, FallbackKind, Gpu, GpuHealth, Head, Host, Placeability, Request, Selection, SelectionKind,
        Telemetry,
    },
    spec::{GpuChoice, GpuPolicy, OnMiss},
};

fn full() -> Gpu {
    Gpu { reserved_mib: 20_480, ..gpu("a", 0) }
}

/// Asks for 3,072 MiB more than `full` has.
const NEED: u32 = 6_677;

#[test]
fn the_policy_decides_what_happens_when_no_card_fits() {
    let patient = |request: Request| {
        let mut request = request;
        request.gpu.prefer_wait_seconds = 60;
        request
    };
    let waiting = Head { prefer_expires: now() + chrono::TimeDelta::seconds(1), ..head(1, 59) };
    let expired = head(1, 60);
    let prefer = || gpu_request(GpuPolicy::Prefer, NEED);
    let short = "GPU-a: short 3072 MiB";
    for (why, request, head, expected) in [
        (
            "require waits",
            gpu_request(GpuPolicy::Require, NEED),
            head(1, 9_999),
            format!("waits: vram_short | {short}"),
        ),
        ("prefer with T = 0", prefer(), head(1, 0), format!("cpu@host-1, CPU fallback: {short}")),
        ("prefer within T", patient(prefer()), waiting, format!("waits: vram_short | {short}")),
        (
            "prefer after T",
            patient(prefer()),
            expired,
            format!("cpu@host-1, CPU fallback after 60 s: {short}"),
        ),
        ("none", gpu_request(GpuPolicy::None, NEED), head(1, 0), "cpu@host-1, CPU: no GPU wanted".into()),
    ] {
        let plan = solve(&problem(vec![host(1)], vec![full()], vec![class(request, vec![head])]));
        let reason = plan.placements.first().map(|placement| format!(", {}", placement.selection));
        assert_eq!(format!("{}{}", outcome(&plan), reason.unwrap_or_default()), expected, "{why}");
    }
}

#[test]
fn every_policy_that_wants_a_gpu_takes_one_that_fits() {
    for policy in [GpuPolicy::Require, GpuPolicy::Prefer] {
        assert_eq!(outcome(&solve_one(vec![full()], gpu_request(policy, 3_605))), "GPU-a", "{policy}");
    }
    assert_eq!(outcome(&solve_one(vec![full()], gpu_request(GpuPolicy::None, 3_605))), "cpu@host-1");
}

#[test]
fn nobody_falls_back_while_a_fitting_card_is_merely_unseen() {
    let card = gpu("a", 0);
    let ready = host(1);
    let young = || Host { age_seconds: 59, ..host(1) };
    let with = |placeability| Host { placeability, ..host(1) };
    let never = || Gpu { telemetry: Telemetry::Never, ..gpu("a", 0) };
    for (why, host, card, expected) in [
        (
            "stale",
            ready.clone(),
            Gpu { telemetry: Telemetry::Stale, ..card.clone() },
            "waits: telemetry_stale",
        ),
        ("young host", young(), never(), "waits: telemetry_missing"),
        ("old host, never a sample", ready.clone(), never(), "cpu@host-2"),
        ("silent host", with(Placeability::Silent), card.clone(), "waits: host_silent"),
        ("returning host", with(Placeability::NotReconciled), card.clone(), "waits: host_not_reconciled"),
        ("stale and full", ready.clone(), Gpu { telemetry: Telemetry::Stale, ..full() }, "cpu@host-2"),
        (
            "stale and cordoned",
            ready.clone(),
            Gpu { telemetry: Telemetry::Stale, cordon: Cordon::Cordoned, ..card.clone() },
            "cpu@host-2",
        ),
        ("cordoned", ready, Gpu { cordon: Cordon::Cordoned, ..card.clone() }, "cpu@host-2"),
        ("lost host", with(Placeability::Lost), card, "cpu@host-2"),
    ] {
        let second = super::host(2);
        let host = Host { cpu_millis_free: 32_000, ..host };
        let plan = solve(&problem(
            vec![host, second],
            vec![card],
            vec![class(gpu_request(GpuPolicy::Prefer, NEED), vec![head(1, 900)])],
        ));
        let outcome = outcome(&plan);
        assert_eq!(outcome.split(" | ").next().unwrap(), expected, "{why}");
    }
}

#[test]
fn each_fallback_says_its_kind() {
    let card = gpu("a", 0);
    let busy_host = Host { cpu_millis_free: 400, ..host(1) };
    let mut patient = gpu_request(GpuPolicy::Prefer, NEED);
    patient.gpu.prefer_wait_seconds = 60;
    let prefer = || gpu_request(GpuPolicy::Prefer, NEED);
    for (request, first, cards, expected) in [
        (prefer(), host(1), vec![], FallbackKind::NoGpu),
        (prefer(), host(1), vec![full()], FallbackKind::VramShort),
        (gpu_request(GpuPolicy::Prefer, 40_000), host(1), vec![card.clone()], FallbackKind::VramShort),
        (
            prefer(),
            host(1),
            vec![Gpu { cordon: Cordon::Cordoned, ..card.clone() }],
            FallbackKind::Unavailable,
        ),
        (
            prefer(),
            host(1),
            vec![Gpu { health: GpuHealth::Unhealthy, ..card.clone() }],
            FallbackKind::Unavailable,
        ),
        (prefer(), busy_host, vec![card], FallbackKind::HostShort),
        (patient, host(1), vec![full()], FallbackKind::WaitExpired),
    ] {
        let plan = solve(&problem(vec![first, host(2)], cards, vec![class(request, vec![head(1, 60)])]));
        let selection = &plan.placements[0].selection;
        assert_eq!(selection.fallback(), Some(expected), "{selection}");
        assert_eq!(selection.kind(), SelectionKind::CpuFallback);
    }
}

#[test]
fn infeasible_is_judged_against_all_known_cards() {
    let mut patient = gpu_request(GpuPolicy::Prefer, 40_000);
    patient.gpu.prefer_wait_seconds = 3_600;
    let within = Head { prefer_expires: now() + chrono::TimeDelta::seconds(3_600), ..head(1, 0) };
    let card = gpu("a", 0);
    let large = Gpu {
        total_mib: 49_152,
        allocatable_mib: 49_152,
        health: GpuHealth::Gone,
        cordon: Cordon::Cordoned,
        ..gpu("b", 1)
    };
    let too_large = "40000 MiB of VRAM are asked for; the largest known card, GPU-a, gives 24085";
    let require = || gpu_request(GpuPolicy::Require, 40_000);
    for (why, request, cards, expected) in [
        ("require", require(), vec![card.clone()], format!("refused: {too_large}")),
        (
            "a large card is gone",
            require(),
            vec![card.clone(), large],
            "waits: gpu_gone | GPU-b: gone: the driver does not list it any more".into(),
        ),
        (
            "none known",
            require(),
            vec![],
            "waits: no_gpu_known | no GPU is known on the hosts that it may use".into(),
        ),
        ("prefer does not wait for it", patient.clone(), vec![card], "cpu@host-1".into()),
        (
            "prefer, none known",
            patient,
            vec![],
            "waits: no_gpu_known | no GPU is known on the hosts that it may use".into(),
        ),
    ] {
        let plan = solve(&problem(vec![host(1)], cards, vec![class(request, vec![within])]));
        assert_eq!(outcome(&plan), expected, "{why}");
        assert!(plan.refused.iter().all(|refused| refused.failure == FailureKind::Infeasible));
    }
}

#[test]
fn a_fallback_for_want_of_vram_says_how_much_is_short() {
    let plan = solve_one(vec![gpu("a", 0), gpu("b", 1)], gpu_request(GpuPolicy::Prefer, 40_000));
    assert_eq!(
        plan.placements[0].selection.to_string(),
        "CPU fallback: GPU-a: short 15915 MiB even when empty"
    );
}

#[test]
fn a_named_card_is_taken_missed_awaited_or_refused() {
    let b = || gpu("b", 1);
    let auto = |need| named("a", OnMiss::Auto, need);
    let strict = |need| named("a", OnMiss::Refuse, need);
    for (why, request, cards, expected) in [
        ("taken although worse", auto(3_605), vec![full(), b()], "GPU-a"),
        ("strict, taken", strict(3_605), vec![full(), b()], "GPU-a"),
        ("missed", auto(NEED), vec![full(), b()], "GPU-b"),
        (
            "strict waits for room",
            strict(NEED),
            vec![full(), b()],
            "waits: vram_short | GPU-a: short 3072 MiB",
        ),
        (
            "strict and too large",
            strict(24_086),
            vec![full(), Gpu { total_mib: 49_152, allocatable_mib: 49_152, ..b() }],
            "refused: 24086 MiB of VRAM are asked for; the largest known card, GPU-a, gives 24085",
        ),
        ("unknown, auto", auto(NEED), vec![b()], "GPU-b"),
        (
            "unknown, strict",
            strict(NEED),
            vec![b()],
            "refused: GPU-a is asked for, nothing else will do, and it is not among the known GPUs",
        ),
        (
            "nothing known",
            strict(NEED),
            vec![],
            "waits: no_gpu_known | no GPU is known on the hosts that it may use",
        ),
        (
            "strict and gone",
            strict(NEED),
            vec![Gpu { health: GpuHealth::Gone, ..gpu("a", 0) }, b()],
            "waits: gpu_gone | GPU-a: gone: the driver does not list it any more",
        ),
    ] {
        assert_eq!(outcome(&solve_one(cards, request)), expected, "{why}");
    }
}

#[test]
fn strict_never_falls_back_to_the_cpu() {
    let mut request = named("a", OnMiss::Refuse, NEED);
    request.gpu.policy = GpuPolicy::Prefer;
    assert_eq!(
        outcome(&solve_one(vec![full(), gpu("b", 1)], request)),
        "waits: vram_short | GPU-a: short 3072 MiB"
    );
}

#[test]
fn a_card_can_be_named_by_index_with_and_without_host() {
    let on_two = |card: Gpu| Gpu { host: super::host_id(2), ..card };
    let cards = || vec![gpu("a", 0), gpu("b", 1), on_two(gpu("c", 0)), on_two(gpu("d", 1))];
    let choice = |index, host_name: Option<&str>| {
        let mut request = gpu_request(GpuPolicy::Require, NEED);
        request.gpu.choice =
            GpuChoice::Index { index, host: host_name.map(Into::into), on_miss: OnMiss::Refuse };
        let mut busy = cards();
        busy[1].utilization_percent = Some(50);
        outcome(&solve(&problem(vec![host(1), host(2)], busy, vec![class(request, vec![head(1, 1)])])))
    };
    assert_eq!(choice(1, Some("host-1")), "GPU-b");
    assert_eq!(choice(1, Some("host-2")), "GPU-d");
    assert_eq!(choice(1, None), "GPU-d", "the better one of both");
    assert_eq!(
        choice(7, Some("host-2")),
        "refused: GPU 7 of host host-2 is asked for, nothing else will do, and it is not among the known GPUs"
    );
}

#[test]
fn a_named_card_is_among_several() {
    let mut request = named("b", OnMiss::Refuse, NEED);
    request.gpu.count = 2;
    let cards = |b: Gpu| vec![gpu("a", 0), b, gpu("c", 2)];
    let plan = solve_one(cards(Gpu { utilization_percent: Some(90), ..gpu("b", 1) }), request.clone());
    assert_eq!(where_to(&plan.placements[0]), "GPU-b+GPU-a");
    assert!(matches!(plan.placements[0].selection, Selection::Explicit { .. }));
    let plan = solve_one(cards(Gpu { reserved_mib: 20_480, ..gpu("b", 1) }), request);
    assert_eq!(outcome(&plan), "waits: too_few_gpus | host host-1: 2 of 2 GPUs fit; GPU-b: short 3072 MiB");
}
