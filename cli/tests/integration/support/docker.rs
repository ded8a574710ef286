//! What the engine itself says, by its own command line.

use std::process::Command;

/// Names of an installation's containers, running or not.
pub fn all(instance: &str) -> Vec<String> {
    list(instance, &["-a"])
}

/// Names of an installation's running containers.
pub fn running(instance: &str) -> Vec<String> {
    list(instance, &[])
}

fn list(instance: &str, args: &[&str]) -> Vec<String> {
    let filter = format!("label=cyberbrain.instance={instance}");
    let output = Command::new("docker")
        .arg("ps")
        .args(args)
        .args(["--filter", &filter, "--format", "{{.Names}}"])
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are text").lines().map(str::to_owned).collect()
}
