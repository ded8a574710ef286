//! A request in the form in which it is looked at now: with its GPUs, or on the CPU.

use super::problem::{Gpu, Host, Request};
use crate::spec::GpuChoice;

/// A request's size in every dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    pub cpu_millis: u32,
    pub memory_mib: u32,
    cards: u32,
    /// On each card; the largest number for a whole card.
    vram_mib: u32,
}

impl Demand {
    /// Whether it is at least as large in every dimension.
    pub const fn covers(self, other: Self) -> bool {
        self.cpu_millis >= other.cpu_millis
            && self.memory_mib >= other.memory_mib
            && self.cards >= other.cards
            && self.vram_mib >= other.vram_mib
    }
}

/// A request as it is looked at now.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub request: &'a Request,
    pub demand: Demand,
    /// `None`: whole cards.
    pub stated_vram_mib: Option<u32>,
}

impl<'a> Ask<'a> {
    /// With the GPUs that it asks for.
    pub fn on_gpu(request: &'a Request) -> Self {
        let stated = request.stated_vram_mib();
        let cpu = Self::on_cpu(request);
        let demand = Demand { cards: request.cards(), vram_mib: stated.unwrap_or(u32::MAX), ..cpu.demand };
        Self { demand, stated_vram_mib: stated, ..cpu }
    }

    /// Without any.
    pub const fn on_cpu(request: &'a Request) -> Self {
        let resources = request.resources;
        let (cpu_millis, memory_mib) = (resources.cpu_millis, resources.memory_mib);
        let demand = Demand { cpu_millis, memory_mib, cards: 0, vram_mib: 0 };
        Self { request, demand, stated_vram_mib: None }
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
        self.stated_vram_mib.unwrap_or(gpu.allocatable_mib)
    }
}
