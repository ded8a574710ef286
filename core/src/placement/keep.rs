//! Nobody starves: a place is kept for the oldest RunJob that has waited too long for capacity.
//!
//! Of the highest priority at which such a RunJob exists, one per plan. Smaller RunJobs of its priority and
//! below leave its share of the host and its cards alone, so that these drain until it fits; RunJobs at least as
//! large in every dimension may still take them, in fair order. Nothing is remembered between ticks: the place
//! that needs least to be freed is chosen each time, and a kept card only drains, so the choice settles.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    ask::Ask,
    books::{Books, Kept},
    never::is_strict,
    problem::{Placeability, Problem, Request, Telemetry},
    reason::Obstacle,
    select::{self, Pick, Which},
};
use crate::{ids::RunJobId, spec::GpuPolicy};

/// Keeps a place for the oldest starving RunJob of this priority, unless one is kept already.
pub(super) fn for_starving(books: &mut Books<'_>, problem: &Problem, priority: i32, now: DateTime<Utc>) {
    if books.kept.is_some() {
        return;
    }
    let limit = now - TimeDelta::seconds(i64::from(problem.options.starvation_seconds));
    let oldest_of_each =
        problem.classes.iter().filter(|class| class.priority == priority).filter_map(|class| {
            let oldest = class.heads.iter().map(|head| (head.waiting_since, head.run_job)).min()?;
            (oldest.0 < limit).then_some((oldest, &class.request))
        });
    let mut starving: Vec<_> = oldest_of_each.collect();
    starving.sort_by_key(|(oldest, _)| *oldest);
    books.kept = starving.into_iter().find_map(|((_, run_job), request)| place_for(books, run_job, request));
}

/// The place to keep; `None` if it waits for something else than capacity.
fn place_for(books: &Books<'_>, run_job: RunJobId, request: &Request) -> Option<Kept> {
    let on_gpu = || {
        let ask = Ask::on_gpu(request);
        let pick = match (request.named_gpu(), is_strict(request)) {
            (None, _) => gpu_place(books, &ask, Which::Any),
            (Some(_), true) => gpu_place(books, &ask, Which::Named),
            (Some(_), false) => {
                gpu_place(books, &ask, Which::Named).or_else(|| gpu_place(books, &ask, Which::Any))
            }
        }?;
        Some(Kept { run_job, host: pick.host, cards: pick.cards, demand: ask.demand })
    };
    let on_cpu = || {
        let ask = Ask::on_cpu(request);
        let host = select::cpu(books, &ask).or_else(|| nearest_host(books, &ask))?;
        Some(Kept { run_job, host, cards: Vec::new(), demand: ask.demand })
    };
    match request.gpu.policy {
        GpuPolicy::None => on_cpu(),
        GpuPolicy::Require => on_gpu(),
        GpuPolicy::Prefer if is_strict(request) => on_gpu(),
        GpuPolicy::Prefer => on_gpu().or_else(on_cpu),
    }
}

fn gpu_place(books: &Books<'_>, ask: &Ask<'_>, which: Which) -> Option<Pick> {
    select::gpus(books, ask, which).or_else(|| nearest_cards(books, ask, which))
}

/// The cards of one host of which least has to be freed.
fn nearest_cards(books: &Books<'_>, ask: &Ask<'_>, which: Which) -> Option<Pick> {
    let on_host = |host: usize| {
        let book = &books.hosts[host];
        if !ask.may_use(book.host) || book.host.placeability != Placeability::Ready {
            return None;
        }
        let view = books.view(host, ask);
        let mut cards: Vec<(bool, u64, usize)> = (0..book.cards.len())
            .filter(|card| book.cards[*card].gpu.telemetry == Telemetry::Fresh)
            .filter_map(|card| {
                let unnamed = which == Which::Named && !ask.names(book.host, book.cards[card].gpu);
                let to_free = to_free_mib(books.card_obstacle(host, card, &view, ask))?;
                Some((unnamed, to_free, card))
            })
            .collect();
        cards.sort_unstable();
        cards.truncate(ask.cards());
        let named_is_there = which == Which::Any || cards.first().is_some_and(|(unnamed, _, _)| !unnamed);
        if cards.len() < ask.cards() || !named_is_there {
            return None;
        }
        let to_free: u64 = cards.iter().map(|(_, to_free, _)| to_free).sum();
        Some((to_free, Pick { host, cards: cards.into_iter().map(|(_, _, card)| card).collect() }))
    };
    (0..books.hosts.len())
        .filter_map(on_host)
        .min_by_key(|(to_free, pick)| (*to_free, pick.host))
        .map(|(_, pick)| pick)
}

/// What has to end on a card before it fits; `None` if that would not help.
fn to_free_mib(obstacle: Option<Obstacle>) -> Option<u64> {
    match obstacle {
        None => Some(0),
        Some(Obstacle::VramShort { short_mib }) => Some(u64::from(short_mib)),
        Some(Obstacle::GpuInUse { reserved_mib }) => Some(u64::from(reserved_mib)),
        Some(obstacle) if obstacle.is_capacity() => Some(0),
        Some(_) => None,
    }
}

/// The host of which the smallest share has to be freed.
fn nearest_host(books: &Books<'_>, ask: &Ask<'_>) -> Option<usize> {
    let share = |short: u32, total: u32| f64::from(short) / f64::from(total.max(1));
    (0..books.hosts.len())
        .filter(|host| ask.may_use(books.hosts[*host].host))
        .filter(|host| books.view(*host, ask).obstacle().is_some_and(Obstacle::is_capacity))
        .map(|host| {
            let book = &books.hosts[host];
            let (cpu, memory) = book.shortage(ask.demand);
            (share(cpu, book.host.cpu_millis_total).max(share(memory, book.host.memory_mib_total)), host)
        })
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map(|(_, host)| host)
}
