//! The choice between places that fit.

use std::cmp::Ordering;

use super::{ask::Ask, books::Books};

/// Whether only the card that was named will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Named,
    Any,
}

/// A host and the cards taken on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pick {
    pub host: usize,
    pub cards: Vec<usize>,
}

/// What decides between hosts with fitting cards, lower first: cost, lowest index, image, name.
struct Rank {
    cost: (f64, u64),
    index: u32,
    lacks_image: bool,
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        compare_cost(self.cost, other.cost)
            .then_with(|| (self.index, self.lacks_image).cmp(&(other.index, other.lacks_image)))
    }
}

fn compare_cost(a: (f64, u64), b: (f64, u64)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// The best cards that fit, all on one host; with `Named`, the named card is among them.
pub(super) fn gpus(books: &Books<'_>, ask: &Ask<'_>, which: Which) -> Option<Pick> {
    let mut best: Option<(Rank, Pick)> = None;
    let mut fitting = Vec::new();
    for (position, book) in books.hosts.iter().enumerate() {
        if !ask.may_use(book.host) || book.cards.len() < ask.cards() {
            continue;
        }
        let view = books.view(position, ask);
        if view.obstacle().is_some() {
            continue;
        }
        fitting.clear();
        fitting.extend(
            (0..book.cards.len())
                .filter(|card| books.card_obstacle(position, *card, &view, ask).is_none())
                .map(|card| (book.cards[card].cost, card)),
        );
        // Stable, and the cards are in index order: equal costs leave the lowest index in front.
        fitting.sort_by(|a, b| compare_cost(a.0, b.0));
        if which == Which::Named && !move_named_to_front(books, ask, position, &mut fitting) {
            continue;
        }
        if fitting.len() < ask.cards() {
            continue;
        }
        fitting.truncate(ask.cards());
        let rank = Rank {
            cost: fitting.iter().fold((0.0, 0), |sum, (cost, _)| (sum.0 + cost.0, sum.1 + cost.1)),
            index: fitting.iter().map(|(_, card)| book.cards[*card].gpu.index).min().unwrap_or(u32::MAX),
            lacks_image: books.lacks_image(position, ask),
        };
        if best.as_ref().is_none_or(|(best, _)| rank.compare(best) == Ordering::Less) {
            let cards = fitting.iter().map(|(_, card)| *card).collect();
            best = Some((rank, Pick { host: position, cards }));
        }
    }
    best.map(|(_, pick)| pick)
}

/// The host for CPU work: one that has the image, then the largest free share, then the name.
pub(super) fn cpu(books: &Books<'_>, ask: &Ask<'_>) -> Option<usize> {
    (0..books.hosts.len())
        .filter(|host| ask.may_use(books.hosts[*host].host) && books.view(*host, ask).obstacle().is_none())
        .map(|host| (books.lacks_image(host, ask), -books.hosts[host].free_share(), host))
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)))
        .map(|(_, _, host)| host)
}

/// Whether the named card is among these; it is in front then.
fn move_named_to_front(
    books: &Books<'_>,
    ask: &Ask<'_>,
    host: usize,
    fitting: &mut [((f64, u64), usize)],
) -> bool {
    let book = &books.hosts[host];
    let named = fitting.iter().position(|(_, card)| ask.names(book.host, book.cards[*card].gpu));
    match named {
        Some(position) => {
            fitting[..=position].rotate_right(1);
            true
        }
        None => false,
    }
}
