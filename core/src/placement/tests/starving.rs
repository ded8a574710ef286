//! Backfill never starves the head.

use super::{
    class, cpu_request, gpu, gpu_request, head, host, host_id, named, outcome, places, problem, run_job,
    several, solve, whole_card,
};
use crate::{
    placement::{Class, Cordon, Gpu, Host, Obstacle, Place, Problem, Request, WaitingReason},
    spec::{GpuPolicy, OnMiss, Resources},
};

fn at(priority: i32, submitter: &str, request: Request, number: u32, waited: i64) -> Class {
    Class { priority, submitter: submitter.into(), ..class(request, vec![head(number, waited)]) }
}

fn small() -> Request {
    gpu_request(GpuPolicy::Require, 2_048)
}

/// Two cards with leases, the second with fewer; `ada` wants 20 GiB and `bob`, who goes first, 2 GiB.
fn contended(waited: i64) -> Problem {
    let cards = vec![Gpu { reserved_mib: 16_384, ..gpu("a", 0) }, Gpu { reserved_mib: 8_192, ..gpu("b", 1) }];
    let large = gpu_request(GpuPolicy::Require, 20_480);
    let classes = vec![at(0, "ada", large, 1, waited), at(0, "bob", small(), 2, 1)];
    let mut problem = problem(vec![host(1)], cards, classes);
    problem.held.insert("ada".into(), 1);
    problem
}

#[test]
fn a_smaller_one_leaves_the_best_card_of_a_starving_one_alone() {
    assert_eq!(places(&solve(&contended(300))), [(2, "GPU-b".into())], "not yet starving");
    assert_eq!(places(&solve(&contended(301))), [(2, "GPU-a".into())], "the worse card by score");

    let mut only_b = contended(301);
    only_b.gpus.remove(0);
    let plan = solve(&only_b);
    assert_eq!(places(&plan), []);
    let kept = WaitingReason::At {
        place: Place::Gpu(only_b.gpus[0].uuid.clone()),
        obstacle: Obstacle::KeptForHead { run_job: run_job(1) },
    };
    assert_eq!(plan.waiting[1].reason, kept);
    assert_eq!(plan.waiting[0].reason.to_string(), "GPU-b: short 4587 MiB");
}

#[test]
fn the_drained_card_goes_to_the_one_it_was_kept_for() {
    let mut drained = contended(301);
    drained.gpus.truncate(1);
    drained.gpus[0].reserved_mib = 0;
    // bob holds less and goes first, but may not take it; ada's RunJob fits, and bob takes what is beside it.
    let plan = solve(&drained);
    assert_eq!(places(&plan), [(1, "GPU-a".into())]);
    drained.classes[1].heads[0] = head(2, 1);
    drained.held.clear();
    assert_eq!(places(&solve(&drained)), [(1, "GPU-a".into()), (2, "GPU-a".into())]);
}

#[test]
fn one_as_large_may_take_the_kept_card_in_fair_order() {
    let mut drained = contended(301);
    drained.gpus.truncate(1);
    drained.gpus[0].reserved_mib = 0;
    drained.classes[1].request = gpu_request(GpuPolicy::Require, 20_480);
    assert_eq!(places(&solve(&drained)), [(2, "GPU-a".into())]);
}

#[test]
fn a_higher_priority_is_not_held_up_and_a_lower_one_is() {
    for (priority, expected) in [(1, vec![(2, "GPU-b".to_owned())]), (-1, vec![])] {
        let mut problem = contended(301);
        problem.gpus.remove(0);
        problem.classes[1].priority = priority;
        assert_eq!(places(&solve(&problem)), expected, "priority {priority}");
    }
}

#[test]
fn who_waits_for_something_else_than_capacity_keeps_nothing() {
    let cordoned = |mut problem: Problem| {
        problem.gpus.remove(0);
        problem.gpus[0].cordon = Cordon::Cordoned;
        problem.gpus.push(Gpu { total_mib: 8_192, allocatable_mib: 8_192, ..gpu("c", 2) });
        problem
    };
    assert_eq!(places(&solve(&cordoned(contended(9_999)))), [(2, "GPU-c".into())]);
}

#[test]
fn who_cannot_be_helped_does_not_take_the_turn_of_who_can() {
    let mut problem = contended(301);
    problem.gpus.remove(0);
    let cordoned = Gpu { cordon: Cordon::Cordoned, ..gpu("x", 5) };
    problem.gpus.push(cordoned);
    problem.classes.push(at(0, "eve", named("x", OnMiss::Refuse, 20_480), 3, 9_999));
    assert_eq!(places(&solve(&problem)), [], "GPU-b is kept for ada, although eve has waited longer");
}

#[test]
fn of_several_hosts_the_nearest_place_is_kept() {
    let mut problem = contended(301);
    problem.hosts.push(host(2));
    problem.gpus[1].host = host_id(2);
    assert_eq!(places(&solve(&problem)), [(2, "GPU-a".into())]);
    problem.gpus[0].reserved_mib = 4_096;
    assert_eq!(places(&solve(&problem)), [(2, "GPU-b".into())]);
}

#[test]
fn whole_cards_and_several_cards_are_kept_too() {
    for request in [whole_card(), several(2, 20_480)] {
        let mut problem = contended(301);
        problem.classes[0].request = request.clone();
        problem.gpus.push(Gpu { reserved_mib: 20_480, ..gpu("c", 2) });
        let place = places(&solve(&problem)).pop().unwrap().1;
        let expected = if request.cards() == 1 { "GPU-a" } else { "GPU-c" };
        assert_eq!(place, expected, "{request:?}");
    }
}

#[test]
fn cpu_and_memory_of_the_host_are_kept_for_a_starving_one() {
    let large =
        Request { resources: Resources { cpu_millis: 16_000, ..Resources::default() }, ..cpu_request() };
    let tight = Host { cpu_millis_total: 16_000, cpu_millis_free: 15_000, ..host(1) };
    let choice = |waited| {
        let classes = vec![at(0, "ada", large.clone(), 1, waited), at(0, "bob", cpu_request(), 2, 1)];
        let plan = solve(&problem(vec![tight.clone()], vec![], classes));
        places(&plan)
    };
    assert_eq!(choice(300), [(2, "cpu@host-1".into())]);
    assert_eq!(choice(301), []);
}

#[test]
fn what_the_starving_one_does_not_need_of_its_host_is_free_for_others() {
    let mut problem = contended(301);
    problem.gpus.remove(0);
    problem.classes[1].request = cpu_request();
    assert_eq!(places(&solve(&problem)), [(2, "cpu@host-1".into())]);
    problem.hosts[0].cpu_millis_free = 900;
    problem.classes.remove(0);
    assert_eq!(outcome(&solve(&problem)), "cpu@host-1");
}

/// Ticks until a whole-card RunJob gets its place, while small ones never stop coming.
fn ticks_until_served(starvation_seconds: u32) -> Option<u32> {
    let mut leases: Vec<(usize, u32, u32)> = Vec::new();
    for tick in 0..60 {
        leases.retain(|(_, _, ends)| *ends > tick);
        let waited = i64::from(tick) * 60;
        let small_heads = (0..30).map(|number| head(100 + number, 30)).collect();
        let classes = vec![
            at(0, "ada", whole_card(), 1, waited),
            Class { submitter: "bob".into(), ..class(small(), small_heads) },
        ];
        let reserved = |card| leases.iter().filter(|lease| lease.0 == card).map(|lease| lease.1).sum();
        let cards = vec![
            Gpu { reserved_mib: reserved(0), ..gpu("a", 0) },
            Gpu { reserved_mib: reserved(1), ..gpu("b", 1) },
        ];
        let mut problem = problem(vec![host(1)], cards, classes);
        problem.held.insert("ada".into(), 1_000);
        problem.options.starvation_seconds = starvation_seconds;
        let plan = solve(&problem);
        if plan.placements.iter().any(|placement| placement.run_job == run_job(1)) {
            return Some(tick);
        }
        // Every small one runs for 3, 4 or 5 ticks, so that the cards never empty by themselves.
        for (number, placement) in (0..).zip(&plan.placements) {
            for grant in &placement.gpus {
                let card = usize::from(grant.gpu == problem.gpus[1].uuid);
                leases.push((card, grant.reserved_mib, tick + 3 + number % 3));
            }
        }
    }
    None
}

#[test]
fn a_whole_card_is_found_among_small_ones_that_never_stop_coming() {
    assert_eq!(ticks_until_served(u32::MAX), None, "without the rule it never gets one");
    let served = ticks_until_served(300).expect("it gets one");
    assert!((6..=11).contains(&served), "starving after 5 ticks, drained within 5 more, not after {served}");
}
