use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

const CAPS: Caps = Caps { files: 10, bytes: 10_000_000 };
const CUSTOM: &str = r#"{"kind":"custom","values":{"answer":42}}"#;

fn attempt() -> (tempfile::TempDir, AttemptDir) {
    let root = tempfile::tempdir().unwrap();
    let dir = AttemptDir::at(root.path(), "runs/a");
    fs::create_dir_all(dir.output()).unwrap();
    (root, dir)
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

#[test]
fn takes_the_result_and_lists_the_files() {
    let (_root, dir) = attempt();
    fs::write(dir.output().join("result.json"), CUSTOM).unwrap();
    fs::write(dir.output().join("report.md"), "# Report").unwrap();
    fs::create_dir(dir.output().join("data")).unwrap();
    fs::write(dir.output().join("data/table.csv"), "a,b\n").unwrap();
    fs::write(dir.root().join("container-f1.log"), "x\n").unwrap();
    let collected = collect(&dir, "custom_job", CAPS).unwrap();
    assert!(matches!(collected.result, Ok(JobResult::Custom(_))), "{:?}", collected.result);
    let listed: Vec<_> =
        collected.files.iter().map(|file| (file.path.as_str(), file.kind, file.size_bytes)).collect();
    assert_eq!(
        listed,
        [
            ("runs/a/out/data/table.csv", ArtifactType::Data, 4),
            ("runs/a/out/report.md", ArtifactType::Report, 8),
            ("runs/a/out/result.json", ArtifactType::Data, CUSTOM.len() as u64),
            ("runs/a/container-f1.log", ArtifactType::Log, 2),
        ]
    );
    let sum = Sha256::digest(b"# Report");
    assert_eq!(collected.files[1].sha256[..], sum[..]);
    assert_eq!(collected.left_out, 0);
}

#[test]
fn a_result_that_is_no_plain_file_is_refused_without_waiting() {
    type Make = fn(&Path);
    let table: [(&str, Make); 5] = [
        ("link to a secret", |path| symlink("/etc/passwd", path).unwrap()),
        ("link within", |path| symlink("report.md", path).unwrap()),
        ("fifo", fifo),
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for (what, make) in table {
        let (_root, dir) = attempt();
        fs::write(dir.output().join("report.md"), CUSTOM).unwrap();
        make(&dir.output().join("result.json"));
        let collected = collect(&dir, "custom_job", CAPS).unwrap();
        assert_eq!(collected.result, Err(ResultProblem::NotAFile), "{what}");
        assert!(collected.files.iter().all(|file| !file.path.ends_with("result.json")), "{what}");
    }
}

#[test]
fn a_result_of_another_form_is_refused() {
    let big = format!(r#"{{"kind":"custom","values":{{}},"x":"{}"}}"#, "y".repeat(300_000));
    for (text, key, problem) in [
        ("", "job", ResultProblem::Form { line: 1, column: 0 }),
        (r#"{"kind":"custom","values":{},"note":1}"#, "job", ResultProblem::Form { line: 1, column: 38 }),
        (&big, "job", ResultProblem::TooLarge { bytes: big.len() as u64 }),
        (CUSTOM, "log_triage", ResultProblem::WrongKind),
    ] {
        let (_root, dir) = attempt();
        fs::write(dir.output().join("result.json"), text).unwrap();
        let found = collect(&dir, key, CAPS).unwrap().result.unwrap_err();
        match (&found, &problem) {
            (ResultProblem::Form { .. }, ResultProblem::Form { .. }) => {}
            _ => assert_eq!(found, problem),
        }
    }
    let (_root, dir) = attempt();
    let prose = r#"{"kind":"custom","values":{"answer":"the model said so"}}"#;
    fs::write(dir.output().join("result.json"), prose).unwrap();
    assert!(matches!(collect(&dir, "job", CAPS).unwrap().result, Err(ResultProblem::Refused(_))));
    let (_root, dir) = attempt();
    assert_eq!(collect(&dir, "job", CAPS).unwrap().result, Err(ResultProblem::Missing));
}

#[test]
fn links_and_what_is_too_much_are_left_out() {
    let (root, dir) = attempt();
    fs::write(root.path().join("secret"), "secret").unwrap();
    symlink(root.path().join("secret"), dir.output().join("leak.txt")).unwrap();
    symlink(root.path(), dir.output().join("up")).unwrap();
    fifo(&dir.output().join("pipe"));
    fs::write(dir.output().join("bad\nname"), "x").unwrap();
    fs::write(dir.output().join("large.bin"), vec![0; 2_000]).unwrap();
    fs::write(dir.output().join("small.bin"), "x").unwrap();
    let collected = collect(&dir, "job", Caps { files: 10, bytes: 1_000 }).unwrap();
    let paths: Vec<_> = collected.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["runs/a/out/small.bin"]);
    assert_eq!(collected.left_out, 5);

    for n in 0..20 {
        fs::write(dir.output().join(format!("n{n:02}")), "x").unwrap();
    }
    let collected = collect(&dir, "job", Caps { files: 3, bytes: 1_000 }).unwrap();
    assert_eq!(collected.files.len(), 3);
}

#[test]
fn a_report_that_is_too_large_is_cut_at_a_character() {
    let (_root, dir) = attempt();
    let limit = usize::try_from(MAX_REPORT_BYTES).unwrap();
    let text = format!("{}{}", "x".repeat(limit - 1), "ü".repeat(100));
    fs::write(dir.output().join("report.md"), text).unwrap();
    let collected = collect(&dir, "job", CAPS).unwrap();
    assert_eq!(collected.files[0].size_bytes, MAX_REPORT_BYTES - 1);
    let kept = fs::read(dir.output().join("report.md")).unwrap();
    assert_eq!(collected.files[0].sha256[..], Sha256::digest(&kept)[..]);
}

#[test]
fn a_result_that_is_not_what_its_job_declared_is_refused() {
    let schema = |text: &str| serde_json::from_str::<OutputSchema>(text).unwrap();
    let result = || serde_json::from_str::<JobResult>(CUSTOM).unwrap();
    let fits = schema(r#"{"answer":{"kind":"integer","most":42},"more":{"kind":"bool"}}"#);
    assert_eq!(as_declared(result(), Some(&fits)), Ok(result()));
    assert_eq!(as_declared(result(), None), Ok(result()));
    for other in [r#"{"answer":{"kind":"integer","most":41}}"#, r#"{"other":{"kind":"bool"}}"#] {
        let refused = as_declared(result(), Some(&schema(other)));
        assert!(matches!(refused, Err(ResultProblem::Refused(_))), "{other}: {refused:?}");
    }
}
