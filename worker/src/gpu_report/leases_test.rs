use cyberbrain_core::{ids::RunJobId, staging::GpuOrigin};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn lease(from: i64, to: Option<i64>, reserved_mib: u32) -> LeaseSpan {
    let run_job_id: RunJobId = "01938000-0000-7000-8000-000000000002".parse().unwrap();
    LeaseSpan { run_job_id, from: at(from), to: to.map(at), reserved_mib }
}

fn gpu(total_mib: u32, leases: Vec<LeaseSpan>) -> GpuHistory {
    GpuHistory {
        uuid: GpuUuid::new("GPU-a"),
        index: 0,
        host: "alpha".into(),
        model: "Test".into(),
        total_mib,
        origin: GpuOrigin::Simulated,
        samples: Vec::new(),
        samples_left_out: 0,
        xids: Vec::new(),
        leases,
    }
}

fn told(gpu: &GpuHistory) -> Vec<(i64, Option<i64>, u64)> {
    let second = |time: DateTime<Utc>| time.timestamp() - 1_700_000_000;
    overlaps(gpu)
        .iter()
        .map(|overlap| (second(overlap.from), overlap.to.map(second), overlap.reserved_mib))
        .collect()
}

#[test]
fn finds_planted_overlaps_and_nothing_else() {
    let fine =
        vec![lease(0, Some(10), 60), lease(0, Some(10), 40), lease(10, Some(20), 100), lease(20, None, 100)];
    assert_eq!(told(&gpu(100, fine)), [], "full to the last MiB, handed over at one instant");
    let double = vec![lease(0, Some(10), 60), lease(5, Some(15), 60), lease(8, Some(9), 1)];
    assert_eq!(told(&gpu(100, double)), [(5, Some(10), 121)]);
    let lasting = vec![lease(0, None, 60), lease(5, None, 60)];
    assert_eq!(told(&gpu(100, lasting)), [(5, None, 120)]);
    let too_large = vec![lease(3, Some(4), 101)];
    assert_eq!(told(&gpu(100, too_large)), [(3, Some(4), 101)]);
    let empty = vec![lease(3, Some(3), 101), lease(5, Some(4), 101)];
    assert_eq!(told(&gpu(100, empty)), [], "no time, no overlap");
}

#[test]
fn held_times_are_united_and_clipped() {
    let window = Window { from: at(0), to: at(100) };
    let leases = [
        lease(-5, Some(10), 1),
        lease(5, Some(20), 1),
        lease(20, Some(30), 1),
        lease(90, None, 1),
        lease(200, None, 1),
    ];
    assert_eq!(held(&leases, window), [(at(0), at(30)), (at(90), at(100))]);
    assert_eq!(shared_ms((at(25), at(95)), &held(&leases, window)), 10_000);
}

proptest! {
    /// The sweep says what counting at every second says.
    #[test]
    fn agrees_with_counting_second_by_second(
        leases in proptest::collection::vec((0_i64..30, proptest::option::of(0_i64..40), 1_u32..80), 0..8),
    ) {
        let leases: Vec<LeaseSpan> = leases.into_iter().map(|(from, to, mib)| lease(from, to, mib)).collect();
        let gpu = gpu(100, leases.clone());
        let found = told(&gpu);
        for second in 0..45 {
            let reserved: u64 = leases.iter()
                .filter(|lease| lease.from <= at(second) && lease.to.is_none_or(|to| at(second) < to))
                .map(|lease| u64::from(lease.reserved_mib))
                .sum();
            let said = found.iter().any(|&(from, to, _)| from <= second && to.is_none_or(|to| second < to));
            prop_assert_eq!(said, reserved > 100, "second {}", second);
        }
    }
}
