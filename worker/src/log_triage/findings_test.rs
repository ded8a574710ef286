use FindingKind::{
    AuthFailure, ConnectionFailure, Crash, CrashLoop, DiskFull, ErrorBurst, Errors, NewMessage, OutOfMemory,
    RisingMessage, ServerErrors, StackTrace, Timeout,
};
use Novelty::{Known, New, Rising, Uncompared};
use Severity::{Error, Fatal, Info, Warning};

use super::*;

type Row = (FindingKind, Severity, Novelty, u64);

/// Each with why it stands before the next one.
const ORDER: [(Row, &str); 19] = [
    ((CrashLoop, Fatal, New, 3), "as new and as grave: the more frequent"),
    ((OutOfMemory, Fatal, New, 1), "as new: the graver, however rare"),
    ((DiskFull, Error, New, 900), "what is new before what was there and rises"),
    ((OutOfMemory, Error, Rising, 50), "what rises before what nothing is known of"),
    ((CrashLoop, Fatal, Uncompared, 9), "what may be new before what is known"),
    ((OutOfMemory, Fatal, Known, 500), "alike in all: the more urgent kind"),
    ((Crash, Fatal, Known, 500), "what is down, though known, before what only fails, though new"),
    ((StackTrace, Error, New, 2), "as new and as grave: the more frequent"),
    ((ServerErrors, Error, New, 1), "new before uncompared"),
    ((ErrorBurst, Error, Uncompared, 60), "uncompared before known"),
    (
        (ServerErrors, Error, Known, 10_000),
        "a fault of the service before one that its surroundings may have",
    ),
    ((Timeout, Warning, New, 4), "new before rising"),
    ((AuthFailure, Error, Rising, 300), "rising before known"),
    ((Errors, Fatal, Known, 2), "as known: the graver, however rare"),
    ((ConnectionFailure, Error, Known, 800), "as known: the graver"),
    ((Timeout, Warning, Known, 900), "what failed, though known, before what is only unusual"),
    ((NewMessage, Warning, New, 1), "as new: the graver"),
    ((NewMessage, Info, New, 9_000), "new before rising"),
    ((RisingMessage, Warning, Rising, 50), "nothing comes after it"),
];

fn found((kind, severity, novelty, count): Row, source: usize) -> Found {
    let seen = Occurrences { count, first: None, last: None };
    let finding = finding(kind, severity, novelty, seen, None);
    Found { finding, source, about: About::Templates(vec![0]) }
}

#[test]
fn each_finding_stands_where_it_does_for_a_reason() {
    for pair in ORDER.windows(2) {
        let [(before, why), (after, _)] = pair else { unreachable!() };
        // Whichever container comes first in the index.
        assert!(rank(&found(*before, 1)) < rank(&found(*after, 0)), "{before:?} before {after:?}: {why}");
    }
    let mut shuffled: Vec<Found> =
        (0..ORDER.len()).map(|at| found(ORDER[at * 7 % ORDER.len()].0, at)).collect();
    shuffled.sort_by_key(rank);
    let rows = shuffled
        .iter()
        .map(|Found { finding, .. }| (finding.kind, finding.severity, finding.novelty, finding.count));
    assert_eq!(rows.collect::<Vec<Row>>(), ORDER.map(|(row, _)| row), "the order is total");
}

#[test]
fn every_kind_has_its_place_in_the_table() {
    for kind in FindingKind::ALL {
        assert!(ORDER.iter().any(|((known, ..), _)| known == kind), "{kind}");
    }
}

#[test]
fn many_of_one_kind_do_not_hide_the_only_one_of_another() {
    let mut all: Vec<Found> = (0..7).map(|count| found((StackTrace, Error, New, 100 - count), 0)).collect();
    all.extend([found((Timeout, Warning, Known, 1), 0), found((RisingMessage, Warning, Rising, 20), 0)]);
    let kinds: Vec<(FindingKind, u64)> =
        spread(all).iter().map(|found| (found.finding.kind, found.finding.count)).collect();
    let traces = |counts: std::ops::Range<u64>| counts.rev().map(|count| (StackTrace, count));
    let expected = traces(96..101).chain([(Timeout, 1), (RisingMessage, 20)]).chain(traces(94..96));
    assert_eq!(kinds, expected.collect::<Vec<_>>());
}
