//! Measurements by subcommand; each says what it measures in its own file.

mod gateway;
mod lists;
mod triage;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((name, rest)) if name == "gateway" => gateway::run(rest),
        Some((name, rest)) if name == "lists" => lists::run(rest),
        Some((name, rest)) if name == "triage" => triage::run(rest),
        Some(_) | None => anyhow::bail!("usage: cyberbrain-bench gateway|lists|triage"),
    }
}
