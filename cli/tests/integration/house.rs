//! The rules of the house: which crate may know which, and how long a file may be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// The crates of this workspace that each crate may depend on, outside its tests.
const MAY_DEPEND_ON: [(&str, &[&str]); 7] = [
    ("cyberbrain-core", &[]),
    ("cyberbrain-common", &["cyberbrain-core"]),
    ("cyberbrain-worker", &["cyberbrain-core"]),
    ("cyberbrain-api", &["cyberbrain-core", "cyberbrain-common"]),
    ("cyberbrain-scheduler", &["cyberbrain-core", "cyberbrain-common"]),
    ("cyberbrain-launcher", &["cyberbrain-core", "cyberbrain-common"]),
    (
        "cyberbrain",
        &[
            "cyberbrain-core",
            "cyberbrain-common",
            "cyberbrain-api",
            "cyberbrain-scheduler",
            "cyberbrain-launcher",
            "cyberbrain-worker",
        ],
    ),
];

/// All that the decisions may know: nothing with a socket, a file or a clock of its own. The last one describes types,
/// and only where the feature `schema` asks for it.
const CORE_MAY_USE: [&str; 4] = ["chrono", "serde", "uuid", "utoipa"];

/// Longest source file, in lines.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Normal dependencies by crate, as cargo sees them.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("name").to_owned());
            (package["name"].as_str().expect("name").to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn crates_know_only_what_lies_below_them() {
    let dependencies = dependencies();
    for (name, allowed) in MAY_DEPEND_ON {
        let found = dependencies.get(name).unwrap_or_else(|| panic!("{name} is in the workspace"));
        let ours: BTreeSet<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|dependency| dependency.starts_with("cyberbrain"))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let forbidden: Vec<&&str> = ours.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

#[test]
fn the_core_depends_on_nothing_with_io() {
    let core = &dependencies()["cyberbrain-core"];
    let core: BTreeSet<&str> = core.iter().map(String::as_str).collect();
    assert_eq!(core, BTreeSet::from(CORE_MAY_USE));
}

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let long: Vec<String> = listed
        .lines()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(root().join(path)).ok()?.lines().count();
            (lines > MAX_LINES).then(|| format!("{path}: {lines}"))
        })
        .collect();
    assert!(!listed.is_empty() && long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}
