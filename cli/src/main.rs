//! `cyberbrain`: every role and tool in one executable, so that there is one artefact to ship and the same file
//! is the worker image.

mod client;
mod command;
mod exit;
mod notice;
mod probe;
mod role;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Cli::parse().run()
}
