use std::{fs, io::Read};

use super::*;

fn shell(directory: &Path) -> Recipe {
    let copy = directory.join("program");
    fs::copy("/bin/sleep", &copy).unwrap();
    Recipe {
        reference: ImageRef { name: "cyberbrain-test".into(), tag: "x".into() },
        executables: vec![Executable { source: copy, target: "/bin/program".into() }],
        entrypoint: vec!["/bin/program".into()],
        labels: BTreeMap::new(),
    }
}

fn archive(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_archive(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_same_content_is_the_same_image() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = build(&shell(one.path())).unwrap();
    // Another path, another time: the file is younger by construction.
    let second = build(&shell(two.path())).unwrap();
    assert_eq!(first.id(), second.id());
    assert_eq!(archive(&first), archive(&second));
}

#[test]
fn one_changed_byte_is_another_image() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = shell(directory.path());
    let before = build(&recipe).unwrap();
    let program = directory.path().join("program");
    let mut bytes = fs::read(&program).unwrap();
    // The last byte belongs to the section table, which the loader does not read.
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&program, bytes).unwrap();
    assert_ne!(before.id(), build(&recipe).unwrap().id());
    let entrypoint = Recipe { entrypoint: vec!["/bin/program".into(), "1".into()], ..recipe.clone() };
    assert_ne!(build(&recipe).unwrap().id(), build(&entrypoint).unwrap().id());
}

#[test]
fn a_file_that_changes_its_size_meanwhile_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = shell(directory.path());
    let image = build(&recipe).unwrap();
    fs::write(directory.path().join("program"), b"short").unwrap();
    assert!(matches!(image.write_archive(&mut std::io::sink()), Err(Error::Changed { .. })));
}

#[test]
fn the_archive_is_complete_and_has_no_dates() {
    let directory = tempfile::tempdir().unwrap();
    let image = build(&shell(directory.path())).unwrap();
    let bytes = archive(&image);
    let mut outer = tar::Archive::new(bytes.as_slice());
    let mut names = Vec::new();
    let mut layer = Vec::new();
    for entry in outer.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        if name.ends_with("layer.tar") {
            entry.read_to_end(&mut layer).unwrap();
        }
        if name.ends_with(".json") && name != "manifest.json" {
            let mut config = Vec::new();
            entry.read_to_end(&mut config).unwrap();
            let digest = format!("{:x}", Sha256::digest(&config));
            assert_eq!(
                image.id().as_str(),
                format!("sha256:{digest}"),
                "the ID is the configuration's digest"
            );
            assert_eq!(name, format!("{digest}.json"));
        }
        names.push(name);
    }
    assert_eq!(names.len(), 3, "{names:?}");
    let mut inner = tar::Archive::new(layer.as_slice());
    let mut paths = Vec::new();
    for entry in inner.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        paths.push(entry.path().unwrap().into_owned());
    }
    assert!(paths.is_sorted(), "{paths:?}");
    for needed in ["bin/program", "etc/passwd", "tmp", "logs", "input", "uploads"] {
        assert!(paths.contains(&PathBuf::from(needed)), "{needed} is missing in {paths:?}");
    }
}

#[test]
fn targets_outside_of_the_image_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = shell(directory.path());
    for target in ["program", "/a/../../etc/passwd", "/"] {
        recipe.executables[0].target = target.into();
        assert!(matches!(build(&recipe), Err(Error::Target { .. })), "{target}");
    }
    recipe.executables[0].target = "/etc/passwd".into();
    assert!(matches!(build(&recipe), Err(Error::Conflict { .. })));
}
