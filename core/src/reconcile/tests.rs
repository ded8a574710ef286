use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn id(n: u128) -> AttemptId {
    Uuid::from_u128(n).into()
}

fn container(name: &'static str, attempt: u128, fence: i32, phase: Phase) -> Container<&'static str> {
    let subject = Subject::Attempt { id: id(attempt), fence: Some(Fence(fence)) };
    Container { name, subject, phase, seen_for: Duration::ZERO }
}

fn row(attempt: u128, state: AttemptState, fence: i32, owner: Owner) -> Attempt {
    Attempt { id: id(attempt), state, fence: Fence(fence), owner, place: Place::Held }
}

fn remove(container: &'static str, why: Removal) -> Action<&'static str> {
    Action::Remove { container, attempt: Some(id(1)), why }
}

#[test]
fn decides_by_who_drives_and_what_is_there() {
    use AttemptState::{Accepted, Done, Lost, Offered, Running, Starting, Stopping};
    use Owner::{Driven, Forgotten, Nobody, Sibling};
    use Phase::{Created, Ended, Live};
    let adopt = || vec![Action::Adopt { attempt: id(1) }];
    let finish = || vec![Action::Finish { attempt: id(1) }];
    let one = |phase| vec![container("f1", 1, 1, phase)];
    let table = [
        ("an orphan before its container", vec![], row(1, Accepted, 2, Nobody), adopt()),
        ("an orphan whose create may come", vec![], row(1, Starting, 2, Nobody), adopt()),
        ("an orphan that was created", one(Created), row(1, Starting, 2, Nobody), adopt()),
        ("an orphan that runs", one(Live), row(1, Running, 2, Nobody), adopt()),
        ("an orphan that ended meanwhile", one(Ended), row(1, Running, 2, Nobody), finish()),
        ("an orphan that was removed by somebody", vec![], row(1, Running, 2, Nobody), adopt()),
        ("a lost answer", one(Live), row(1, Running, 1, Forgotten), adopt()),
        ("ours, running", one(Live), row(1, Running, 1, Driven), vec![]),
        ("ours, ended, being stored", one(Ended), row(1, Running, 1, Driven), vec![]),
        ("a sibling's", one(Live), row(1, Stopping, 1, Sibling), vec![]),
        ("a sibling's, about to be renamed", one(Live), row(1, Running, 2, Sibling), vec![]),
        ("done, being removed by us", one(Ended), row(1, Done, 1, Driven), vec![]),
        (
            "done, its owner died",
            one(Ended),
            row(1, Done, 1, Sibling),
            vec![remove("f1", Removal::AttemptEnded)],
        ),
        (
            "given up, still running",
            one(Live),
            row(1, Lost, 1, Nobody),
            vec![remove("f1", Removal::AttemptEnded)],
        ),
        ("just ended, absent", vec![], row(1, Done, 1, Nobody), vec![]),
        ("offered", vec![], row(1, Offered, 1, Nobody), vec![]),
    ];
    for (what, containers, attempt, expected) in table {
        assert_eq!(reconcile(&containers, &[attempt]), expected, "{what}");
    }
}

#[test]
fn a_place_is_given_back_only_when_the_engine_was_asked_after_the_end() {
    let ended = |place| Attempt { place, ..row(1, AttemptState::Lost, 1, Owner::Nobody) };
    let none: [Container<&str>; 0] = [];
    assert_eq!(reconcile(&none, &[ended(Place::HeldAfterEnd)]), [Action::Release { attempt: id(1) }]);
    assert_eq!(reconcile(&none, &[ended(Place::Held)]), []);
    assert_eq!(reconcile(&none, &[ended(Place::Released)]), []);
    let present = [container("f1", 1, 1, Phase::Live)];
    assert_eq!(
        reconcile(&present, &[ended(Place::HeldAfterEnd)]),
        [remove("f1", Removal::AttemptEnded)],
        "first it has to be gone"
    );
}

#[test]
fn a_slow_owners_container_goes_once_the_new_owner_has_its_own() {
    let late = container("f1", 1, 1, Phase::Created);
    let own = container("f2", 1, 2, Phase::Live);
    for owner in [Owner::Driven, Owner::Sibling] {
        let attempt = row(1, AttemptState::Running, 2, owner);
        assert_eq!(
            reconcile(&[late.clone(), own.clone()], &[attempt]),
            [remove("f1", Removal::Leftover)],
            "{owner:?}"
        );
        assert_eq!(reconcile(std::slice::from_ref(&late), &[attempt]), []);
    }
}

#[test]
fn strays_are_quarantined_first() {
    let mut unknown = container("f1", 1, 1, Phase::Live);
    let mut helper = Container { subject: Subject::Helper, ..unknown.clone() };
    let mut unreadable = Container { subject: Subject::Unreadable, ..unknown.clone() };
    assert_eq!(reconcile(std::slice::from_ref(&unknown), &[]), [Action::Quarantine { container: "f1" }]);
    assert_eq!(reconcile(std::slice::from_ref(&helper), &[]), []);
    for container in [&mut unknown, &mut helper, &mut unreadable] {
        container.seen_for = QUARANTINE;
    }
    assert_eq!(reconcile(&[unknown], &[]), [remove("f1", Removal::Stray)]);
    let stray = Action::Remove { container: "f1", attempt: None, why: Removal::Stray };
    assert_eq!(reconcile(&[helper], &[]), [stray]);
    assert_eq!(
        reconcile(&[unreadable], &[]),
        [Action::Quarantine { container: "f1" }],
        "it may be anybody's"
    );
}

fn any_container() -> impl Strategy<Value = Container<usize>> {
    let subject = prop_oneof![
        8 => (0_u128..4, prop::option::of(1_i32..4))
            .prop_map(|(n, fence)| Subject::Attempt { id: id(n), fence: fence.map(Fence) }),
        1 => Just(Subject::Helper),
        1 => Just(Subject::Unreadable),
    ];
    let phase = prop::sample::select(vec![Phase::Created, Phase::Live, Phase::Ended]);
    (subject, phase, 0_u64..1_200).prop_map(|(subject, phase, seconds)| Container {
        name: 0,
        subject,
        phase,
        seen_for: Duration::from_secs(seconds),
    })
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let state = prop::sample::select(AttemptState::ALL);
    let owner = prop::sample::select(vec![Owner::Nobody, Owner::Driven, Owner::Forgotten, Owner::Sibling]);
    let place = prop::sample::select(vec![Place::Held, Place::HeldAfterEnd, Place::Released]);
    (0_u128..4, state, 1_i32..4, owner, place).prop_map(|(n, state, fence, owner, place)| {
        let place = if state.is_open() { Place::Held } else { place };
        Attempt { id: id(n), state, fence: Fence(fence), owner, place }
    })
}

proptest! {
    #[test]
    fn never_touches_what_somebody_drives(
        containers in prop::collection::vec(any_container(), 0..8),
        attempts in prop::collection::vec(any_attempt(), 0..4),
    ) {
        let containers: Vec<_> =
            containers.into_iter().enumerate().map(|(name, c)| Container { name, ..c }).collect();
        let attempts: Vec<_> =
            attempts.into_iter().map(|row| (row.id, row)).collect::<BTreeMap<_, _>>().into_values().collect();
        let actions = reconcile(&containers, &attempts);
        let row_of = |attempt: AttemptId| attempts.iter().find(|row| row.id == attempt);
        let mut taken = Vec::new();
        for action in &actions {
            match action {
                Action::Adopt { attempt } | Action::Finish { attempt } => {
                    let row = row_of(*attempt).unwrap();
                    prop_assert!(row.state.is_open() && row.state != AttemptState::Offered);
                    prop_assert!(matches!(row.owner, Owner::Nobody | Owner::Forgotten));
                    prop_assert!(!taken.contains(attempt), "taken up twice");
                    taken.push(*attempt);
                }
                Action::Remove { container, attempt, .. } => {
                    let found = &containers[*container];
                    if let Some(row) = attempt.and_then(row_of) {
                        if row.state.is_open() {
                            prop_assert_eq!(found.phase, Phase::Created, "an open attempt's container ran");
                            let newer = matches!(found.subject, Subject::Attempt { fence: Some(fence), .. } if fence >= row.fence);
                            prop_assert!(!newer, "it is its owner's");
                        } else {
                            prop_assert_ne!(row.owner, Owner::Driven);
                        }
                    } else {
                        prop_assert!(found.seen_for >= QUARANTINE);
                    }
                }
                Action::Release { attempt } => {
                    let row = row_of(*attempt).unwrap();
                    prop_assert_eq!(row.place, Place::HeldAfterEnd);
                    let absent = !containers.iter()
                        .any(|c| matches!(c.subject, Subject::Attempt { id, .. } if id == *attempt));
                    prop_assert!(absent, "released beside its container");
                }
                Action::Quarantine { .. } => {}
            }
        }
    }
}
