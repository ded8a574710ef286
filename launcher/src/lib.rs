//! The host agent: what runs workers on one machine, and the guard that stops them when it must.

pub mod files;
pub mod gateway;
pub mod gpu;
pub mod guard;
pub mod image;
pub mod runtime;

mod accept;
mod agent;
mod args;
mod beneath;
mod chores;
mod connections;
mod contact;
mod drive;
mod enlist;
mod error;
mod grants;
mod imitate;
mod layout;
mod orders;
pub mod preflight;
mod progress;
mod reconcile;
mod record;
pub mod registry_auth;
mod report_files;
mod retention;
mod serve;
mod stage;
mod station;

pub use args::{
    Args, CacheArg, EngineArgs, FileArgs, GpuArgs, GrantArgs, KeepArgs, Label, LimitArgs, LlmArgs,
    RuntimeChoice,
};
pub use error::Error;
pub use serve::{OnExit, run, serve};
pub use station::{Station, stations};
