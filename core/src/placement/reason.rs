//! Why a RunJob is not placed: obstacles of single places, the reason of a class, and infeasible for ever.
//!
//! Codes are a closed list for rows and metric labels; sentences are for people and carry the numbers.

use std::fmt;

use crate::{
    ids::{GpuUuid, RunJobId},
    text_enum,
};

text_enum! {
    /// The short text of a waiting reason: what rows and metrics store.
    WaitingCode("waiting reason") {
        NoHostKnown = "no_host_known",
        HostUnknown = "host_unknown",
        HostTooSmall = "host_too_small",
        HostCordoned = "host_cordoned",
        HostDraining = "host_draining",
        HostSilent = "host_silent",
        HostLost = "host_lost",
        HostNotReconciled = "host_not_reconciled",
        CpuShort = "cpu_short",
        MemoryShort = "memory_short",
        AttemptsFull = "attempts_full",
        NoGpuKnown = "no_gpu_known",
        GpuUnknown = "gpu_unknown",
        GpuTooSmall = "gpu_too_small",
        GpuCordoned = "gpu_cordoned",
        GpuUnhealthy = "gpu_unhealthy",
        GpuGone = "gpu_gone",
        TelemetryStale = "telemetry_stale",
        TelemetryMissing = "telemetry_missing",
        VramShort = "vram_short",
        GpuInUse = "gpu_in_use",
        ForeignUse = "foreign_use",
        TooFewGpus = "too_few_gpus",
        KeptForHead = "kept_for_head",
        NextTick = "next_tick",
    }
}

/// Why one host or one card cannot take a RunJob now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Even the empty host has less CPU or memory; what is missing of each.
    HostTooSmall {
        short_millis: u32,
        short_mib: u32,
    },
    HostCordoned,
    HostDraining,
    HostSilent,
    HostLost,
    HostNotReconciled,
    CpuShort {
        short_millis: u32,
    },
    MemoryShort {
        short_mib: u32,
    },
    AttemptsFull {
        max: u32,
    },
    /// Even the empty card has less memory.
    GpuTooSmall {
        short_mib: u32,
    },
    GpuCordoned,
    GpuUnhealthy,
    GpuGone,
    TelemetryStale,
    /// No sample yet, and the host is young enough for one to be on its way.
    TelemetryAwaited,
    /// No sample ever.
    TelemetryMissing,
    VramShort {
        short_mib: u32,
    },
    /// A whole card is wanted and this one has leases.
    GpuInUse {
        reserved_mib: u32,
    },
    /// A whole card is wanted and strangers hold too much of this one.
    ForeignUse {
        foreign_mib: u32,
    },
    /// Kept free of smaller RunJobs for one that has waited long.
    KeptForHead {
        run_job: RunJobId,
    },
}

impl Obstacle {
    /// The short text.
    #[must_use]
    pub const fn code(self) -> WaitingCode {
        match self {
            Self::HostTooSmall { .. } => WaitingCode::HostTooSmall,
            Self::HostCordoned => WaitingCode::HostCordoned,
            Self::HostDraining => WaitingCode::HostDraining,
            Self::HostSilent => WaitingCode::HostSilent,
            Self::HostLost => WaitingCode::HostLost,
            Self::HostNotReconciled => WaitingCode::HostNotReconciled,
            Self::CpuShort { .. } => WaitingCode::CpuShort,
            Self::MemoryShort { .. } => WaitingCode::MemoryShort,
            Self::AttemptsFull { .. } => WaitingCode::AttemptsFull,
            Self::GpuTooSmall { .. } => WaitingCode::GpuTooSmall,
            Self::GpuCordoned => WaitingCode::GpuCordoned,
            Self::GpuUnhealthy => WaitingCode::GpuUnhealthy,
            Self::GpuGone => WaitingCode::GpuGone,
            Self::TelemetryStale => WaitingCode::TelemetryStale,
            Self::TelemetryAwaited | Self::TelemetryMissing => WaitingCode::TelemetryMissing,
            Self::VramShort { .. } => WaitingCode::VramShort,
            Self::GpuInUse { .. } => WaitingCode::GpuInUse,
            Self::ForeignUse { .. } => WaitingCode::ForeignUse,
            Self::KeptForHead { .. } => WaitingCode::KeptForHead,
        }
    }

    /// How far this place is from taking the RunJob, for naming the nearest one: kind first, then size.
    pub(super) const fn distance(self) -> (u8, u32) {
        match self {
            Self::TelemetryStale | Self::TelemetryAwaited | Self::HostSilent | Self::HostNotReconciled => {
                (0, 0)
            }
            Self::KeptForHead { .. } => (1, 0),
            Self::AttemptsFull { .. } => (2, 0),
            Self::CpuShort { short_millis } => (3, short_millis),
            Self::MemoryShort { short_mib } => (4, short_mib),
            Self::VramShort { short_mib } => (5, short_mib),
            Self::GpuInUse { reserved_mib } => (5, reserved_mib),
            Self::ForeignUse { foreign_mib } => (6, foreign_mib),
            Self::TelemetryMissing => (7, 0),
            Self::GpuCordoned | Self::HostCordoned => (8, 0),
            Self::HostDraining => (9, 0),
            Self::GpuUnhealthy => (10, 0),
            Self::GpuGone | Self::HostLost => (11, 0),
            Self::GpuTooSmall { short_mib } => (12, short_mib),
            Self::HostTooSmall { .. } => (13, 0),
        }
    }

    /// Whether the place may well turn out to be free in a moment. It is looked at last, so it is then the only
    /// obstacle, and nobody falls back to the CPU because of it.
    pub(super) const fn is_only_unseen(self) -> bool {
        self.distance().0 == 0
    }

    /// Whether it is in the way of every card of the host.
    pub(super) const fn is_of_host(self) -> bool {
        match self {
            Self::HostTooSmall { .. }
            | Self::HostCordoned
            | Self::HostDraining
            | Self::HostSilent
            | Self::HostLost
            | Self::HostNotReconciled
            | Self::CpuShort { .. }
            | Self::MemoryShort { .. }
            | Self::AttemptsFull { .. } => true,
            Self::GpuTooSmall { .. }
            | Self::GpuCordoned
            | Self::GpuUnhealthy
            | Self::GpuGone
            | Self::TelemetryStale
            | Self::TelemetryAwaited
            | Self::TelemetryMissing
            | Self::VramShort { .. }
            | Self::GpuInUse { .. }
            | Self::ForeignUse { .. }
            | Self::KeptForHead { .. } => false,
        }
    }

    /// Whether it goes away when running work ends.
    pub(super) const fn is_capacity(self) -> bool {
        match self {
            Self::CpuShort { .. }
            | Self::MemoryShort { .. }
            | Self::AttemptsFull { .. }
            | Self::VramShort { .. }
            | Self::GpuInUse { .. }
            | Self::KeptForHead { .. } => true,
            Self::HostTooSmall { .. }
            | Self::HostCordoned
            | Self::HostDraining
            | Self::HostSilent
            | Self::HostLost
            | Self::HostNotReconciled
            | Self::GpuTooSmall { .. }
            | Self::GpuCordoned
            | Self::GpuUnhealthy
            | Self::GpuGone
            | Self::TelemetryStale
            | Self::TelemetryAwaited
            | Self::TelemetryMissing
            | Self::ForeignUse { .. } => false,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostTooSmall { short_millis, short_mib } => {
                write!(f, "short {short_millis} CPU millis and {short_mib} MiB of memory even when empty")
            }
            Self::HostCordoned => f.write_str("the host is cordoned"),
            Self::HostDraining => f.write_str("the host is being drained"),
            Self::HostSilent => f.write_str("the host is out of contact"),
            Self::HostLost => f.write_str("the host is lost"),
            Self::HostNotReconciled => f.write_str("the host is back and still compares its containers"),
            Self::CpuShort { short_millis } => write!(f, "short {short_millis} CPU millis"),
            Self::MemoryShort { short_mib } => write!(f, "short {short_mib} MiB of host memory"),
            Self::AttemptsFull { max } => write!(f, "the host has its most of {max} open attempts"),
            Self::GpuTooSmall { short_mib } => write!(f, "short {short_mib} MiB even when empty"),
            Self::GpuCordoned => f.write_str("cordoned"),
            Self::GpuUnhealthy => f.write_str("unhealthy"),
            Self::GpuGone => f.write_str("gone: the driver does not list it any more"),
            Self::TelemetryStale => f.write_str("its telemetry is stale"),
            Self::TelemetryAwaited => f.write_str("its first telemetry is awaited"),
            Self::TelemetryMissing => f.write_str("it has never sent telemetry"),
            Self::VramShort { short_mib } => write!(f, "short {short_mib} MiB"),
            Self::GpuInUse { reserved_mib } => {
                write!(f, "a whole card is wanted and {reserved_mib} MiB are reserved")
            }
            Self::ForeignUse { foreign_mib } => {
                write!(f, "a whole card is wanted and other processes hold {foreign_mib} MiB")
            }
            Self::KeptForHead { run_job } => write!(f, "kept for run job {run_job}, which has waited longer"),
        }
    }
}

/// A place that a reason speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// By name.
    Host(String),
    Gpu(GpuUuid),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "host {name}"),
            Self::Gpu(uuid) => uuid.fmt(f),
        }
    }
}

/// Why a class still waits: the obstacle of the place that is nearest to taking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingReason {
    /// No host has ever registered.
    NoHostKnown,
    /// It is pinned to a host that has never registered.
    HostUnknown { host: String },
    /// No host that it may use has a GPU.
    NoGpuKnown,
    /// The explicitly named card is not known.
    GpuUnknown { wanted: String },
    /// The nearest place, and what is in the way there.
    At { place: Place, obstacle: Obstacle },
    /// Several cards are wanted on one host; this host comes nearest.
    TooFewGpus { host: String, fitting: u32, wanted: u32, next: Option<(GpuUuid, Obstacle)> },
    /// Its listed heads got places; the others come with the next tick.
    NextTick,
}

impl WaitingReason {
    /// The short text.
    #[must_use]
    pub const fn code(&self) -> WaitingCode {
        match self {
            Self::NoHostKnown => WaitingCode::NoHostKnown,
            Self::HostUnknown { .. } => WaitingCode::HostUnknown,
            Self::NoGpuKnown => WaitingCode::NoGpuKnown,
            Self::GpuUnknown { .. } => WaitingCode::GpuUnknown,
            Self::At { place: _, obstacle } => obstacle.code(),
            Self::TooFewGpus { .. } => WaitingCode::TooFewGpus,
            Self::NextTick => WaitingCode::NextTick,
        }
    }
}

impl fmt::Display for WaitingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHostKnown => f.write_str("no host is known"),
            Self::HostUnknown { host } => write!(f, "host {host} is not known"),
            Self::NoGpuKnown => f.write_str("no GPU is known on the hosts that it may use"),
            Self::GpuUnknown { wanted } => write!(f, "{wanted} is not known on the hosts that it may use"),
            Self::At { place, obstacle } => write!(f, "{place}: {obstacle}"),
            Self::TooFewGpus { host, fitting, wanted, next } => {
                write!(f, "host {host}: {fitting} of {wanted} GPUs fit")?;
                match next {
                    Some((gpu, obstacle)) => write!(f, "; {gpu}: {obstacle}"),
                    None => Ok(()),
                }
            }
            Self::NextTick => f.write_str("placed with the next tick"),
        }
    }
}

/// Why no known host or GPU could ever take a RunJob, empty or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Infeasible {
    Cpu {
        need_millis: u32,
        largest_millis: u32,
    },
    Memory {
        need_mib: u32,
        largest_mib: u32,
    },
    Vram {
        need_mib: u32,
        gpu: GpuUuid,
        largest_mib: u32,
    },
    TooFewGpus {
        wanted: u32,
        most: u32,
    },
    GpuUnknown {
        wanted: String,
    },
    /// Each part fits somewhere, but no single host has all of it.
    NoSingleHost,
}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu { need_millis, largest_millis } => {
                write!(
                    f,
                    "{need_millis} CPU millis are asked for; the largest known host has {largest_millis}"
                )
            }
            Self::Memory { need_mib, largest_mib } => {
                write!(f, "{need_mib} MiB of memory are asked for; the largest known host has {largest_mib}")
            }
            Self::Vram { need_mib, gpu, largest_mib } => {
                write!(
                    f,
                    "{need_mib} MiB of VRAM are asked for; the largest known card, {gpu}, gives {largest_mib}"
                )
            }
            Self::TooFewGpus { wanted, most } => {
                write!(
                    f,
                    "{wanted} GPUs on one host are asked for; at most {most} that are large enough share one"
                )
            }
            Self::GpuUnknown { wanted } => {
                write!(f, "{wanted} is asked for, nothing else will do, and it is not among the known GPUs")
            }
            Self::NoSingleHost => {
                f.write_str("no single known host has the CPU, the memory and the GPUs that are asked for")
            }
        }
    }
}
