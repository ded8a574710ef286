use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn file(n: u128, days: i64, bytes: u64, run: RunStatus) -> HeldFile {
    HeldFile { id: Uuid::from_u128(n).into(), bytes, stored_at: now() - TimeDelta::days(days), run }
}

fn swept(policy: Policy, files: &[HeldFile]) -> Vec<(u128, Cause)> {
    let held = files.iter().map(|file| file.bytes).sum();
    let (removals, _) = Sweep::new(policy, now(), held).page(files);
    removals.into_iter().map(|removal| (removal.id.uuid().as_u128(), removal.cause)).collect()
}

/// Name, policy, files, and what goes.
type Case<'a> = (&'a str, Policy, &'a [HeldFile], &'a [(u128, Cause)]);

#[test]
fn what_is_too_old_goes_then_the_oldest_until_the_rest_fits() {
    use Cause::{Age, Bytes};
    use RunStatus::{Cancelled, Failed, Pending, Running, Success};
    let files = [file(1, 40, 10, Success), file(2, 30, 10, Failed), file(3, 5, 10, Cancelled)];
    let live = [
        file(1, 40, 10, Running),
        file(2, 35, 10, Success),
        file(3, 5, 10, Pending),
        file(4, 4, 10, Success),
    ];
    let days = |days| Some(TimeDelta::days(days));
    let table: [Case<'_>; 8] = [
        ("no bounds", Policy { max_age: None, max_bytes: None }, &files, &[]),
        ("to the very day is kept", Policy { max_age: days(30), max_bytes: None }, &files, &[(1, Age)]),
        (
            "age takes all that is older",
            Policy { max_age: days(6), max_bytes: None },
            &files,
            &[(1, Age), (2, Age)],
        ),
        ("to the very byte is kept", Policy { max_age: None, max_bytes: Some(30) }, &files, &[]),
        (
            "one byte more takes the oldest",
            Policy { max_age: None, max_bytes: Some(29) },
            &files,
            &[(1, Bytes)],
        ),
        ("what age freed counts", Policy { max_age: days(30), max_bytes: Some(20) }, &files, &[(1, Age)]),
        ("both", Policy { max_age: days(30), max_bytes: Some(10) }, &files, &[(1, Age), (2, Bytes)]),
        (
            "live files stay and are counted",
            Policy { max_age: days(30), max_bytes: Some(25) },
            &live,
            &[(2, Age), (4, Bytes)],
        ),
    ];
    for (name, policy, files, expected) in table {
        assert_eq!(swept(policy, files), expected, "{name}");
    }
}

#[test]
fn a_bound_of_nothing_takes_all_that_has_ended_and_nothing_else() {
    let files = [file(1, 2, 10, RunStatus::Running), file(2, 1, 10, RunStatus::Success)];
    let policy = Policy { max_age: None, max_bytes: Some(0) };
    assert_eq!(swept(policy, &files), [(2, Cause::Bytes)]);
}

fn files() -> impl Strategy<Value = Vec<HeldFile>> {
    let one = (0_i64..100, 0_u64..50, 0_usize..RunStatus::ALL.len());
    prop::collection::vec(one, 0..40).prop_map(|mut parts| {
        parts.sort_by_key(|(days, ..)| std::cmp::Reverse(*days));
        let files = parts.into_iter().zip(1..);
        files.map(|((days, bytes, run), n)| file(n, days, bytes, RunStatus::ALL[run])).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (prop::option::of(0_i64..100), prop::option::of(0_u64..1_000))
        .prop_map(|(days, max_bytes)| Policy { max_age: days.map(TimeDelta::days), max_bytes })
}

proptest! {
    #[test]
    fn live_files_stay_older_ones_go_first_and_no_more_than_needed(files in files(), policy in policies()) {
        let gone: BTreeSet<u128> = swept(policy, &files).into_iter().map(|(n, _)| n).collect();
        let is_gone = |file: &HeldFile| gone.contains(&file.id.uuid().as_u128());
        prop_assert!(files.iter().filter(|file| is_gone(file)).all(|file| file.run.is_terminal()));
        // Oldest first: what may go and stays is younger than all that went.
        let ended: Vec<bool> = files.iter().filter(|file| file.run.is_terminal()).map(is_gone).collect();
        prop_assert!(ended.windows(2).all(|pair| pair[0] || !pair[1]), "{ended:?}");
        let left: u64 = files.iter().filter(|file| !is_gone(file)).map(|file| file.bytes).sum();
        for file in files.iter().filter(|file| file.run.is_terminal()) {
            let old = policy.max_age.is_some_and(|age| now() - file.stored_at > age);
            prop_assert!(is_gone(file) || !old, "too old and still there");
            prop_assert!(is_gone(file) || policy.max_bytes.is_none_or(|most| left <= most), "too much and still there");
        }
        if let Some(last) = files.iter().rfind(|file| is_gone(file)) {
            let old = policy.max_age.is_some_and(|age| now() - last.stored_at > age);
            prop_assert!(old || policy.max_bytes.is_some_and(|most| left + last.bytes > most), "taken without need");
        }
    }

    #[test]
    fn pages_decide_as_one_look_does(files in files(), policy in policies(), size in 1_usize..7) {
        let held = files.iter().map(|file| file.bytes).sum();
        let mut sweep = Sweep::new(policy, now(), held);
        let mut paged = Vec::new();
        for page in files.chunks(size) {
            let (removals, next) = sweep.page(page);
            paged.extend(removals.into_iter().map(|removal| (removal.id.uuid().as_u128(), removal.cause)));
            if next == Next::Done {
                break;
            }
        }
        prop_assert_eq!(paged, swept(policy, &files));
    }
}
