//! The books: what is left on every host and card while a plan grows.
//!
//! One function answers what is in the way of a request on one card or host, in a fixed order: what can never
//! be, what somebody switched off, what is short, what is kept for another, and last what is merely unseen – so
//! that an unseen card is named only when nothing else is in its way.

use super::{
    problem::{Cordon, Gpu, GpuHealth, Host, Options, Placeability, Problem, Request, Strategy, Telemetry},
    reason::Obstacle,
    score::{ceiling_mib, free_beside, seed_score, utilization_percent},
};
use crate::{
    ids::RunJobId,
    spec::{GpuChoice, ImageRef},
};

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

/// What is left on one card.
pub(super) struct CardBook<'a> {
    pub gpu: &'a Gpu,
    reserved_mib: u32,
    expected_percent: u32,
}

/// A place that is kept for a RunJob which has waited long.
pub(super) struct Kept {
    pub run_job: RunJobId,
    pub host: usize,
    pub cards: Vec<usize>,
    pub demand: Demand,
}

/// A request's size in every dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    cpu_millis: u32,
    memory_mib: u32,
    cards: u32,
    /// On each card; the largest number for a whole card.
    vram_mib: u32,
}

impl Demand {
    pub fn on_gpu(request: &Request) -> Self {
        let vram_mib = request.stated_vram_mib().unwrap_or(u32::MAX);
        Self { cards: request.cards(), vram_mib, ..Self::on_cpu(request) }
    }

    pub const fn on_cpu(request: &Request) -> Self {
        let resources = request.resources;
        Self { cpu_millis: resources.cpu_millis, memory_mib: resources.memory_mib, cards: 0, vram_mib: 0 }
    }

    /// Whether it is at least as large in every dimension.
    const fn covers(self, other: Self) -> bool {
        self.cpu_millis >= other.cpu_millis
            && self.memory_mib >= other.memory_mib
            && self.cards >= other.cards
            && self.vram_mib >= other.vram_mib
    }
}

/// A request in the form in which it is looked at now: with its GPUs or without.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub request: &'a Request,
    pub demand: Demand,
}

impl<'a> Ask<'a> {
    pub fn on_gpu(request: &'a Request) -> Self {
        Self { request, demand: Demand::on_gpu(request) }
    }

    pub const fn on_cpu(request: &'a Request) -> Self {
        Self { request, demand: Demand::on_cpu(request) }
    }

    /// Number of cards on one host.
    pub fn cards(&self) -> usize {
        usize::try_from(self.demand.cards).unwrap_or(usize::MAX)
    }

    /// Whether it may run on this host at all.
    pub fn may_use(&self, host: &Host) -> bool {
        self.request.host.as_ref().is_none_or(|name| *name == host.name)
    }

    /// Whether this is the card that it names; true for every card if it names none.
    pub fn names(&self, host: &Host, gpu: &Gpu) -> bool {
        match &self.request.gpu.choice {
            GpuChoice::Any => true,
            GpuChoice::Uuid { uuid, on_miss: _ } => *uuid == gpu.uuid,
            GpuChoice::Index { index, host: name, on_miss: _ } => {
                *index == gpu.index && name.as_ref().is_none_or(|name| *name == host.name)
            }
        }
    }

    /// What it reserves on this card, in MiB.
    pub fn need_mib(&self, gpu: &Gpu) -> u32 {
        self.request.stated_vram_mib().unwrap_or(gpu.allocatable_mib)
    }

    fn image(&self) -> &ImageRef {
        &self.request.image
    }
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
        let mut hosts: Vec<HostBook<'a>> = problem.hosts.iter().map(HostBook::open).collect();
        hosts.sort_by(|a, b| (&a.host.name, a.host.id).cmp(&(&b.host.name, b.host.id)));
        let by_id: std::collections::BTreeMap<_, _> =
            hosts.iter().enumerate().map(|(position, book)| (book.host.id, position)).collect();
        for gpu in &problem.gpus {
            if let Some(position) = by_id.get(&gpu.host) {
                hosts[*position].cards.push(CardBook::open(gpu));
            }
        }
        for host in &mut hosts {
            host.cards.sort_by(|a, b| (a.gpu.index, &a.gpu.uuid).cmp(&(b.gpu.index, &b.gpu.uuid)));
        }
        Self { options: &problem.options, hosts, kept: None }
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
        let book = &self.hosts[host];
        let gpu = book.cards[card].gpu;
        self.card_never(gpu, ask)
            .or(view.fixed)
            .or_else(|| state(gpu))
            .or_else(|| self.vram(&book.cards[card], ask))
            .or(view.room)
            .or_else(|| self.kept_card(host, card, ask))
            .or(view.unseen)
            .or_else(|| self.telemetry(book.host, gpu))
    }

    /// Effectively free on a card, in MiB.
    pub fn free_mib(&self, card: &CardBook<'_>) -> u32 {
        free_beside(card.gpu, card.reserved_mib, self.options.safety)
    }

    /// The utilization that counts for a card.
    pub fn utilization_percent(&self, card: &CardBook<'_>) -> u32 {
        utilization_percent(card.gpu, card.expected_percent)
    }

    /// The seed score of a card; a card without memory is as bad as can be (it never fits anyway).
    pub fn score(&self, card: &CardBook<'_>) -> f64 {
        seed_score(card.gpu.total_mib, self.free_mib(card), self.utilization_percent(card)).unwrap_or(1.0)
    }

    /// What decides between fitting cards, lower first: for `pack` the free share, then the free MiB.
    pub fn cost(&self, card: &CardBook<'_>) -> (f64, u64) {
        match self.options.strategy {
            Strategy::Spread => (self.score(card), 0),
            Strategy::Pack => {
                let free = self.free_mib(card);
                (f64::from(free) / f64::from(card.gpu.total_mib.max(1)), u64::from(free))
            }
        }
    }

    /// The image still to be fetched goes behind the image that is there.
    pub fn lacks_image(&self, host: usize, ask: &Ask<'_>) -> bool {
        !self.hosts[host].host.images.contains(ask.image())
    }

    /// Gives the place away.
    pub fn take(&mut self, host: usize, cards: &[usize], ask: &Ask<'_>) {
        let expected = self.options.expected_utilization_percent;
        let book = &mut self.hosts[host];
        book.cpu_free = book.cpu_free.saturating_sub(ask.demand.cpu_millis);
        book.memory_free = book.memory_free.saturating_sub(ask.demand.memory_mib);
        book.attempts_free = book.attempts_free.saturating_sub(1);
        for card in cards {
            let card = &mut book.cards[*card];
            card.reserved_mib = card.reserved_mib.saturating_add(ask.need_mib(card.gpu));
            card.expected_percent = card.expected_percent.saturating_add(expected);
        }
    }

    /// What makes this card impossible even when empty.
    pub fn card_never(&self, gpu: &Gpu, ask: &Ask<'_>) -> Option<Obstacle> {
        if gpu.total_mib == 0 || gpu.allocatable_mib == 0 {
            return Some(Obstacle::TelemetryMissing);
        }
        let short = ask.request.stated_vram_mib()?.saturating_sub(ceiling_mib(gpu, self.options.safety));
        (short > 0).then_some(Obstacle::GpuTooSmall { short_mib: short })
    }

    /// By what is effectively free AND by the ledger, whichever is tighter.
    fn vram(&self, card: &CardBook<'_>, ask: &Ask<'_>) -> Option<Obstacle> {
        let gpu = card.gpu;
        let Some(need) = ask.request.stated_vram_mib() else {
            return if card.reserved_mib > 0 {
                Some(Obstacle::GpuInUse { reserved_mib: card.reserved_mib })
            } else if gpu.foreign_mib.saturating_add(gpu.overshoot_mib) > self.options.whole_card_foreign_mib
            {
                Some(Obstacle::ForeignUse { foreign_mib: gpu.foreign_mib.saturating_add(gpu.overshoot_mib) })
            } else {
                None
            };
        };
        let ledger = gpu.allocatable_mib.saturating_sub(card.reserved_mib);
        let short = need.saturating_sub(ledger.min(self.free_mib(card)));
        (short > 0).then_some(Obstacle::VramShort { short_mib: short })
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
        let both_fit = book.attempts_free > 1
            && u64::from(demand.cpu_millis) + u64::from(kept.demand.cpu_millis) <= u64::from(book.cpu_free)
            && u64::from(demand.memory_mib) + u64::from(kept.demand.memory_mib)
                <= u64::from(book.memory_free);
        (!both_fit).then_some(Obstacle::KeptForHead { run_job: kept.run_job })
    }

    fn kept_card(&self, host: usize, card: usize, ask: &Ask<'_>) -> Option<Obstacle> {
        let kept = self.kept.as_ref()?;
        let smaller = !ask.demand.covers(kept.demand);
        (smaller && kept.host == host && kept.cards.contains(&card))
            .then_some(Obstacle::KeptForHead { run_job: kept.run_job })
    }

    fn telemetry(&self, host: &Host, gpu: &Gpu) -> Option<Obstacle> {
        match gpu.telemetry {
            Telemetry::Fresh => None,
            Telemetry::Stale => Some(Obstacle::TelemetryStale),
            Telemetry::Never if host.age_seconds < u64::from(self.options.young_host_seconds) => {
                Some(Obstacle::TelemetryAwaited)
            }
            Telemetry::Never => Some(Obstacle::TelemetryMissing),
        }
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

impl<'a> CardBook<'a> {
    fn open(gpu: &'a Gpu) -> Self {
        Self { gpu, reserved_mib: gpu.reserved_mib, expected_percent: gpu.expected_utilization_percent }
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

const fn state(gpu: &Gpu) -> Option<Obstacle> {
    match (gpu.health, gpu.cordon) {
        (GpuHealth::Gone, Cordon::Open | Cordon::Cordoned) => Some(Obstacle::GpuGone),
        (GpuHealth::Unhealthy, Cordon::Open | Cordon::Cordoned) => Some(Obstacle::GpuUnhealthy),
        (GpuHealth::Healthy, Cordon::Cordoned) => Some(Obstacle::GpuCordoned),
        (GpuHealth::Healthy, Cordon::Open) => None,
    }
}
