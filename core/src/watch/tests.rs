//! Tests of the watch, the guard's rule and the standby's rule.

use std::{collections::BTreeSet, time::Duration};

use proptest::{
    prelude::{Strategy, any, prop},
    prop_assert, prop_assert_eq, proptest,
};

use super::{
    MAX_GAP, Presence, Reassignment, SILENT_AFTER, Watch,
    guard::{Judgement, MARGIN, judge, least_host_lost_after, stop_after},
    leader::{BEAT, CLAIM_AFTER, Candidacy, LeaderRow, READ_EVERY, Standby},
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

/// Silence of the key `a` after these reads of (instant in ms, counters).
fn silence_after(reads: &[(u64, &[(&'static str, i64)])]) -> Duration {
    let mut watch = Watch::default();
    for (instant, counters) in reads {
        watch.read(*instant, counters);
    }
    watch.silence(&"a")
}

#[test]
fn silence_is_counted_between_reads_that_are_close_together() {
    for (why, reads, expected_ms) in [
        ("one read", vec![(100, &[("a", 1)][..])], 0),
        ("stands still", vec![(0, &[("a", 1)]), (5_000, &[("a", 1)]), (7_000, &[("a", 1)])], 7_000),
        ("moves", vec![(0, &[("a", 1)]), (5_000, &[("a", 1)]), (7_000, &[("a", 2)])], 0),
        ("moves and stands still", vec![(0, &[("a", 1)]), (2_000, &[("a", 2)]), (3_000, &[("a", 2)])], 1_000),
        (
            "a changed counter resets, also downwards",
            vec![(0, &[("a", 9)]), (2_000, &[("a", 9)]), (3_000, &[("a", 1)])],
            0,
        ),
        (
            "a long gap counts nothing",
            vec![(0, &[("a", 1)]), (2_000, &[("a", 1)]), (7_001, &[("a", 1)]), (8_001, &[("a", 1)])],
            3_000,
        ),
        (
            "an hour without a database",
            vec![(0, &[("a", 1)]), (1_000, &[("a", 1)]), (3_601_000, &[("a", 1)])],
            1_000,
        ),
        (
            "vanished and back",
            vec![(0, &[("a", 1)]), (2_000, &[("a", 1)]), (3_000, &[]), (4_000, &[("a", 1)])],
            0,
        ),
        (
            "a clock that jumps back",
            vec![(9_000, &[("a", 1)]), (5_000, &[("a", 1)]), (9_000, &[("a", 1)]), (9_500, &[("a", 1)])],
            500,
        ),
        ("another one's moves", vec![(0, &[("a", 1), ("b", 1)]), (3_000, &[("a", 1), ("b", 2)])], 3_000),
    ] {
        assert_eq!(silence_after(&reads), Duration::from_millis(expected_ms), "{why}");
    }
}

/// A watch whose keys have been silent for these many seconds.
fn silent_for(silences: &[u64]) -> Watch<usize> {
    let end = silences.iter().max().copied().unwrap_or(0);
    let mut watch = Watch::default();
    for second in 0..=end {
        let counters: Vec<(usize, i64)> = silences
            .iter()
            .enumerate()
            .map(|(key, silence)| (key, i64::try_from(second.min(end - silence)).unwrap()))
            .collect();
        watch.read(second * 1_000, &counters);
    }
    for (key, silence) in silences.iter().enumerate() {
        assert_eq!(watch.silence(&key), seconds(*silence));
    }
    watch
}

#[test]
fn presence_follows_silence() {
    for (silence, expected) in [
        (0, Presence::Live),
        (14, Presence::Live),
        (15, Presence::Silent),
        (59, Presence::Silent),
        (60, Presence::Lost),
        (600, Presence::Lost),
    ] {
        assert_eq!(silent_for(&[silence]).presence(&0, seconds(60)), expected, "{silence} s");
    }
    assert_eq!(silent_for(&[600]).presence(&7, seconds(60)), Presence::Live, "an unknown key");
}

#[test]
fn reassignment_pauses_when_more_than_half_fall_silent_together() {
    let paused = |silent, of| Reassignment::Paused { silent, of };
    for (why, silences, given_up, expected) in [
        ("all live", &[0, 1, 2][..], &[][..], Reassignment::Allowed),
        ("nobody", &[], &[], Reassignment::Allowed),
        ("not silent yet", &[14, 14, 14], &[], Reassignment::Allowed),
        ("all", &[15, 16, 17], &[], paused(3, 3)),
        ("just half", &[20, 20, 0, 0], &[], Reassignment::Allowed),
        ("more than half", &[20, 20, 20, 0, 0], &[], paused(3, 5)),
        ("more than half, but one by one", &[20, 60, 100, 0, 0], &[], Reassignment::Allowed),
        ("within one period", &[20, 28, 35, 0, 0], &[], paused(3, 5)),
        ("over more than one period", &[20, 28, 36, 0, 0], &[], Reassignment::Allowed),
        ("still paused long after", &[320, 325, 330, 0, 0], &[], paused(3, 5)),
        ("half is back", &[320, 325, 0, 0, 0], &[], Reassignment::Allowed),
        ("of those that were left", &[20, 21, 0, 400, 900], &[], paused(2, 3)),
        ("died long ago, before this reader", &[400, 400, 400, 0, 0], &[0, 1, 2], Reassignment::Allowed),
        ("the rest of them", &[400, 400, 400, 20, 20], &[0, 1, 2], paused(2, 2)),
    ] {
        let given_up: BTreeSet<usize> = given_up.iter().copied().collect();
        assert_eq!(silent_for(silences).reassignment(&given_up), expected, "{why}");
    }
}

#[test]
fn the_guard_stops_early_enough() {
    for (lost_after, grace, expected) in [
        (300, 10, 225),
        (300, 60, 225),
        (300, 61, 224),
        (60, 10, 35),
        (100, 10, 75),
        (40, 10, 15),
        (20, 10, 0),
        (0, 0, 0),
    ] {
        assert_eq!(
            stop_after(seconds(lost_after), seconds(grace)),
            seconds(expected),
            "{lost_after} {grace}"
        );
    }
    let rule = |silence| judge(Duration::from_millis(silence), seconds(300), seconds(10));
    assert_eq!(rule(0), Judgement::Keep { remaining: seconds(225) });
    assert_eq!(rule(224_999), Judgement::Keep { remaining: Duration::from_millis(1) });
    assert_eq!(rule(225_000), Judgement::Stop);
    assert_eq!(rule(999_999), Judgement::Stop);
}

/// How long after its last beat a leader is replaced, if the standby reads at this phase and pace.
fn takeover(phase_ms: u64, pace_ms: u64) -> u64 {
    let mut standby = Standby::default();
    let last_beat_ms = 20 * millis(BEAT);
    let mut instant = phase_ms;
    loop {
        let counter = i64::try_from(instant.min(last_beat_ms) / millis(BEAT)).unwrap();
        match standby.read(instant, Some(LeaderRow { term: 4, counter })) {
            Candidacy::Follow { silence } => assert!(silence < CLAIM_AFTER),
            Candidacy::Claim { term, instead_of } => {
                assert_eq!((term, instead_of), (5, Some(LeaderRow { term: 4, counter: 20 })));
                return instant - last_beat_ms;
            }
        }
        instant += pace_ms;
    }
}

#[test]
fn a_dead_leader_is_replaced_within_ten_seconds_and_a_live_one_never() {
    for phase in (0..1_000).step_by(50) {
        for pace in [millis(READ_EVERY), 250, 1_700, 2_000] {
            let took = takeover(phase, pace);
            assert!(took < 10_000, "phase {phase} ms, every {pace} ms: {took} ms");
            assert!(took >= millis(CLAIM_AFTER), "phase {phase} ms, every {pace} ms: {took} ms");
        }
    }
}

#[test]
fn a_standby_claims_a_vacant_row_and_follows_a_new_term() {
    let mut standby = Standby::default();
    assert_eq!(standby.read(0, None), Candidacy::Claim { term: 1, instead_of: None });
    let row = |term| Some(LeaderRow { term, counter: 7 });
    for second in 1..5 {
        standby.read(second * 1_000, row(1));
    }
    let silence = seconds(4);
    assert_eq!(standby.read(5_000, row(1)), Candidacy::Follow { silence });
    assert_eq!(standby.read(5_500, row(2)), Candidacy::Follow { silence: Duration::ZERO }, "another one won");
    assert_eq!(standby.read(99_000, row(2)), Candidacy::Follow { silence: Duration::ZERO }, "no database");
}

/// Reads as (gap before it in ms, for each of two keys: whether it moved).
fn reads() -> impl Strategy<Value = Vec<(u64, [bool; 2])>> {
    prop::collection::vec((0..8_000_u64, prop::array::uniform2(prop::bool::weighted(0.2))), 1..60)
}

/// Plays the reads from this instant on; also the instants and counters as they really were.
fn play(start_ms: u64, reads: &[(u64, [bool; 2])]) -> (Watch<usize>, u64, [u64; 2]) {
    let mut watch = Watch::default();
    let mut instant = start_ms;
    let mut counters = [0; 2];
    let mut moved_at = [start_ms; 2];
    for (gap, moves) in reads {
        instant += gap;
        for ((counter, at), moves) in counters.iter_mut().zip(&mut moved_at).zip(moves) {
            *counter += i64::from(*moves);
            *at = if *moves { instant } else { *at };
        }
        watch.read(instant, &[(0, counters[0]), (1, counters[1])]);
    }
    (watch, instant, moved_at)
}

proptest! {
    #[test]
    fn silence_is_never_longer_than_the_time_that_really_passed(start in any::<u32>(), reads in reads()) {
        let (watch, end, moved_at) = play(u64::from(start), &reads);
        for (key, moved_at) in moved_at.iter().enumerate() {
            prop_assert!(millis(watch.silence(&key)) <= end - moved_at);
        }
    }

    #[test]
    fn an_outage_of_the_database_counts_for_nobody(
        reads in reads(),
        at in any::<prop::sample::Index>(),
        outage in 5_001..100_000_000_u64,
    ) {
        let mut stretched = reads.clone();
        let at = at.index(reads.len());
        stretched[at].0 += outage;
        let (without, _, _) = play(0, &reads);
        let (with, _, _) = play(0, &stretched);
        for key in 0..2 {
            prop_assert!(with.silence(&key) <= without.silence(&key));
            let lost = without.silence(&key) - with.silence(&key);
            prop_assert!(lost <= Duration::from_millis(reads[at].0).min(MAX_GAP), "only the gap itself is not counted");
        }
    }

    #[test]
    fn a_key_that_keeps_moving_is_never_silent(paces in prop::collection::vec(1..=5_000_u64, 1..200)) {
        // It moves every 5 s, and reads come at any pace up to 5 s.
        let mut watch = Watch::default();
        let mut instant = 0;
        for pace in paces {
            instant += pace;
            watch.read(instant, &[((), i64::try_from(instant / 5_000).unwrap())]);
            prop_assert!(watch.silence(&()) < SILENT_AFTER);
        }
    }

    #[test]
    fn the_guard_is_done_before_the_scheduler_judges(lost_after in 0..4_000_u64, grace in 0..700_u64) {
        let (lost_after, grace) = (seconds(lost_after), seconds(grace));
        let stop = stop_after(lost_after, grace);
        if lost_after >= grace + MARGIN {
            prop_assert!(stop + grace + MARGIN <= lost_after);
        }
        prop_assert!(stop * 4 <= lost_after * 3);
        prop_assert_eq!(stop >= SILENT_AFTER, lost_after >= least_host_lost_after(grace));
    }
}
