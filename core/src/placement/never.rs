//! Infeasible for ever: judged against all known hosts and cards as if they were empty, in order and in contact.
//!
//! Where nothing is known that could be judged, the answer is to wait, never to refuse.

use super::{
    ask::Ask,
    books::{Books, HostBook, too_small},
    problem::Request,
    reason::{Infeasible, Obstacle},
};
use crate::spec::{GpuPolicy, OnMiss};

/// What a request can ever hope for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outlook {
    /// What it asks for.
    Open,
    /// `prefer`, and no known card could ever take it: there is nothing to wait for.
    CpuOnly,
    /// Nothing.
    Never(Infeasible),
}

/// What this request can ever hope for.
pub(super) fn outlook(books: &Books<'_>, request: &Request) -> Outlook {
    let on_gpu = || gpu_never(books, &Ask::on_gpu(request));
    let on_cpu = || cpu_never(books, request);
    match request.gpu.policy {
        GpuPolicy::None => on_cpu().map_or(Outlook::Open, Outlook::Never),
        GpuPolicy::Require => on_gpu().map_or(Outlook::Open, Outlook::Never),
        GpuPolicy::Prefer => match on_gpu() {
            None => Outlook::Open,
            Some(never) if is_strict(request) => Outlook::Never(never),
            Some(_) => on_cpu().map_or(Outlook::CpuOnly, Outlook::Never),
        },
    }
}

/// Whether it takes the named card or nothing, not even the CPU.
pub(super) fn is_strict(request: &Request) -> bool {
    match request.named_gpu() {
        Some((_, OnMiss::Refuse)) => true,
        Some((_, OnMiss::Auto)) | None => false,
    }
}

fn cpu_never(books: &Books<'_>, request: &Request) -> Option<Infeasible> {
    let ask = Ask::on_cpu(request);
    let hosts: Vec<_> = books.hosts.iter().filter(|book| ask.may_use(book.host)).collect();
    if hosts.is_empty() || hosts.iter().any(|book| too_small(book.host, ask.demand).is_none()) {
        return None;
    }
    Some(host_shortage(&hosts, request))
}

fn gpu_never(books: &Books<'_>, ask: &Ask<'_>) -> Option<Infeasible> {
    let hosts: Vec<_> = books.hosts.iter().filter(|book| ask.may_use(book.host)).collect();
    if !hosts.iter().any(|book| book.cards.iter().any(|card| card.gpu.total_mib > 0)) {
        return None;
    }
    let strict = is_strict(ask.request);
    let asked = |book: &HostBook<'_>, card: usize| !strict || ask.names(book.host, book.cards[card].gpu);
    // Cards that are large enough, and none on hosts where the named card is missing or too small.
    let enough = |book: &HostBook<'_>| {
        let fit = |card: usize| book.cards[card].never(ask).is_none();
        let cards = 0..book.cards.len();
        if cards.clone().any(|card| asked(book, card) && fit(card)) {
            cards.filter(|card| fit(*card)).count()
        } else {
            0
        }
    };
    let is_host = |book: &HostBook<'_>| too_small(book.host, ask.demand).is_none();
    if hosts.iter().any(|book| is_host(book) && enough(book) >= ask.cards()) {
        return None;
    }

    let largest = hosts
        .iter()
        .flat_map(|book| book.cards.iter().filter(|card| !strict || ask.names(book.host, card.gpu)))
        .max_by_key(|card| card.ceiling_mib);
    let most = hosts.iter().map(|book| enough(book)).max().unwrap_or(0);
    Some(match (largest, ask.request.named_gpu()) {
        (None, Some((wanted, _))) => Infeasible::GpuUnknown { wanted },
        (Some(card), _) if matches!(card.never(ask), Some(Obstacle::GpuTooSmall { .. })) => {
            Infeasible::Vram {
                need_mib: ask.need_mib(card.gpu),
                gpu: card.gpu.uuid.clone(),
                largest_mib: card.ceiling_mib,
            }
        }
        (Some(_), _) | (None, None) if most < ask.cards() => Infeasible::TooFewGpus {
            wanted: ask.request.cards(),
            most: u32::try_from(most).unwrap_or(u32::MAX),
        },
        (Some(_), _) | (None, None) => host_shortage(&hosts, ask.request),
    })
}

fn host_shortage(hosts: &[&HostBook<'_>], request: &Request) -> Infeasible {
    let largest_millis = hosts.iter().map(|book| book.host.cpu_millis_total).max().unwrap_or(0);
    let largest_mib = hosts.iter().map(|book| book.host.memory_mib_total).max().unwrap_or(0);
    let need = request.resources;
    if need.cpu_millis > largest_millis {
        Infeasible::Cpu { need_millis: need.cpu_millis, largest_millis }
    } else if need.memory_mib > largest_mib {
        Infeasible::Memory { need_mib: need.memory_mib, largest_mib }
    } else {
        Infeasible::NoSingleHost
    }
}
