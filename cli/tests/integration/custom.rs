//! A custom job from REST to its artifact: what it was given by name is what its container sees, and a secret is nowhere
//! else.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use cyberbrain_core::spec::ImageRef;
use cyberbrain_launcher::{
    image::{self, Recipe},
    runtime::{DockerOptions, DockerRuntime, GpuInjection},
};
use cyberbrain_testkit::{Need, require};
use hyper::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Installation, binary, docker, kept};

const LIMIT: Duration = Duration::from_secs(120);
const SECRET: &str = "planted-hunter2-e51d";
const PROGRAMS: [&str; 4] = ["/bin/bash", "/bin/cat", "/bin/df", "/bin/touch"];
/// Writes down what it sees; of the secret only its length.
const LOOK: &str = r#"
exec > /logs/proof.txt 2>&1
s=$(cat "$TOKEN_FILE"); echo "secret: ${#s} characters at $TOKEN_FILE"
echo "env: $GREETING"
echo "directive: $(cat /input/directive.md)"
echo "cache: $(cat /models/weights)"
echo "upload: $(cat /uploads/*)"
echo "job: $(cat /input/job.json)"
echo "shm: $(df -m --output=size /dev/shm | while read -r line; do last=$line; echo "$last"; done)"
for path in /run/secrets/token /models/new /input/new /uploads/new /new; do
    touch "$path" && echo "writable: $path"
done
printf '{"kind":"custom","values":{"seen":1}}' > /logs/result.json
"#;

async fn up(dir: &Path) -> Installation {
    let (secrets, models) = (dir.join("secrets"), dir.join("models"));
    for (directory, name, text) in [(&secrets, "token", SECRET), (&models, "weights", "w8")] {
        std::fs::create_dir(directory).unwrap();
        // Open to everybody, so that only the mount keeps a worker from writing.
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
        std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(0o444)).unwrap();
    }
    let mut command = Command::new(binary());
    command
        .args(["up", "--json", "--data-dir"])
        .arg(dir.join("data"))
        .env("CYBERBRAIN_SECRETS_DIR", &secrets)
        .env("CYBERBRAIN_MODEL_CACHES", format!("llama={}", models.display()));
    Installation::start(command).await
}

#[tokio::test]
async fn a_custom_job_sees_what_it_was_given_and_its_secret_is_nowhere_else() {
    if !require(Need::Postgres) || !require(Need::Docker) {
        return;
    }
    let options = DockerOptions { host: None, gpu_injection: GpuInjection::DeviceRequests };
    let engine = DockerRuntime::connect(&options).await.unwrap();
    let name = format!("cyberbrain-test-custom-{}", std::process::id());
    let recipe = Recipe::programs(ImageRef { name: name.clone(), tag: "1".into() }, &PROGRAMS);
    let pin = engine.load_image(&Arc::new(image::build(&recipe).unwrap())).await.unwrap();

    let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let up = up(dir.path()).await;
    let image = format!("{name}:1");
    up.api.post("/allowlist/images", &json!({"image": image, "pin": pin.as_str()})).await;
    let spec = json!({
        "image": image, "command": ["/bin/bash", "-c", LOOK], "network": "none", "env": {"GREETING": "hello"},
        "resources": {"shm_mib": 48}, "pull": "never",
        "secrets": [{"name": "token", "path_variable": "TOKEN_FILE"}],
        "caches": [{"name": "llama", "target": "/models"}],
        "output": {"seen": {"kind": "integer", "least": 0, "most": 9}},
    });
    up.api.post("/jobs", &json!({"job": "look", "name": "Look", "spec": spec})).await;
    let (status, upload) =
        up.api.call(Method::POST, "/api/v1/uploads?name=in.txt", Some(&json!("what was uploaded"))).await;
    assert!(status.is_success(), "{status} {upload}");
    let launch = json!({
        "directive": "D4", "custom_directive_text": "Look around.",
        "run_jobs": [{"job": "look", "params": {"depth": 3}, "inputs": [upload["id"]]}],
    });
    let launched = up.api.post("/runs", &launch).await;
    let id = launched["id"].as_str().unwrap();
    let run = up.api.finished(id, LIMIT).await;
    assert_eq!(run["status"], "success", "{run:#}");

    let artifacts = up.api.get(&format!("/runs/{id}/artifacts")).await;
    let report: Value =
        serde_json::from_str(&up.api.read(&format!("/runs/{id}/report"), "application/json").await).unwrap();
    let listed = report["jobs"][0]["artifacts"].as_array().unwrap();
    let proof = listed.iter().find(|artifact| artifact["name"] == "proof.txt").unwrap();
    let path = proof["content"].as_str().unwrap().strip_prefix("/api/v1").unwrap();
    let proof = up.api.read(path, "*/*").await;
    let secret = format!("secret: {} characters at /run/secrets/token\n", SECRET.len());
    for expected in [
        secret.as_str(),
        "env: hello\n",
        "directive: Look around.",
        "cache: w8\n",
        "upload: \"what was uploaded\"\n",
        "\"depth\":3",
        "shm: 1M-blocks\n48\n",
        "Read-only file system",
    ] {
        assert!(proof.contains(expected), "no {expected:?} in\n{proof}");
    }
    assert!(!proof.contains("writable: "), "{proof}");

    let job = run["run_jobs"][0]["id"].as_str().unwrap();
    let mut answers = vec![artifacts.to_string(), report.to_string(), run.to_string(), proof];
    for path in [
        format!("/audit?run={id}"),
        format!("/run-jobs/{job}"),
        format!("/run-jobs/{job}/logs"),
        format!("/run-jobs/{job}/explain"),
        "/jobs/look".to_owned(),
    ] {
        answers.push(up.api.read(&path, "*/*").await);
    }
    kept::in_no_answer(&answers, &[SECRET]);
    kept::in_no_metric(&up, &[SECRET]).await;
    kept::in_no_table(&up, &[SECRET]).await;
    let seen = kept::in_no_file(&dir.path().join("data"), &[SECRET]);
    assert!(seen > 5, "logs and artifacts are there: {seen} files");
    up.interrupt().await;
    docker::remove_image(pin.as_str());
}
