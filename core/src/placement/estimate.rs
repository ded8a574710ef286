//! About when a place gets free, from what holds it and how long such work takes.
//!
//! Guarantees nothing: it is told to people and nothing is decided on it. It knows what runs now and takes every job for as
//! long as the median of its last successes; what is unknown, foreign use for one, has no estimate. Work that is over its
//! time is taken to end now.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    explain::Candidate,
    reason::{Obstacle, Place},
};
use crate::ids::GpuUuid;

/// Running work and what it gives back at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Name of its host.
    pub host: String,
    pub cpu_millis: u32,
    pub memory_mib: u32,
    /// What it holds of which card.
    pub cards: Vec<(GpuUuid, u32)>,
    /// `None` if its job has never succeeded, so that nobody knows.
    pub remaining_ms: Option<u64>,
}

/// Most turns that are counted through.
const MOST_TURNS: u64 = 10_000;

/// In how many milliseconds this place takes the RunJob, if nothing but time is in the way; 0 if it does now.
#[must_use]
pub fn free_in_ms(candidate: &Candidate, holdings: &[Holding]) -> Option<u64> {
    let Some(obstacle) = candidate.obstacle else { return Some(0) };
    let on_host = holdings.iter().filter(|holding| holding.host == candidate.host);
    let of_card = |holding: &Holding| match &candidate.place {
        Place::Host(_) => 0,
        Place::Gpu(uuid) => holding.cards.iter().filter(|(card, _)| card == uuid).map(|(_, mib)| *mib).sum(),
    };
    match obstacle {
        Obstacle::VramShort { short_mib } => after(on_host.map(|held| (held, of_card(held))), short_mib),
        Obstacle::GpuInUse { reserved_mib } => after(on_host.map(|held| (held, of_card(held))), reserved_mib),
        Obstacle::CpuShort { short_millis } => {
            after(on_host.map(|held| (held, held.cpu_millis)), short_millis)
        }
        Obstacle::MemoryShort { short_mib } => after(on_host.map(|held| (held, held.memory_mib)), short_mib),
        Obstacle::AttemptsFull { max: _ } => after(on_host.map(|held| (held, 1)), 1),
        Obstacle::HostTooSmall { .. }
        | Obstacle::HostCordoned
        | Obstacle::HostDraining
        | Obstacle::HostSilent
        | Obstacle::HostLost
        | Obstacle::HostNotReconciled
        | Obstacle::GpuTooSmall { .. }
        | Obstacle::GpuCordoned
        | Obstacle::GpuUnhealthy
        | Obstacle::GpuGone
        | Obstacle::TelemetryStale
        | Obstacle::TelemetryAwaited
        | Obstacle::TelemetryMissing
        | Obstacle::ForeignUse { .. }
        | Obstacle::KeptForHead { .. } => None,
    }
}

/// When so much has been given back, the earliest to end first. `None` also if something would have to end of which
/// nobody knows when.
fn after<'a>(held: impl Iterator<Item = (&'a Holding, u32)>, wanted: u32) -> Option<u64> {
    let mut ends: Vec<(u64, u32)> = held
        .filter(|(_, share)| *share > 0)
        .filter_map(|(holding, share)| Some((holding.remaining_ms?, share)))
        .collect();
    ends.sort_unstable();
    let mut freed = 0_u32;
    ends.into_iter().find_map(|(end, share)| {
        freed = freed.saturating_add(share);
        (freed >= wanted).then_some(end)
    })
}

/// In how many milliseconds its turn comes, with so many before it that are taken to be like it: each takes the place
/// that is free first, for `typical_ms`.
///
/// `None` if no place has an estimate, or if others are before it and nobody knows how long they take.
#[must_use]
pub fn turn_in_ms(places: &[Option<u64>], ahead: u64, typical_ms: Option<u64>) -> Option<u64> {
    let mut free: BinaryHeap<Reverse<u64>> = places.iter().flatten().copied().map(Reverse).collect();
    if ahead > MOST_TURNS {
        return None;
    }
    for _ in 0..ahead {
        let Reverse(earliest) = free.pop()?;
        free.push(Reverse(earliest.saturating_add(typical_ms?)));
    }
    free.pop().map(|Reverse(earliest)| earliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(host: &str, cards: &[(&str, u32)], remaining_ms: Option<u64>) -> Holding {
        let cards = cards.iter().map(|(uuid, mib)| (GpuUuid::new(*uuid), *mib)).collect();
        Holding { host: host.into(), cpu_millis: 500, memory_mib: 1_000, cards, remaining_ms }
    }

    fn candidate(place: Place, obstacle: Option<Obstacle>) -> Candidate {
        Candidate { place, host: "a".into(), obstacle }
    }

    fn card(obstacle: Obstacle) -> Candidate {
        candidate(Place::Gpu(GpuUuid::new("G0")), Some(obstacle))
    }

    fn host(obstacle: Obstacle) -> Candidate {
        candidate(Place::Host("a".into()), Some(obstacle))
    }

    #[test]
    fn a_place_is_free_when_enough_of_what_holds_it_has_ended() {
        let holdings = [
            held("a", &[("G0", 4_000)], Some(9_000)),
            held("a", &[("G0", 2_000)], Some(3_000)),
            held("a", &[("G1", 8_000)], Some(1_000)),
            held("a", &[("G0", 6_000)], None),
            held("b", &[("G2", 8_000)], Some(0)),
        ];
        let cases = [
            (card(Obstacle::VramShort { short_mib: 1 }), Some(3_000)),
            (card(Obstacle::VramShort { short_mib: 2_000 }), Some(3_000)),
            (card(Obstacle::VramShort { short_mib: 2_001 }), Some(9_000)),
            // The third on it ends nobody knows when.
            (card(Obstacle::VramShort { short_mib: 6_001 }), None),
            (card(Obstacle::GpuInUse { reserved_mib: 12_000 }), None),
            (card(Obstacle::GpuInUse { reserved_mib: 6_000 }), Some(9_000)),
            (card(Obstacle::ForeignUse { foreign_mib: 1 }), None),
            (card(Obstacle::GpuCordoned), None),
            (host(Obstacle::CpuShort { short_millis: 501 }), Some(3_000)),
            (host(Obstacle::MemoryShort { short_mib: 3_000 }), Some(9_000)),
            (host(Obstacle::AttemptsFull { max: 4 }), Some(1_000)),
            (host(Obstacle::HostLost), None),
            (candidate(Place::Host("a".into()), None), Some(0)),
        ];
        for (candidate, expected) in cases {
            assert_eq!(free_in_ms(&candidate, &holdings), expected, "{candidate:?}");
        }
        assert_eq!(free_in_ms(&card(Obstacle::VramShort { short_mib: 1 }), &[]), None);
    }

    #[test]
    fn a_turn_comes_when_those_before_have_had_theirs() {
        /// Places, how many are before, how long each takes, and when it is the turn.
        type Case = (&'static [Option<u64>], u64, Option<u64>, Option<u64>);
        let cases: [Case; 9] = [
            (&[Some(7), Some(3), None], 0, None, Some(3)),
            (&[Some(7), Some(3)], 1, Some(10), Some(7)),
            (&[Some(7), Some(3)], 2, Some(10), Some(13)),
            (&[Some(0)], 3, Some(10), Some(30)),
            (&[Some(0)], 1, None, None),
            (&[None], 0, Some(10), None),
            (&[], 0, Some(10), None),
            (&[Some(0)], MOST_TURNS + 1, Some(1), None),
            (&[Some(u64::MAX)], 1, Some(1), Some(u64::MAX)),
        ];
        for (places, ahead, typical, expected) in cases {
            assert_eq!(turn_in_ms(places, ahead, typical), expected, "{places:?} {ahead} {typical:?}");
        }
    }
}
