//! What the double plays: a small text file, one line per thing, fields separated by commas.
//!
//! ```text
//! init,ok                                   ok | driver_not_loaded | version_mismatch | no_permission
//! driver,550.54.15
//! gpu,GPU-1,Model,24576,512,1024,37,55,60000,0,ok
//!     uuid, model, total MiB, reserved MiB, used MiB, utilization %, °C, mW, ECC errors, state
//!     `-` for what the card does not tell; state: ok | lost | hung | unified | reset_required | mig
//! strain,GPU-1,68,12                        uuid, throttle reasons (bits), corrected ECC errors; `-` as above
//! process,GPU-1,4711,1024                   uuid, pid, used MiB or `-`
//! mig,GPU-1,MIG-1,5120,16,0                 parent, uuid, total, reserved, used MiB
//! xid,GPU-1,79                              each line is one event, told once in the order of the lines
//! ```

use std::{fmt, str::FromStr};

/// How the library comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    #[default]
    Ok,
    DriverNotLoaded,
    VersionMismatch,
    NoPermission,
}

/// How a card behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CardState {
    #[default]
    Ok,
    /// Fell off the bus.
    Lost,
    /// Calls about it do not return as long as this is so.
    Hung,
    /// It has no memory of its own.
    Unified,
    ResetRequired,
    /// It is partitioned: see [`Slice`].
    Mig,
}

/// One card. What is `None` it does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub uuid: String,
    pub model: String,
    pub total_mib: u64,
    pub reserved_mib: u64,
    pub used_mib: u64,
    pub utilization_percent: Option<u32>,
    pub temperature_celsius: Option<u32>,
    pub power_milliwatts: Option<u32>,
    /// Uncorrected ones.
    pub ecc_errors: Option<u64>,
    pub corrected_ecc_errors: Option<u64>,
    /// Bits of what holds the clocks down.
    pub throttle_reasons: Option<u64>,
    pub state: CardState,
}

/// A process that uses a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub card: String,
    pub pid: u32,
    pub used_mib: Option<u64>,
}

/// A slice of a partitioned card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub parent: String,
    pub uuid: String,
    pub total_mib: u64,
    pub reserved_mib: u64,
    pub used_mib: u64,
}

/// A critical error that a card reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xid {
    pub card: String,
    pub code: u64,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    pub init: Init,
    pub driver_version: String,
    pub cards: Vec<Card>,
    pub processes: Vec<Process>,
    pub slices: Vec<Slice>,
    pub xids: Vec<Xid>,
}

impl Script {
    /// So many healthy, idle cards of this size, with 512 MiB kept by the driver: `GPU-double-0` and so on.
    #[must_use]
    pub fn cards(count: usize, total_mib: u64) -> Self {
        let card = |index| Card {
            uuid: format!("GPU-double-{index}"),
            model: "Double".to_owned(),
            total_mib,
            reserved_mib: 512,
            used_mib: 0,
            utilization_percent: Some(0),
            temperature_celsius: Some(40),
            power_milliwatts: Some(50_000),
            ecc_errors: Some(0),
            corrected_ecc_errors: Some(0),
            throttle_reasons: Some(0),
            state: CardState::Ok,
        };
        Self {
            driver_version: "550.54.15".to_owned(),
            cards: (0..count).map(card).collect(),
            ..Self::default()
        }
    }
}

/// A line that is none of the above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub line: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no line of a script", self.line)
    }
}

impl std::error::Error for Malformed {}

impl FromStr for Script {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut script = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            read_line(&mut script, line).ok_or_else(|| Malformed { line: line.to_owned() })?;
        }
        Ok(script)
    }
}

fn read_line(script: &mut Script, line: &str) -> Option<()> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    match fields[..] {
        ["init", init] => script.init = init_from(init)?,
        ["driver", version] => script.driver_version = version.to_owned(),
        ["gpu", uuid, model, total, reserved, used, utilization, temperature, power, ecc, state] => {
            script.cards.push(Card {
                uuid: uuid.to_owned(),
                model: model.to_owned(),
                total_mib: total.parse().ok()?,
                reserved_mib: reserved.parse().ok()?,
                used_mib: used.parse().ok()?,
                utilization_percent: optional(utilization)?,
                temperature_celsius: optional(temperature)?,
                power_milliwatts: optional(power)?,
                ecc_errors: optional(ecc)?,
                corrected_ecc_errors: Some(0),
                throttle_reasons: Some(0),
                state: state_from(state)?,
            });
        }
        ["strain", uuid, throttle, corrected] => {
            let card = script.cards.iter_mut().find(|card| card.uuid == uuid)?;
            card.throttle_reasons = optional(throttle)?;
            card.corrected_ecc_errors = optional(corrected)?;
        }
        ["process", card, pid, used] => script.processes.push(Process {
            card: card.to_owned(),
            pid: pid.parse().ok()?,
            used_mib: optional(used)?,
        }),
        ["mig", parent, uuid, total, reserved, used] => script.slices.push(Slice {
            parent: parent.to_owned(),
            uuid: uuid.to_owned(),
            total_mib: total.parse().ok()?,
            reserved_mib: reserved.parse().ok()?,
            used_mib: used.parse().ok()?,
        }),
        ["xid", card, code] => {
            script.xids.push(Xid { card: card.to_owned(), code: code.parse().ok()? });
        }
        _ => return None,
    }
    Some(())
}

fn optional<T: FromStr>(field: &str) -> Option<Option<T>> {
    if field == "-" { Some(None) } else { field.parse().ok().map(Some) }
}

fn init_from(text: &str) -> Option<Init> {
    [Init::Ok, Init::DriverNotLoaded, Init::VersionMismatch, Init::NoPermission]
        .into_iter()
        .find(|init| init_text(*init) == text)
}

const fn init_text(init: Init) -> &'static str {
    match init {
        Init::Ok => "ok",
        Init::DriverNotLoaded => "driver_not_loaded",
        Init::VersionMismatch => "version_mismatch",
        Init::NoPermission => "no_permission",
    }
}

fn state_from(text: &str) -> Option<CardState> {
    use CardState::{Hung, Lost, Mig, Ok, ResetRequired, Unified};
    [Ok, Lost, Hung, Unified, ResetRequired, Mig].into_iter().find(|state| state_text(*state) == text)
}

const fn state_text(state: CardState) -> &'static str {
    match state {
        CardState::Ok => "ok",
        CardState::Lost => "lost",
        CardState::Hung => "hung",
        CardState::Unified => "unified",
        CardState::ResetRequired => "reset_required",
        CardState::Mig => "mig",
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn shown<T: fmt::Display>(value: Option<T>) -> String {
            value.map_or_else(|| "-".to_owned(), |value| value.to_string())
        }
        writeln!(f, "init,{}\ndriver,{}", init_text(self.init), self.driver_version)?;
        for card in &self.cards {
            let (utilization, temperature) =
                (shown(card.utilization_percent), shown(card.temperature_celsius));
            let (power, ecc) = (shown(card.power_milliwatts), shown(card.ecc_errors));
            let Card { uuid, model, total_mib, reserved_mib, used_mib, .. } = card;
            let state = state_text(card.state);
            writeln!(
                f,
                "gpu,{uuid},{model},{total_mib},{reserved_mib},{used_mib},{utilization},{temperature},{power},{ecc},{state}"
            )?;
        }
        for Card { uuid, throttle_reasons, corrected_ecc_errors, .. } in &self.cards {
            writeln!(f, "strain,{uuid},{},{}", shown(*throttle_reasons), shown(*corrected_ecc_errors))?;
        }
        for Process { card, pid, used_mib } in &self.processes {
            writeln!(f, "process,{card},{pid},{}", shown(*used_mib))?;
        }
        for Slice { parent, uuid, total_mib, reserved_mib, used_mib } in &self.slices {
            writeln!(f, "mig,{parent},{uuid},{total_mib},{reserved_mib},{used_mib}")?;
        }
        for Xid { card, code } in &self.xids {
            writeln!(f, "xid,{card},{code}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut script = Script::cards(2, 24_576);
        script.cards[1].utilization_percent = None;
        script.cards[1].ecc_errors = None;
        script.cards[1].corrected_ecc_errors = None;
        script.cards[0].throttle_reasons = Some(0x44);
        script.cards[0].state = CardState::Mig;
        script.init = Init::VersionMismatch;
        script.processes.push(Process { card: "GPU-double-0".into(), pid: 7, used_mib: Some(3) });
        script.processes.push(Process { card: "GPU-double-0".into(), pid: 8, used_mib: None });
        script.slices.push(Slice {
            parent: "GPU-double-0".into(),
            uuid: "MIG-0".into(),
            total_mib: 10,
            reserved_mib: 1,
            used_mib: 2,
        });
        script.xids.push(Xid { card: "GPU-double-1".into(), code: 79 });
        assert_eq!(script.to_string().parse(), Ok(script));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in
            ["gpu", "gpu,a,b,c,1,2,3,4,5,6,ok", "init,maybe", "xid,a,b", "nonsense,1", "process,a,1,x"]
        {
            assert!(line.parse::<Script>().is_err(), "{line}");
        }
    }
}
