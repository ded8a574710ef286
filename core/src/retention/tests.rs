use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn file(id: u32, days: i64, bytes: u64, need: Need) -> HeldFile<u32> {
    HeldFile { id, bytes, since: now() - TimeDelta::days(days), need }
}

fn swept(policy: Policy, files: &[HeldFile<u32>]) -> Vec<(u32, Cause)> {
    let held = files.iter().map(|file| file.bytes).sum();
    let (removals, _) = Sweep::new(policy, now(), held).page(files);
    removals.into_iter().map(|removal| (removal.id, removal.cause)).collect()
}

/// Name, policy, files, and what goes.
type Case<'a> = (&'a str, Policy, &'a [HeldFile<u32>], &'a [(u32, Cause)]);

#[test]
fn what_is_too_old_goes_then_the_oldest_until_the_rest_fits() {
    use Cause::{Age, Bytes};
    use Need::{Live, Over};
    let files = [file(1, 40, 10, Over), file(2, 30, 10, Over), file(3, 5, 10, Over)];
    let live = [file(1, 40, 10, Live), file(2, 35, 10, Over), file(3, 5, 10, Live), file(4, 4, 10, Over)];
    // Of one age: those that are shown first go first, and no more of them than must.
    let ties = [file(3, 9, 10, Over), file(7, 9, 10, Over), file(1, 9, 10, Over), file(2, 8, 10, Over)];
    let days = |days| Some(TimeDelta::days(days));
    let table: [Case<'_>; 10] = [
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
        (
            "of one age, as shown",
            Policy { max_age: None, max_bytes: Some(20) },
            &ties,
            &[(3, Bytes), (7, Bytes)],
        ),
        (
            "of one age, all that are too old",
            Policy { max_age: days(8), max_bytes: None },
            &ties,
            &[(3, Age), (7, Age), (1, Age)],
        ),
    ];
    for (name, policy, files, expected) in table {
        assert_eq!(swept(policy, files), expected, "{name}");
    }
}

#[test]
fn a_bound_of_nothing_takes_all_that_is_over_and_nothing_else() {
    let files = [file(1, 2, 10, Need::Live), file(2, 1, 10, Need::Over)];
    let policy = Policy { max_age: None, max_bytes: Some(0) };
    assert_eq!(swept(policy, &files), [(2, Cause::Bytes)]);
}

#[test]
fn the_files_of_a_run_are_needed_until_it_has_ended() {
    for status in RunStatus::ALL {
        let need = match status {
            RunStatus::Pending | RunStatus::Running => Need::Live,
            RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled => Need::Over,
        };
        assert_eq!(Need::from(*status), need, "{status}");
    }
}

fn files() -> impl Strategy<Value = Vec<HeldFile<u32>>> {
    let one = (0_i64..100, 0_u64..50, prop::bool::ANY);
    prop::collection::vec(one, 0..40).prop_map(|mut parts| {
        parts.sort_by_key(|(days, ..)| std::cmp::Reverse(*days));
        let files = parts.into_iter().zip(1..);
        let need = |live| if live { Need::Live } else { Need::Over };
        files.map(|((days, bytes, live), n)| file(n, days, bytes, need(live))).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (prop::option::of(0_i64..100), prop::option::of(0_u64..1_000))
        .prop_map(|(days, max_bytes)| Policy { max_age: days.map(TimeDelta::days), max_bytes })
}

proptest! {
    #[test]
    fn never_over_budget_unless_only_live_files_are_left(files in files(), most in 0_u64..1_000) {
        let policy = Policy { max_age: None, max_bytes: Some(most) };
        let gone: BTreeSet<u32> = swept(policy, &files).into_iter().map(|(id, _)| id).collect();
        let left: Vec<_> = files.iter().filter(|file| !gone.contains(&file.id)).collect();
        let bytes: u64 = left.iter().map(|file| file.bytes).sum();
        prop_assert!(bytes <= most || left.iter().all(|file| file.need == Need::Live), "{bytes} of {most}");
    }

    #[test]
    fn live_files_stay_older_ones_go_first_and_no_more_than_needed(files in files(), policy in policies()) {
        let removals = swept(policy, &files);
        prop_assert!(removals.is_sorted_by_key(|(id, _)| *id), "in the order that they were shown: {removals:?}");
        let gone: BTreeSet<u32> = removals.into_iter().map(|(id, _)| id).collect();
        let is_gone = |file: &HeldFile<u32>| gone.contains(&file.id);
        prop_assert!(files.iter().filter(|file| is_gone(file)).all(|file| file.need == Need::Over));
        // Oldest first: what may go and stays is younger than all that went.
        let over: Vec<bool> = files.iter().filter(|file| file.need == Need::Over).map(is_gone).collect();
        prop_assert!(over.windows(2).all(|pair| pair[0] || !pair[1]), "{over:?}");
        let left: u64 = files.iter().filter(|file| !is_gone(file)).map(|file| file.bytes).sum();
        for file in files.iter().filter(|file| file.need == Need::Over) {
            let old = policy.max_age.is_some_and(|age| now() - file.since > age);
            prop_assert!(is_gone(file) || !old, "too old and still there");
            prop_assert!(is_gone(file) || policy.max_bytes.is_none_or(|most| left <= most), "too much and still there");
        }
        if let Some(last) = files.iter().rfind(|file| is_gone(file)) {
            let old = policy.max_age.is_some_and(|age| now() - last.since > age);
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
            paged.extend(removals.into_iter().map(|removal| (removal.id, removal.cause)));
            if next == Next::Done {
                break;
            }
        }
        prop_assert_eq!(paged, swept(policy, &files));
    }
}
