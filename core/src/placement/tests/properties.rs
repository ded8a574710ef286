//! Properties of every plan, on random clusters and queues.

use std::collections::BTreeSet;

use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{generate::problems, gpu, host, host_id, now};
use crate::{
    ids::RunJobId,
    placement::{
        Class, Cordon, Gpu, GpuHealth, Head, Host, Placeability, Placement, Plan, Problem, Request,
        Selection, Telemetry, effective_free_mib, explain, place,
    },
    spec::{GpuPolicy, OnMiss},
};

fn class_of(problem: &Problem, run_job: RunJobId) -> &Class {
    problem.classes.iter().find(|class| class.heads.iter().any(|head| head.run_job == run_job)).unwrap()
}

fn is_placed(plan: &Plan, run_job: RunJobId) -> bool {
    plan.placements.iter().any(|placement| placement.run_job == run_job)
}

/// Whether GPUs are known and none could ever take this, said independently of the code under test.
fn nothing_to_wait_for(problem: &Problem, request: &Request) -> bool {
    let may_use = |host: &&Host| request.host.as_ref().is_none_or(|pinned| *pinned == host.name);
    let on = |host: &Host| {
        problem.gpus.iter().filter(|gpu| gpu.host == host.id && gpu.total_mib > 0).collect::<Vec<_>>()
    };
    let known = problem.hosts.iter().filter(may_use).any(|host| !on(host).is_empty());
    let could = problem.hosts.iter().filter(may_use).any(|host| {
        let enough = on(host).into_iter().filter(|gpu| {
            let safety = u32::max(256, gpu.total_mib / 50);
            request
                .gpu
                .min_vram_mib
                .is_none_or(|need| need <= gpu.allocatable_mib && need <= gpu.total_mib - safety)
        });
        request.resources.cpu_millis <= host.cpu_millis_total
            && request.resources.memory_mib <= host.memory_mib_total
            && u32::try_from(enough.count()).unwrap() >= request.gpu.count
    });
    known && !could
}

fn taken<'a>(problem: &'a Problem, placements: &[&Placement]) -> Vec<&'a Class> {
    placements.iter().map(|placement| class_of(problem, placement.run_job)).collect()
}

proptest! {
    #[test]
    fn nothing_is_over_capacity(problem in problems()) {
        let plan = place(&problem, now());
        for host in &problem.hosts {
            let here: Vec<_> = plan.placements.iter().filter(|placement| placement.host == host.id).collect();
            let classes = taken(&problem, &here);
            let cpu: u32 = classes.iter().map(|class| class.request.resources.cpu_millis).sum();
            let memory: u32 = classes.iter().map(|class| class.request.resources.memory_mib).sum();
            prop_assert!(cpu <= host.cpu_millis_free && memory <= host.memory_mib_free);
            let open = host.attempts_open + u32::try_from(here.len()).unwrap();
            prop_assert!(here.is_empty() || open <= host.attempts_max);
            prop_assert!(here.is_empty() || host.placeability == Placeability::Ready);
        }
        for card in &problem.gpus {
            let grants: Vec<_> = plan
                .placements
                .iter()
                .flat_map(|placement| &placement.gpus)
                .filter(|grant| grant.gpu == card.uuid)
                .collect();
            let given: u32 = grants.iter().map(|grant| grant.reserved_mib).sum();
            prop_assert!(card.reserved_mib + given <= card.allocatable_mib, "ledger of {}", card.uuid);
            let whole = given == card.allocatable_mib && card.reserved_mib == 0 && grants.len() == 1;
            prop_assert!(whole || given <= effective_free_mib(card, problem.options.safety), "{}", card.uuid);
            prop_assert!(grants.iter().all(|grant| grant.reserved_mib > 0));
            let placeable = card.telemetry == Telemetry::Fresh
                && card.health == GpuHealth::Healthy
                && card.cordon == Cordon::Open
                && card.total_mib > 0;
            prop_assert!(grants.is_empty() || placeable, "{}", card.uuid);
        }
    }

    #[test]
    fn everyone_is_placed_refused_or_told_why(problem in problems()) {
        let plan = place(&problem, now());
        for (position, class) in problem.classes.iter().enumerate() {
            let mut settled = 0;
            for head in &class.heads {
                let placed = plan.placements.iter().filter(|placement| placement.run_job == head.run_job).count();
                let refused = plan.refused.iter().filter(|refused| refused.run_job == head.run_job).count();
                prop_assert!(placed + refused <= 1);
                settled += placed + refused;
            }
            let left = class.waiting - u64::try_from(settled).unwrap();
            let told: Vec<_> = plan.waiting.iter().filter(|waiting| waiting.class == position).collect();
            prop_assert_eq!(told.len(), usize::from(left > 0));
            prop_assert!(told.iter().all(|told| told.waiting == left));
        }
    }

    #[test]
    fn several_cards_are_distinct_and_on_the_host_of_the_placement(problem in problems()) {
        for placement in place(&problem, now()).placements {
            let request = &class_of(&problem, placement.run_job).request;
            let cards: BTreeSet<_> = placement.gpus.iter().map(|grant| &grant.gpu).collect();
            let homes: BTreeSet<_> =
                problem.gpus.iter().filter(|gpu| cards.contains(&gpu.uuid)).map(|gpu| gpu.host).collect();
            prop_assert_eq!(cards.len(), placement.gpus.len());
            prop_assert!(cards.is_empty() || u32::try_from(cards.len()).unwrap() == request.cards());
            prop_assert!(homes.iter().all(|home| *home == placement.host));
            let name = &problem.hosts.iter().find(|host| host.id == placement.host).unwrap().name;
            prop_assert!(request.host.as_ref().is_none_or(|pinned| pinned == name));
        }
    }

    #[test]
    fn the_selection_agrees_with_the_place_and_the_policy(problem in problems()) {
        for placement in place(&problem, now()).placements {
            let class = class_of(&problem, placement.run_job);
            let head = class.heads.iter().find(|head| head.run_job == placement.run_job).unwrap();
            let strict = class.request.named_gpu().is_some_and(|(_, on_miss)| on_miss == OnMiss::Refuse);
            match (&placement.selection, class.request.gpu.policy) {
                (Selection::Cpu, policy) => prop_assert_eq!(policy, GpuPolicy::None),
                (Selection::CpuFallback { .. }, policy) => {
                    prop_assert_eq!(policy, GpuPolicy::Prefer);
                    prop_assert!(!strict && placement.gpus.is_empty());
                    let early = now() < head.prefer_expires;
                    prop_assert!(!early || nothing_to_wait_for(&problem, &class.request));
                }
                (Selection::Gpu { cards, .. } | Selection::Explicit { cards } | Selection::AfterMiss { cards, .. }, policy) => {
                    prop_assert!(policy != GpuPolicy::None);
                    prop_assert_eq!(cards.len(), placement.gpus.len());
                    let explicit = matches!(placement.selection, Selection::Explicit { .. });
                    prop_assert!(!strict || explicit);
                }
            }
        }
    }

    #[test]
    fn no_lower_priority_of_the_same_shape_goes_first(problem in problems()) {
        let plan = place(&problem, now());
        for upper in &problem.classes {
            for lower in problem.classes.iter().filter(|class| class.priority < upper.priority) {
                // Whether `prefer` has expired differs between heads: only GPU places are compared.
                if upper.request != lower.request {
                    continue;
                }
                let waits = upper.heads.iter().any(|head| !is_placed(&plan, head.run_job));
                let on_gpu = |head: &Head| {
                    plan.placements.iter().any(|placement| placement.run_job == head.run_job && !placement.gpus.is_empty())
                };
                let overtakes = match upper.request.gpu.policy {
                    GpuPolicy::None | GpuPolicy::Require => lower.heads.iter().any(|head| is_placed(&plan, head.run_job)),
                    GpuPolicy::Prefer => lower.heads.iter().any(on_gpu),
                };
                prop_assert!(!(waits && overtakes), "{:?}", upper.request);
            }
        }
    }

    #[test]
    fn age_is_respected_within_a_class(problem in problems()) {
        let plan = place(&problem, now());
        for class in problem.classes.iter().filter(|class| class.request.gpu.policy != GpuPolicy::Prefer) {
            let placed: Vec<bool> = class.heads.iter().map(|head| is_placed(&plan, head.run_job)).collect();
            prop_assert!(placed.is_sorted_by(|older, younger| older >= younger), "{placed:?}");
        }
    }

    #[test]
    fn a_plan_depends_on_nothing_but_the_problem(problem in problems(), turn in 0..8_usize) {
        let plan = place(&problem, now());
        prop_assert_eq!(&plan, &place(&problem.clone(), now()));
        let mut turned = problem.clone();
        let (hosts, gpus) = (turned.hosts.len().max(1), turned.gpus.len().max(1));
        turned.hosts.rotate_left(turn % hosts);
        turned.gpus.rotate_left(turn % gpus);
        prop_assert_eq!(&plan, &place(&turned, now()));
    }

    #[test]
    fn explain_agrees_with_a_plan_for_one(problem in problems()) {
        let mut alone = problem;
        alone.classes.truncate(1);
        let Some(class) = alone.classes.first_mut() else { return Ok(()) };
        class.heads.truncate(1);
        class.waiting = 1;
        let head = class.heads[0];
        let cards = class.request.cards();
        let named = class.request.named_gpu().is_some();
        let explanation = explain(&alone, head.run_job, now()).unwrap();
        let plan = place(&alone, now());
        prop_assert_eq!(explanation.ahead, 0);
        let fits = explanation.candidates.iter().any(|candidate| candidate.obstacle.is_none());
        if is_placed(&plan, head.run_job) {
            prop_assert!(fits);
        } else if cards <= 1 && !named && alone.classes[0].request.gpu.policy != GpuPolicy::Prefer {
            prop_assert!(!fits || !plan.refused.is_empty());
        }
    }
}

/// 2,000 heads and 400 GPUs: the size that a tick is made for.
#[test]
fn a_full_tick_is_fast() {
    let hosts: Vec<Host> = (1..=50).map(|number| Host { attempts_max: 1_000, ..host(number) }).collect();
    let gpus: Vec<Gpu> = (0..400)
        .map(|number| Gpu { host: host_id(number / 8 + 1), ..gpu(&format!("{number:03}"), number % 8) })
        .collect();
    let crowd = |vram: fn(u32) -> u32| {
        let class = |number: u32| {
            let mut request = super::gpu_request(GpuPolicy::Require, vram(number));
            request.resources.cpu_millis = 100;
            Class {
                submitter: format!("user-{}", number % 7),
                ..super::class(request, vec![super::head(number, 600)])
            }
        };
        super::problem(hosts.clone(), gpus.clone(), (1..=2_000).map(class).collect())
    };
    // All of one shape and placed; all shapes different and placed; all different, most waiting.
    for (what, problem) in [
        ("one shape", crowd(|_| 2_048)),
        ("2,000 shapes", crowd(|number| 1_000 + number / 4)),
        ("2,000 shapes, most wait", crowd(|number| 13_000 + number)),
    ] {
        let plan = place(&problem, now());
        let timed = || {
            let start = std::time::Instant::now();
            std::hint::black_box(place(&problem, now()));
            start.elapsed()
        };
        // The best of some: other tests run beside this one.
        let rounds = if cfg!(debug_assertions) { 1 } else { 5 };
        let took = (0..rounds).map(|_| timed()).min().unwrap();
        println!("{what}: {} placed, {} classes wait, {took:?}", plan.placements.len(), plan.waiting.len());
        assert_eq!(plan.placements.len() + plan.waiting.len(), 2_000, "{what}");
        if !cfg!(debug_assertions) {
            assert!(took < std::time::Duration::from_millis(100), "{what} took {took:?}");
        }
    }
}
