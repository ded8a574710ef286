//! The answer of one tick: who goes where and why, who is refused, and why the others wait.

use std::fmt;

use super::{
    problem::Strategy,
    reason::{Infeasible, WaitingCode, WaitingReason},
};
use crate::{
    ids::{GpuUuid, HostId, RunJobId},
    lifecycle::FailureKind,
    text_enum,
};

/// What one tick decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order in which they were decided.
    pub placements: Vec<Placement>,
    pub refused: Vec<RefusedRunJob>,
    /// One per class of the problem that still waits, in the problem's order.
    pub waiting: Vec<ClassWaiting>,
}

/// A place for one RunJob.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub run_job: RunJobId,
    pub host: HostId,
    /// All its cards, all on that host; empty for a CPU place.
    pub gpus: Vec<Grant>,
    pub selection: Selection,
}

/// A reservation on one card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub gpu: GpuUuid,
    /// Never 0.
    pub reserved_mib: u32,
}

/// A RunJob that no known host or GPU could ever take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRunJob {
    pub run_job: RunJobId,
    /// What it ends with.
    pub failure: FailureKind,
    pub reason: Infeasible,
}

/// What a class still waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassWaiting {
    /// Position in `Problem::classes`.
    pub class: usize,
    /// How many of it still wait.
    pub waiting: u64,
    /// The reason of the oldest one.
    pub reason: WaitingReason,
}

text_enum! {
    /// The kind of a selection.
    SelectionKind("selection") {
        GpuScore = "gpu_score",
        GpuExplicit = "gpu_explicit",
        GpuAfterMiss = "gpu_after_miss",
        Cpu = "cpu",
        CpuFallback = "cpu_fallback",
    }
}

text_enum! {
    /// Why a RunJob that would have used a GPU got a CPU place.
    FallbackKind("fallback") {
        NoGpu = "no_gpu",
        VramShort = "vram_short",
        /// GPUs are there, but cordoned, unhealthy, lost, kept for another, or without telemetry.
        Unavailable = "unavailable",
        /// A GPU is free, but its host is short of CPU, memory or attempts.
        HostShort = "host_short",
        /// It waited as long as it was told to.
        WaitExpired = "wait_expired",
    }
}

/// Why this place. `Display` is the audited `selection_reason`.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// The best by score, or the fullest that fits.
    Gpu { strategy: Strategy, cards: Vec<PickedCard> },
    /// The card that was named.
    Explicit { cards: Vec<PickedCard> },
    /// Another card than the named one.
    AfterMiss { missed: Missed, strategy: Strategy, cards: Vec<PickedCard> },
    /// No GPU was wanted.
    Cpu,
    /// A GPU was wanted.
    CpuFallback { kind: FallbackKind, because: WaitingReason, waited_seconds: u64 },
}

impl Selection {
    /// Its kind, for metrics.
    #[must_use]
    pub const fn kind(&self) -> SelectionKind {
        match self {
            Self::Gpu { .. } => SelectionKind::GpuScore,
            Self::Explicit { .. } => SelectionKind::GpuExplicit,
            Self::AfterMiss { .. } => SelectionKind::GpuAfterMiss,
            Self::Cpu => SelectionKind::Cpu,
            Self::CpuFallback { .. } => SelectionKind::CpuFallback,
        }
    }

    /// Why it is a fallback, if it is one.
    #[must_use]
    pub const fn fallback(&self) -> Option<FallbackKind> {
        match self {
            Self::Gpu { .. } | Self::Explicit { .. } | Self::AfterMiss { .. } | Self::Cpu => None,
            Self::CpuFallback { kind, .. } => Some(*kind),
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu { strategy, cards } => write_cards(f, *strategy, cards),
            Self::Explicit { cards } => {
                f.write_str("explicit GPU: ")?;
                write_list(f, cards)
            }
            Self::AfterMiss { missed, strategy, cards } => {
                write!(f, "{missed}; ")?;
                write_cards(f, *strategy, cards)
            }
            Self::Cpu => f.write_str("CPU: no GPU wanted"),
            Self::CpuFallback { kind: FallbackKind::WaitExpired, because, waited_seconds } => {
                write!(f, "CPU fallback after {waited_seconds} s: {because}")
            }
            Self::CpuFallback { kind: _, because, waited_seconds: _ } => write!(f, "CPU fallback: {because}"),
        }
    }
}

fn write_cards(f: &mut fmt::Formatter<'_>, strategy: Strategy, cards: &[PickedCard]) -> fmt::Result {
    f.write_str(match strategy {
        Strategy::Spread => "best score: ",
        Strategy::Pack => "fullest that fits: ",
    })?;
    write_list(f, cards)
}

fn write_list(f: &mut fmt::Formatter<'_>, cards: &[PickedCard]) -> fmt::Result {
    for (position, card) in cards.iter().enumerate() {
        f.write_str(if position == 0 { "" } else { ", " })?;
        write!(f, "{card}")?;
    }
    Ok(())
}

/// An explicitly named card that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// As it was asked for.
    pub wanted: String,
    pub why: WaitingReason,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wanted {} ({})", self.wanted, self.why)
    }
}

/// A chosen card as it was when it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct PickedCard {
    pub gpu: GpuUuid,
    /// The seed score, 0 best to 1 worst.
    pub score: f64,
    /// Effectively free.
    pub free_mib: u32,
    pub total_mib: u32,
    /// What the score was made with: observed or expected.
    pub utilization_percent: u32,
}

impl PickedCard {
    /// Share of the card that is effectively free, 0 to 1.
    #[must_use]
    pub fn headroom(&self) -> f64 {
        f64::from(self.free_mib) / f64::from(self.total_mib.max(1))
    }
}

impl fmt::Display for PickedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gpu, score, free_mib, total_mib, utilization_percent } = self;
        let headroom = self.headroom();
        write!(
            f,
            "{gpu} (score {score:.3}, free {free_mib} of {total_mib} MiB, headroom {headroom:.2}, \
             utilization {utilization_percent} %)"
        )
    }
}

/// What kind of fallback a GPU reason is, before any wait.
pub(super) fn fallback_kind(reason: &WaitingReason) -> FallbackKind {
    match reason.code() {
        WaitingCode::NoHostKnown
        | WaitingCode::HostUnknown
        | WaitingCode::NoGpuKnown
        | WaitingCode::GpuUnknown => FallbackKind::NoGpu,
        WaitingCode::VramShort
        | WaitingCode::GpuInUse
        | WaitingCode::ForeignUse
        | WaitingCode::GpuTooSmall
        | WaitingCode::TooFewGpus => FallbackKind::VramShort,
        WaitingCode::HostTooSmall
        | WaitingCode::CpuShort
        | WaitingCode::MemoryShort
        | WaitingCode::AttemptsFull => FallbackKind::HostShort,
        WaitingCode::HostCordoned
        | WaitingCode::HostDraining
        | WaitingCode::HostSilent
        | WaitingCode::HostLost
        | WaitingCode::HostNotReconciled
        | WaitingCode::GpuCordoned
        | WaitingCode::GpuUnhealthy
        | WaitingCode::GpuGone
        | WaitingCode::TelemetryStale
        | WaitingCode::TelemetryMissing
        | WaitingCode::KeptForHead
        | WaitingCode::NextTick => FallbackKind::Unavailable,
    }
}
