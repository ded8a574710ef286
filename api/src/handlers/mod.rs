//! The handlers, one group per file: read the request, call a service, show what it says.

pub(crate) mod allowed_containers;
pub(crate) mod artifacts;
pub(crate) mod containers;
pub(crate) mod directives;
pub(crate) mod docs;
pub(crate) mod download;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod launch;
pub(crate) mod logs;
pub(crate) mod machines;
pub(crate) mod queue;
pub(crate) mod records;
pub(crate) mod repeats;
pub(crate) mod report;
pub(crate) mod run_jobs;
pub(crate) mod runs;
pub(crate) mod uploads;
pub(crate) mod versioned;
pub(crate) mod worker_images;
pub(crate) mod workers;
