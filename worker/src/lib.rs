//! What runs inside the built-in worker container: `cyberbrain worker <job>`.
//!
//! A job reads what its launcher staged ([`cyberbrain_core::staging`]), leaves an outcome
//! ([`cyberbrain_core::outcome`]) and prints its progress. It knows no database and no engine, and
//! it reads no clock for what it reports: the same input gives the same output, byte for byte. The one exception is what a
//! language model says of findings, where `log_triage` is given one (`log_triage::causes`): it is kept apart in the result.
//!
//! On SIGTERM a job ends at once with 143 (128 + 15) and leaves no `result.json`. The jobs that compute leave that to
//! the signal's default effect, which the kernel withholds from process 1 of a container: run them under the
//! engine's init (`Init: true`), as launchers do. The jobs that only wait handle the signal themselves.

mod arguments;
mod error;
mod files;
mod gpu_report;
mod log_triage;
mod markdown;
mod model;
mod progress;
mod redact;
mod sample_log;
mod self_test;
mod service_map;
mod wait;

pub use arguments::{Args, Directories, Job, execute, run};
pub use error::Error;
pub use log_triage::LogGrouping;
pub use sample_log::{
    PLANTED_FAULTS, PLANTED_SECRETS, PlantedFault, SampleKind, SampleLine, SampleLog, SampleLogArgs,
};
pub use self_test::{Check, SelfTestArgs};
