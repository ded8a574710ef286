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

/// Creates a container, not started, that carries an installation's labels as a worker would but that nobody placed.
/// Its id is returned.
pub fn stranger(instance: &str) -> String {
    let id = uuid::Uuid::now_v7();
    let labels = [
        format!("cyberbrain.instance={instance}"),
        format!("cyberbrain.run_id={id}"),
        format!("cyberbrain.run_job_id={id}"),
        format!("cyberbrain.attempt_id={id}"),
        "cyberbrain.attempt=1".to_owned(),
        "cyberbrain.task_key=nobody".to_owned(),
        "cyberbrain.ephemeral=true".to_owned(),
    ];
    let labels = labels.iter().flat_map(|label| ["--label", label.as_str()]);
    let output = Command::new("docker")
        .arg("create")
        .args(["--name", &format!("cb-{id}-f1")])
        .args(labels)
        .arg("cyberbrain-worker:builtin")
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("an id is text").trim().to_owned()
}

/// Removes one container by its id.
pub fn remove(id: &str) {
    let output = Command::new("docker").args(["rm", "--force", id]).output().expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Removes an image by its id, with all its tags.
pub fn remove_image(id: &str) {
    let output = Command::new("docker").args(["rmi", "--force", id]).output().expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
