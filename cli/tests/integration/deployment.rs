//! What is shipped beside the executable speaks of what exists: the dashboard's metrics, the compose file's commands.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every `cyberbrain_…` name in a text, without the suffixes that histograms add.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("cyberbrain_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_exist() {
    let dashboard = read("grafana/dashboards/cyberbrain.json");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("the dashboard is JSON");
    // Names are constants in the one file that also describes them.
    let known = metric_names(&read("common/src/metric.rs"));
    assert!(known.len() > 20, "only {known:?}");
    let unknown: Vec<String> = metric_names(&dashboard).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "the dashboard asks for {unknown:?}");
}

#[test]
fn no_two_panels_of_the_dashboard_share_an_id_or_a_place() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("grafana/dashboards/cyberbrain.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "{} covers another", panel["title"]);
        }
    }
}

#[test]
fn the_compose_file_starts_commands_that_exist() {
    let compose = read("docker-compose.yml");
    let mut commands = 0;
    for line in compose.lines().filter_map(|line| line.trim().strip_prefix("command: [\"")) {
        let name = line.split('"').next().expect("a quoted word");
        let help =
            Command::new(env!("CARGO_BIN_EXE_cyberbrain")).args([name, "--help"]).output().expect("it runs");
        assert!(help.status.success(), "`cyberbrain {name}` is not a command");
        commands += 1;
    }
    assert_eq!(commands, 5, "migrate, api, scheduler, launcher, guard");
}
