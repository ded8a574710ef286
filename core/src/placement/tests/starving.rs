//! Backfill never starves the head.

use super::{
    class, cpu_request, gpu, gpu_request, head, host, outcome, places, problem, run_job, several, solve,
    whole_card,
};
use crate::{
    placement::{Class, Gpu, Host, Obstacle, Place, Problem, Request, WaitingReason},
    spec::{GpuPolicy, Resources},
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
        problem.gpus[0].cordon = crate::placement::Cordon::Cordoned;
        problem.gpus.push(Gpu { total_mib: 8_192, allocatable_mib: 8_192, ..gpu("c", 2) });
        problem
    };
    assert_eq!(places(&solve(&cordoned(contended(9_999)))), [(2, "GPU-c".into())]);
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
