//! The API against a real PostgreSQL, mostly in-process.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod allowlists;
mod api_keys;
mod approval;
mod auth;
mod bulk;
mod cancel;
mod containers;
mod contract;
mod directives;
mod downloads;
mod events;
mod explain;
mod faces;
mod following;
mod harness;
mod health;
mod host_files;
mod idempotency;
mod job_templates;
mod kept_uploads;
mod keys;
mod launch;
mod limits;
mod listing;
mod logs;
mod machine_verbs;
mod machines;
mod mcp;
mod mcp_allowlist;
mod mcp_entries;
mod mcp_promises;
mod mcp_tasks;
mod noise;
mod pages;
mod records;
mod refusals;
mod repeats;
mod role;
mod runs;
mod since;
mod tls;
mod too_long;
mod uploads;
