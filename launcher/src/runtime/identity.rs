//! Which engine this is, on which machine, since which boot.
//!
//! A host is one engine on one machine; what one engine says proves nothing about another. The engine is
//! taken to run on the machine of the launcher: its boot id is read from the same kernel.

use cyberbrain_core::text_enum;

/// Where workers see the machine of their engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// At this address, which is one of the machine's own.
    At(std::net::IpAddr),
    /// The engine does not say.
    Unknown,
    /// Nothing runs, so nothing looks.
    NobodyLooks,
}

text_enum! {
    /// Which runtime drives the workers.
    RuntimeKind("runtime") {
        /// A container engine: the product.
        Docker = "docker",
        /// Child processes of the launcher; only the built-in worker.
        Process = "process",
        /// Nothing runs at all.
        Simulated = "simulated",
    }
}

/// Identity and size of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineIdentity {
    pub kind: RuntimeKind,
    /// What the engine calls itself; stable across its restarts.
    pub engine_id: String,
    /// For people, e.g. `docker 20.10.24`.
    pub engine_version: String,
    /// Stable across reboots.
    pub machine_id: String,
    /// New with each boot.
    pub boot_id: String,
    pub cpus: u32,
    pub memory_mib: u32,
}

/// The machine's own id, or `fallback` where it has none (in many containers).
pub(super) fn machine_id(fallback: &str) -> String {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty() && text != "uninitialized")
        .unwrap_or_else(|| fallback.to_owned())
}

/// The kernel's boot id; empty where there is none (not Linux).
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// A field of `/proc/meminfo`, e.g. `MemTotal`, in MiB; `None` where there is no such field.
pub(crate) fn meminfo_mib(field: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()?;
    u32::try_from(kib / 1024).ok()
}
