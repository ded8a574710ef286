//! The options of the role.

use clap::{Args as ClapArgs, ValueEnum};
use cyberbrain_common::config::{DatabaseArgs, SupervisionArgs, TelemetryArgs};
use cyberbrain_core::placement::Strategy;

/// Runs a scheduler: admits Runs, places their jobs, replaces what is lost, writes the reports
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub supervision: SupervisionArgs,
    /// Which of the GPUs that fit is taken: the least busy one, or the fullest one
    #[arg(long, env = "CYBERBRAIN_PLACEMENT_STRATEGY", value_enum, default_value = "spread")]
    pub placement_strategy: StrategyArg,
}

/// A placement strategy on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StrategyArg {
    /// The emptiest, least busy card.
    Spread,
    /// The fullest card that fits, which keeps whole cards free.
    Pack,
}

impl From<StrategyArg> for Strategy {
    fn from(given: StrategyArg) -> Self {
        match given {
            StrategyArg::Spread => Self::Spread,
            StrategyArg::Pack => Self::Pack,
        }
    }
}
