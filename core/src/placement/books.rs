//! The books: what is left on every host and card while a plan grows.
//!
//! One function answers what is in the way of a request on one card or host, in a fixed order: what can never
//! be, what somebody switched off, what is short, what is kept for another, and last what is merely unseen – so
//! that an unseen card is named only when nothing else is in its way.

use std::collections::BTreeMap;

use super::{
    ask::{Ask, Demand},
    card::CardBook,
    problem::{Host, Options, Placeability, Problem},
    reason::Obstacle,
};
use crate::ids::RunJobId;

/// What is left. Hosts are ordered by name, cards by index, whatever the order of the problem.
pub(super) struct Books<'a> {
    pub options: &'a Options,
    pub hosts: Vec<HostBook<'a>>,
    pub kept: Option<Kept>,
}

/// What is left on one host.
pub(super) struct HostBook<'a> {
    pub host: &'a Host,
    cpu_free: u32,
    memory_free: u32,
    attempts_free: u32,
    pub cards: Vec<CardBook<'a>>,
}

/// A place that is kept for a RunJob which has waited long.
pub(super) struct Kept {
    pub run_job: RunJobId,
    pub host: usize,
    pub cards: Vec<usize>,
    pub demand: Demand,
}

/// What is in the way on a host, for all its cards alike.
pub(super) struct HostView {
    /// Too small, or switched off.
    fixed: Option<Obstacle>,
    /// Short of CPU, memory or attempts, or kept.
    room: Option<Obstacle>,
    /// Out of contact, or not reconciled.
    unseen: Option<Obstacle>,
}

impl HostView {
    /// The obstacle of the host as a place for CPU work.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.fixed.or(self.room).or(self.unseen)
    }
}

impl<'a> Books<'a> {
    pub fn open(problem: &'a Problem) -> Self {
        let options = &problem.options;
        let mut hosts: Vec<HostBook<'a>> = problem.hosts.iter().map(HostBook::open).collect();
        hosts.sort_by(|a, b| (&a.host.name, a.host.id).cmp(&(&b.host.name, b.host.id)));
        let by_id: BTreeMap<_, _> =
            hosts.iter().enumerate().map(|(position, book)| (book.host.id, position)).collect();
        for gpu in &problem.gpus {
            if let Some(position) = by_id.get(&gpu.host) {
                let book = &mut hosts[*position];
                book.cards.push(CardBook::open(gpu, book.host, options));
            }
        }
        for host in &mut hosts {
            host.cards.sort_by(|a, b| (a.gpu.index, &a.gpu.uuid).cmp(&(b.gpu.index, &b.gpu.uuid)));
        }
        Self { options, hosts, kept: None }
    }

    /// What the host has against this request.
    pub fn view(&self, host: usize, ask: &Ask<'_>) -> HostView {
        let book = &self.hosts[host];
        HostView {
            fixed: too_small(book.host, ask.demand).or_else(|| switched_off(book.host.placeability)),
            room: self.room(host, ask.demand),
            unseen: unseen(book.host.placeability),
        }
    }

    /// What is in the way on one card of a host.
    pub fn card_obstacle(
        &self,
        host: usize,
        card: usize,
        view: &HostView,
        ask: &Ask<'_>,
    ) -> Option<Obstacle> {
        let entry = &self.hosts[host].cards[card];
        entry
            .never(ask)
            .or(view.fixed)
            .or(entry.closed)
            .or_else(|| entry.short(ask, self.options))
            .or(view.room)
            .or_else(|| self.kept_card(host, card, ask))
            .or(view.unseen)
            .or(entry.unseen)
    }

    /// The image still to be fetched goes behind the image that is there.
    pub fn lacks_image(&self, host: usize, ask: &Ask<'_>) -> bool {
        !self.hosts[host].host.images.contains(&ask.request.image)
    }

    /// Gives the place away.
    pub fn take(&mut self, host: usize, cards: &[usize], ask: &Ask<'_>) {
        let book = &mut self.hosts[host];
        book.cpu_free = book.cpu_free.saturating_sub(ask.demand.cpu_millis);
        book.memory_free = book.memory_free.saturating_sub(ask.demand.memory_mib);
        book.attempts_free = book.attempts_free.saturating_sub(1);
        for card in cards {
            let card = &mut book.cards[*card];
            card.take(ask.need_mib(card.gpu), self.options);
        }
    }

    fn room(&self, host: usize, demand: Demand) -> Option<Obstacle> {
        let book = &self.hosts[host];
        if book.attempts_free == 0 {
            return Some(Obstacle::AttemptsFull { max: book.host.attempts_max });
        }
        let (short_millis, short_mib) = book.shortage(demand);
        if short_millis > 0 {
            return Some(Obstacle::CpuShort { short_millis });
        }
        if short_mib > 0 {
            return Some(Obstacle::MemoryShort { short_mib });
        }
        let kept = self.kept.as_ref().filter(|kept| kept.host == host && !demand.covers(kept.demand))?;
        let both = |ours: u32, theirs: u32| u64::from(ours) + u64::from(theirs);
        let both_fit = book.attempts_free > 1
            && both(demand.cpu_millis, kept.demand.cpu_millis) <= u64::from(book.cpu_free)
            && both(demand.memory_mib, kept.demand.memory_mib) <= u64::from(book.memory_free);
        (!both_fit).then_some(Obstacle::KeptForHead { run_job: kept.run_job })
    }

    fn kept_card(&self, host: usize, card: usize, ask: &Ask<'_>) -> Option<Obstacle> {
        let kept = self.kept.as_ref().filter(|kept| kept.host == host && kept.cards.contains(&card))?;
        (!ask.demand.covers(kept.demand)).then_some(Obstacle::KeptForHead { run_job: kept.run_job })
    }
}

impl<'a> HostBook<'a> {
    fn open(host: &'a Host) -> Self {
        Self {
            host,
            cpu_free: host.cpu_millis_free,
            memory_free: host.memory_mib_free,
            attempts_free: host.attempts_max.saturating_sub(host.attempts_open),
            cards: Vec::new(),
        }
    }

    /// CPU thousandths and memory MiB that are short for this demand.
    pub const fn shortage(&self, demand: Demand) -> (u32, u32) {
        (demand.cpu_millis.saturating_sub(self.cpu_free), demand.memory_mib.saturating_sub(self.memory_free))
    }

    /// The smaller of its free shares of CPU and memory, 0 to 1.
    pub fn free_share(&self) -> f64 {
        let cpu = f64::from(self.cpu_free) / f64::from(self.host.cpu_millis_total.max(1));
        let memory = f64::from(self.memory_free) / f64::from(self.host.memory_mib_total.max(1));
        cpu.min(memory)
    }
}

/// Whether even the empty host has less than this.
pub(super) fn too_small(host: &Host, demand: Demand) -> Option<Obstacle> {
    let short_millis = demand.cpu_millis.saturating_sub(host.cpu_millis_total);
    let short_mib = demand.memory_mib.saturating_sub(host.memory_mib_total);
    (short_millis > 0 || short_mib > 0).then_some(Obstacle::HostTooSmall { short_millis, short_mib })
}

const fn switched_off(placeability: Placeability) -> Option<Obstacle> {
    match placeability {
        Placeability::Cordoned => Some(Obstacle::HostCordoned),
        Placeability::Draining => Some(Obstacle::HostDraining),
        Placeability::Lost => Some(Obstacle::HostLost),
        Placeability::Ready | Placeability::Silent | Placeability::NotReconciled => None,
    }
}

const fn unseen(placeability: Placeability) -> Option<Obstacle> {
    match placeability {
        Placeability::Silent => Some(Obstacle::HostSilent),
        Placeability::NotReconciled => Some(Obstacle::HostNotReconciled),
        Placeability::Ready | Placeability::Cordoned | Placeability::Draining | Placeability::Lost => None,
    }
}
