//! What holds a GPU's clocks down, and whose fault its critical errors are.

use serde::{Deserialize, Serialize};

use crate::text_enum;

text_enum! {
    /// Why a GPU's clocks are lower than they could be.
    ThrottleReason("throttle reason") {
        /// Nothing runs on it.
        Idle = "idle",
        /// Somebody set its clocks.
        ClocksSetting = "clocks_setting",
        /// It is at its power limit.
        PowerCap = "power_cap",
        /// Its hardware halves the clocks or more: heat, power or a brake from outside.
        HardwareSlowdown = "hardware_slowdown",
        /// Another card of its group holds it down.
        SyncBoost = "sync_boost",
        /// It, or its memory, is warmer than it should be.
        ThermalSlowdown = "thermal_slowdown",
        /// It is too hot: its hardware halves the clocks or more.
        HardwareThermalSlowdown = "hardware_thermal_slowdown",
        /// The power supply asks it to brake.
        PowerBrake = "power_brake",
        /// Set by the clocks of a display.
        DisplayClocks = "display_clocks",
    }
}

impl ThrottleReason {
    /// The driver's bit: `nvmlClocksThrottleReason…` in its header.
    #[must_use]
    pub const fn bit(self) -> u64 {
        match self {
            Self::Idle => 0x1,
            Self::ClocksSetting => 0x2,
            Self::PowerCap => 0x4,
            Self::HardwareSlowdown => 0x8,
            Self::SyncBoost => 0x10,
            Self::ThermalSlowdown => 0x20,
            Self::HardwareThermalSlowdown => 0x40,
            Self::PowerBrake => 0x80,
            Self::DisplayClocks => 0x100,
        }
    }

    /// Whether work is slowed by it, as opposed to no work, or to clocks that somebody chose.
    #[must_use]
    pub const fn slows(self) -> bool {
        match self {
            Self::Idle | Self::ClocksSetting | Self::DisplayClocks => false,
            Self::PowerCap
            | Self::HardwareSlowdown
            | Self::SyncBoost
            | Self::ThermalSlowdown
            | Self::HardwareThermalSlowdown
            | Self::PowerBrake => true,
        }
    }
}

/// A set of reasons; in JSON a list of their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<ThrottleReason>", into = "Vec<ThrottleReason>")]
pub struct ThrottleReasons(u16);

impl ThrottleReasons {
    /// From the driver's bits. Those that are not known here are dropped.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        ThrottleReason::ALL.iter().copied().filter(|reason| bits & reason.bit() != 0).collect()
    }

    /// The driver's bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// In the order of the bits.
    pub fn iter(self) -> impl Iterator<Item = ThrottleReason> {
        ThrottleReason::ALL.iter().copied().filter(move |reason| u64::from(self.0) & reason.bit() != 0)
    }

    /// Whether work is slowed by one of them.
    #[must_use]
    pub fn slow(self) -> bool {
        self.iter().any(ThrottleReason::slows)
    }
}

impl FromIterator<ThrottleReason> for ThrottleReasons {
    fn from_iter<I: IntoIterator<Item = ThrottleReason>>(reasons: I) -> Self {
        // All bits are in the lower nine.
        Self(reasons.into_iter().fold(0, |bits, reason| bits | reason.bit() as u16))
    }
}

impl From<Vec<ThrottleReason>> for ThrottleReasons {
    fn from(reasons: Vec<ThrottleReason>) -> Self {
        reasons.into_iter().collect()
    }
}

impl From<ThrottleReasons> for Vec<ThrottleReason> {
    fn from(reasons: ThrottleReasons) -> Self {
        reasons.iter().collect()
    }
}

text_enum! {
    /// Whose fault a critical error is.
    XidSeverity("XID severity") {
        /// A program did something wrong; the card is fine.
        Application = "application",
        /// The card, its memory, its link or its firmware.
        Hardware = "hardware",
    }
}

/// Errors that programs cause: the list that NVIDIA's own device plugin ignores.
const APPLICATION_XIDS: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// Sorts a critical error. What is not known to be a program's is the card's.
#[must_use]
pub fn xid_severity(xid: u64) -> XidSeverity {
    if APPLICATION_XIDS.contains(&xid) { XidSeverity::Application } else { XidSeverity::Hardware }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_drivers_bits_and_names_in_json() {
        let reasons = ThrottleReasons::from_bits(0x44 | 0x8000_0000);
        assert_eq!(reasons.bits(), 0x44, "what is not known is dropped");
        let json = serde_json::to_string(&reasons).unwrap();
        assert_eq!(json, r#"["power_cap","hardware_thermal_slowdown"]"#);
        assert_eq!(serde_json::from_str::<ThrottleReasons>(&json).unwrap(), reasons);
        assert!(reasons.slow() && !ThrottleReasons::from_bits(0x103).slow());
        let all = ThrottleReason::ALL.iter().fold(0, |bits, reason| bits | reason.bit());
        assert_eq!((all, ThrottleReasons::from_bits(u64::MAX).iter().count()), (0x1ff, 9));
        assert!(serde_json::from_str::<ThrottleReasons>(r#"["bad_mood"]"#).is_err());
    }
}
