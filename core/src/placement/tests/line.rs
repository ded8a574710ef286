//! Who goes first, and who is told that it waits.

use std::collections::BTreeMap;

use super::{class, cpu_request, gpu, gpu_request, head, host, now, places, problem, run_job, solve};
use crate::{
    placement::{Class, ClassWaiting, Host, Place, WaitingReason, explain},
    spec::GpuPolicy,
};

/// A host that takes this many default RunJobs.
fn room_for(count: u32) -> Host {
    Host { attempts_max: count, ..host(1) }
}

fn of(submitter: &str, priority: i32, heads: &[(u32, i64)]) -> Class {
    let heads = heads.iter().map(|(number, waited)| head(*number, *waited)).collect();
    Class { priority, submitter: submitter.into(), ..class(cpu_request(), heads) }
}

fn order(hosts: Vec<Host>, classes: Vec<Class>, held: &[(&str, u64)]) -> Vec<u128> {
    let mut problem = problem(hosts, vec![], classes);
    problem.held = held.iter().map(|(submitter, held)| ((*submitter).to_owned(), *held)).collect();
    places(&solve(&problem)).into_iter().map(|(number, _)| number).collect()
}

#[test]
fn priority_goes_before_age() {
    let classes = vec![of("ada", 0, &[(1, 900)]), of("ada", 7, &[(2, 1)]), of("ada", -3, &[(3, 9_000)])];
    assert_eq!(order(vec![room_for(9)], classes, &[]), [2, 1, 3]);
}

#[test]
fn age_decides_within_one_submitter_across_its_classes() {
    let other = Class { request: gpu_request(GpuPolicy::Prefer, 1), ..of("ada", 0, &[(2, 20), (4, 5)]) };
    assert_eq!(order(vec![room_for(9)], vec![of("ada", 0, &[(1, 30), (3, 10)]), other], &[]), [1, 2, 3, 4]);
}

#[test]
fn submitters_take_turns_by_what_they_hold() {
    let classes = || vec![of("ada", 0, &[(1, 90), (2, 80), (3, 70)]), of("bob", 0, &[(4, 60), (5, 50)])];
    assert_eq!(order(vec![room_for(9)], classes(), &[]), [1, 4, 2, 5, 3]);
    assert_eq!(order(vec![room_for(9)], classes(), &[("ada", 2)]), [4, 5, 1, 2, 3]);
    assert_eq!(order(vec![room_for(2)], classes(), &[("ada", 2)]), [4, 5], "what one holds already counts");
    assert_eq!(order(vec![room_for(9)], classes(), &[("bob", 2)]), [1, 2, 3, 4, 5]);
}

#[test]
fn what_one_got_at_a_higher_priority_counts_too() {
    let classes = vec![of("ada", 1, &[(1, 1)]), of("ada", 0, &[(2, 90)]), of("bob", 0, &[(3, 10)])];
    assert_eq!(order(vec![room_for(9)], classes, &[]), [1, 3, 2]);
}

#[test]
fn a_class_says_how_many_wait_and_why() {
    let listed = of("ada", 0, &[(1, 90), (2, 80), (3, 70)]);
    let all_placed = Class { waiting: 10, ..listed.clone() };
    let plan = solve(&problem(vec![room_for(9)], vec![], vec![all_placed.clone()]));
    assert_eq!(plan.waiting, [ClassWaiting { class: 0, waiting: 7, reason: WaitingReason::NextTick }]);

    let below = Class { waiting: 10, ..of("ada", -1, &[(4, 60)]) };
    let plan = solve(&problem(vec![room_for(2)], vec![], vec![listed, below]));
    let told: Vec<_> =
        plan.waiting.iter().map(|told| (told.class, told.waiting, told.reason.to_string())).collect();
    let why = "host host-1: the host has its most of 2 open attempts".to_owned();
    assert_eq!(told, [(0, 1, why.clone()), (1, 10, why)]);
}

#[test]
fn explain_names_every_place_and_the_place_in_line() {
    let wants_gpu =
        Class { submitter: "bob".into(), ..class(gpu_request(GpuPolicy::Prefer, 8_192), vec![head(9, 5)]) };
    let mut problem = problem(
        vec![host(1), Host { cpu_millis_free: 400, ..host(2) }],
        vec![crate::placement::Gpu { reserved_mib: 20_000, ..gpu("a", 0) }, gpu("b", 1)],
        vec![
            Class { waiting: 50, ..of("ada", 1, &[(1, 90), (2, 80)]) },
            of("ada", 0, &[(3, 70), (4, 60)]),
            wants_gpu,
            of("eve", -1, &[(5, 9_000)]),
        ],
    );
    problem.held = BTreeMap::from([("bob".to_owned(), 51)]);
    let explanation = explain(&problem, run_job(9), now()).unwrap();
    // 50 of a higher priority, and the two of ada, who holds less.
    assert_eq!(explanation.ahead, 52);
    let places: Vec<_> = explanation
        .candidates
        .iter()
        .map(|candidate| {
            let obstacle =
                candidate.obstacle.map_or_else(|| "fits".to_owned(), |obstacle| obstacle.to_string());
            (candidate.place.to_string(), candidate.host.as_str(), obstacle)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("GPU-a".to_owned(), "host-1", "short 4107 MiB".to_owned()),
            ("GPU-b".to_owned(), "host-1", "fits".to_owned()),
            ("host host-1".to_owned(), "host-1", "fits".to_owned()),
            ("host host-2".to_owned(), "host-2", "short 100 CPU millis".to_owned()),
        ]
    );
    assert_eq!(explanation.candidates[3].place, Place::Host("host-2".into()));
    assert_eq!(explain(&problem, run_job(77), now()), None);
}
