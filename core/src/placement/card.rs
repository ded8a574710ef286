//! One card while a plan grows: what is left on it, what it costs to take it, and what it has against a request.
//!
//! What follows from its numbers is worked out when they change, not when they are read: a tick reads each card
//! thousands of times.

use super::{
    ask::Ask,
    problem::{Cordon, Gpu, GpuHealth, Host, Options, Strategy, Telemetry},
    reason::Obstacle,
    score::{ceiling_mib, free_beside, seed_score, utilization_percent},
};

/// What is left on one card.
pub(super) struct CardBook<'a> {
    pub gpu: &'a Gpu,
    reserved_mib: u32,
    expected_percent: u32,
    /// The most that it can ever give to a stated request.
    pub ceiling_mib: u32,
    /// Effectively free.
    pub free_mib: u32,
    /// The most that it gives now to a stated request: by what is free AND by the ledger.
    grantable_mib: u32,
    pub utilization_percent: u32,
    /// The seed score; a card without memory is as bad as can be (it never fits anyway).
    pub score: f64,
    /// What decides between fitting cards, lower first: for `pack` the free share, then the free MiB.
    pub cost: (f64, u64),
    /// Cordoned, unhealthy or gone.
    pub closed: Option<Obstacle>,
    /// Without telemetry that can be trusted.
    pub unseen: Option<Obstacle>,
}

impl<'a> CardBook<'a> {
    pub fn open(gpu: &'a Gpu, host: &Host, options: &Options) -> Self {
        let mut card = Self {
            gpu,
            reserved_mib: gpu.reserved_mib,
            expected_percent: gpu.expected_utilization_percent,
            ceiling_mib: ceiling_mib(gpu, options.safety),
            free_mib: 0,
            grantable_mib: 0,
            utilization_percent: 0,
            score: 1.0,
            cost: (1.0, 0),
            closed: closed(gpu),
            unseen: unseen(gpu, host, options),
        };
        card.work_out(options);
        card
    }

    /// Gives memory away, and expects the utilization that comes with it.
    pub fn take(&mut self, need_mib: u32, options: &Options) {
        self.reserved_mib = self.reserved_mib.saturating_add(need_mib);
        self.expected_percent = self.expected_percent.saturating_add(options.expected_utilization_percent);
        self.work_out(options);
    }

    /// Impossible even when empty.
    pub fn never(&self, ask: &Ask<'_>) -> Option<Obstacle> {
        if self.gpu.total_mib == 0 || self.gpu.allocatable_mib == 0 {
            return Some(Obstacle::TelemetryMissing);
        }
        let short_mib = ask.stated_vram_mib?.saturating_sub(self.ceiling_mib);
        (short_mib > 0).then_some(Obstacle::GpuTooSmall { short_mib })
    }

    /// Short of memory now.
    pub fn short(&self, ask: &Ask<'_>, options: &Options) -> Option<Obstacle> {
        let gpu = self.gpu;
        if let Some(need) = ask.stated_vram_mib {
            let short_mib = need.saturating_sub(self.grantable_mib);
            return (short_mib > 0).then_some(Obstacle::VramShort { short_mib });
        }
        let foreign_mib = gpu.foreign_mib.saturating_add(gpu.overshoot_mib);
        if self.reserved_mib > 0 {
            Some(Obstacle::GpuInUse { reserved_mib: self.reserved_mib })
        } else if foreign_mib > options.whole_card_foreign_mib {
            Some(Obstacle::ForeignUse { foreign_mib })
        } else {
            None
        }
    }

    fn work_out(&mut self, options: &Options) {
        let gpu = self.gpu;
        self.free_mib = free_beside(gpu, self.reserved_mib, options.safety);
        self.grantable_mib = self.free_mib.min(gpu.allocatable_mib.saturating_sub(self.reserved_mib));
        self.utilization_percent = utilization_percent(gpu, self.expected_percent);
        self.score = seed_score(gpu.total_mib, self.free_mib, self.utilization_percent).unwrap_or(1.0);
        self.cost = match options.strategy {
            Strategy::Spread => (self.score, 0),
            Strategy::Pack => {
                (f64::from(self.free_mib) / f64::from(gpu.total_mib.max(1)), u64::from(self.free_mib))
            }
        };
    }
}

const fn closed(gpu: &Gpu) -> Option<Obstacle> {
    match (gpu.health, gpu.cordon) {
        (GpuHealth::Gone, Cordon::Open | Cordon::Cordoned) => Some(Obstacle::GpuGone),
        (GpuHealth::Unhealthy, Cordon::Open | Cordon::Cordoned) => Some(Obstacle::GpuUnhealthy),
        (GpuHealth::Healthy, Cordon::Cordoned) => Some(Obstacle::GpuCordoned),
        (GpuHealth::Healthy, Cordon::Open) => None,
    }
}

fn unseen(gpu: &Gpu, host: &Host, options: &Options) -> Option<Obstacle> {
    match gpu.telemetry {
        Telemetry::Fresh => None,
        Telemetry::Stale => Some(Obstacle::TelemetryStale),
        Telemetry::Never if host.age_seconds < u64::from(options.young_host_seconds) => {
            Some(Obstacle::TelemetryAwaited)
        }
        Telemetry::Never => Some(Obstacle::TelemetryMissing),
    }
}
