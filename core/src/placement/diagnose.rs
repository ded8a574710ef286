//! Why nothing fits: the nearest place and what is in the way there.

use super::{
    ask::Ask,
    books::{Books, HostBook},
    reason::{Obstacle, Place, WaitingReason},
    select::Which,
};

/// Why no GPU was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocked {
    pub reason: WaitingReason,
    pub fallback: FallbackGate,
}

/// Whether the CPU may be taken instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FallbackGate {
    Open,
    /// Cards that fit are merely unseen; falling back now would be hasty.
    Held,
}

/// Why this request gets no GPU now. To be asked only after `select::gpus` found none.
pub(super) fn gpu(books: &Books<'_>, ask: &Ask<'_>, which: Which) -> Blocked {
    if let Some(reason) = no_host(books, ask) {
        return Blocked { reason, fallback: FallbackGate::Open };
    }
    let nearest = (0..books.hosts.len())
        .filter_map(|host| on_host(books, ask, which, host))
        .min_by_key(|host| (host.distance, host.position));
    match nearest {
        Some(host) => Blocked { reason: host.reason, fallback: host.fallback },
        None => Blocked { reason: no_card(books, ask, which), fallback: FallbackGate::Open },
    }
}

/// Why this request gets no CPU place now. To be asked only after `select::cpu` found none.
pub(super) fn cpu(books: &Books<'_>, ask: &Ask<'_>) -> WaitingReason {
    if let Some(reason) = no_host(books, ask) {
        return reason;
    }
    let nearest = (0..books.hosts.len())
        .filter(|host| ask.may_use(books.hosts[*host].host))
        .filter_map(|host| {
            books.view(host, ask).obstacle().map(|obstacle| (obstacle.distance(), host, obstacle))
        })
        .min_by_key(|(distance, host, _)| (*distance, *host));
    match nearest {
        Some((_, host, obstacle)) => {
            WaitingReason::At { place: Place::Host(books.hosts[host].host.name.clone()), obstacle }
        }
        None => WaitingReason::NoHostKnown,
    }
}

/// How near one host comes.
struct HostDiagnosis {
    position: usize,
    /// Of the last obstacle that would have to go for the request to fit.
    distance: (u8, u32),
    reason: WaitingReason,
    fallback: FallbackGate,
}

/// `None` if the host is out of the question: another one is wanted, or it has no (such) card.
fn on_host(books: &Books<'_>, ask: &Ask<'_>, which: Which, position: usize) -> Option<HostDiagnosis> {
    let book = &books.hosts[position];
    if !ask.may_use(book.host) || book.cards.is_empty() {
        return None;
    }
    let named = match which {
        Which::Any => None,
        Which::Named => Some(book.cards.iter().position(|card| ask.names(book.host, card.gpu))?),
    };
    let view = books.view(position, ask);
    let obstacle = |card: usize| {
        let found = books.card_obstacle(position, card, &view, ask)?;
        Some((found.distance(), found, card))
    };
    let mut blocked: Vec<_> = (0..book.cards.len()).filter_map(obstacle).collect();
    blocked.sort_unstable_by_key(|(distance, _, card)| (*distance, *card));
    let fitting = book.cards.len() - blocked.len();

    // The last obstacle that would have to go: of as many cards as are missing, or of the named card.
    let missing = ask.cards().saturating_sub(fitting);
    let by_count = missing.checked_sub(1).map(|last| blocked.get(last).copied());
    let by_name = named.and_then(obstacle);
    let decisive = match (named, by_count) {
        (Some(_), _) if ask.cards() <= 1 => by_name,
        (Some(_), Some(Some(last))) => Some(by_name.filter(|named| named.0 > last.0).unwrap_or(last)),
        (Some(_), None) => by_name,
        (None, Some(last)) => last,
        (Some(_), Some(None)) | (None, None) => None,
    };
    Some(HostDiagnosis {
        position,
        distance: decisive.map_or((u8::MAX, u32::MAX), |(distance, _, _)| distance),
        fallback: match decisive {
            Some((_, obstacle, _)) if obstacle.is_only_unseen() => FallbackGate::Held,
            Some(_) | None => FallbackGate::Open,
        },
        reason: reason(book, ask, fitting, decisive.map(|(_, obstacle, card)| (obstacle, card))),
    })
}

fn reason(
    book: &HostBook<'_>,
    ask: &Ask<'_>,
    fitting: usize,
    decisive: Option<(Obstacle, usize)>,
) -> WaitingReason {
    let host = book.host.name.clone();
    match decisive {
        Some((obstacle, _)) if obstacle.is_of_host() => {
            WaitingReason::At { place: Place::Host(host), obstacle }
        }
        Some((obstacle, card)) if ask.cards() <= 1 => {
            WaitingReason::At { place: Place::Gpu(book.cards[card].gpu.uuid.clone()), obstacle }
        }
        decisive => WaitingReason::TooFewGpus {
            host,
            fitting: u32::try_from(fitting).unwrap_or(u32::MAX),
            wanted: ask.request.cards(),
            next: decisive.map(|(obstacle, card)| (book.cards[card].gpu.uuid.clone(), obstacle)),
        },
    }
}

fn no_host(books: &Books<'_>, ask: &Ask<'_>) -> Option<WaitingReason> {
    if books.hosts.is_empty() {
        return Some(WaitingReason::NoHostKnown);
    }
    let pinned = ask.request.host.as_ref()?;
    let known = books.hosts.iter().any(|book| book.host.name == *pinned);
    (!known).then(|| WaitingReason::HostUnknown { host: pinned.clone() })
}

fn no_card(books: &Books<'_>, ask: &Ask<'_>, which: Which) -> WaitingReason {
    let any = books.hosts.iter().any(|book| ask.may_use(book.host) && !book.cards.is_empty());
    match (which, ask.request.named_gpu()) {
        (Which::Named, Some((wanted, _))) if any => WaitingReason::GpuUnknown { wanted },
        (Which::Named | Which::Any, _) => WaitingReason::NoGpuKnown,
    }
}
