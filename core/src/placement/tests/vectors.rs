//! The seed score by its published vectors, and what counts as free.

use super::{gpu, gpu_request, outcome, solve_one};
use crate::{
    placement::{Gpu, Options, effective_free_mib, seed_score},
    spec::GpuPolicy,
};

#[test]
fn the_seed_score_has_its_published_values() {
    for (total, free, utilization, expected) in [
        (24_576, 24_576, 0, Some(0.0)),
        (24_576, 12_288, 50, Some(0.5)),
        (24_576, 0, 100, Some(1.0)),
        (24_576, 6_144, 20, Some(0.53)),
        (0, 0, 0, None),
        (0, 24_576, 0, None),
    ] {
        let score = seed_score(total, free, utilization);
        let same = match (score, expected) {
            (Some(score), Some(expected)) => f64::abs(score - expected) < 1e-12,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        assert!(same, "{total}, {free}, {utilization}: {score:?}, expected {expected:?}");
    }
}

#[test]
fn free_is_what_neither_ledger_nor_containers_nor_strangers_nor_safety_take() {
    let idle = gpu("a", 0);
    for (card, expected) in [
        (idle.clone(), 24_576 - 491),
        (Gpu { reserved_mib: 8_192, ..idle.clone() }, 24_576 - 491 - 8_192),
        (Gpu { reserved_mib: 8_192, overshoot_mib: 1_000, ..idle.clone() }, 24_576 - 491 - 9_192),
        (Gpu { foreign_mib: 6_144, reserved_mib: 10_240, ..idle.clone() }, 24_576 - 491 - 16_384),
        (Gpu { foreign_mib: 24_576, ..idle.clone() }, 0),
        // 2 % of a small card is less than the least margin.
        (Gpu { total_mib: 8_192, allocatable_mib: 8_192, ..idle.clone() }, 8_192 - 256),
        (Gpu { total_mib: 0, allocatable_mib: 0, ..idle.clone() }, 0),
    ] {
        assert_eq!(effective_free_mib(&card, Options::default().safety), expected, "{card:?}");
    }
}

#[test]
fn the_lowest_score_is_taken_and_ties_go_to_the_lowest_index() {
    let need = || gpu_request(GpuPolicy::Require, 4_096);
    let a = gpu("a", 0);
    let b = gpu("b", 1);
    for (why, cards, expected) in [
        ("tie", vec![b.clone(), a.clone()], "GPU-a"),
        ("less free", vec![Gpu { reserved_mib: 1, ..a.clone() }, b.clone()], "GPU-b"),
        ("busier", vec![Gpu { utilization_percent: Some(1), ..a.clone() }, b.clone()], "GPU-b"),
        ("does not tell", vec![Gpu { utilization_percent: None, ..a.clone() }, b.clone()], "GPU-b"),
        ("just given away", vec![Gpu { expected_utilization_percent: 50, ..a.clone() }, b.clone()], "GPU-b"),
        ("overshoot", vec![Gpu { overshoot_mib: 100, ..a.clone() }, b.clone()], "GPU-b"),
        ("strangers", vec![Gpu { foreign_mib: 100, ..a.clone() }, b.clone()], "GPU-b"),
        ("no memory", vec![Gpu { total_mib: 0, allocatable_mib: 0, ..a.clone() }, b.clone()], "GPU-b"),
        (
            "memory weighs more than utilization",
            vec![
                Gpu { utilization_percent: Some(50), ..a.clone() },
                Gpu { reserved_mib: 12_288, ..b.clone() },
            ],
            "GPU-a",
        ),
    ] {
        assert_eq!(outcome(&solve_one(cards, need())), expected, "{why}");
    }
}
