//! Upkeep that any leader does now and then: forgetting, making room, checking the promise. Each in a file of its own.

mod audit;
mod inventory;
mod ledger;
mod queue;
mod samples;

pub use audit::AuditUpkeep;
pub use inventory::InventoryRetention;
pub use ledger::LedgerCheck;
pub use queue::QueueJanitor;
pub use samples::SampleRetention;

/// Rows per delete.
const ROWS: u32 = 10_000;
