use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Mutex};

use super::{Apt, is_family, parse_candidate};
use crate::postgres::{Error, Notice};

#[test]
fn tells_the_family_and_the_candidate() {
    assert!(is_family("NAME=x\nID=debian\n"));
    assert!(is_family("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    assert!(!is_family("ID=fedora\nID_LIKE=\"rhel\"\nPRETTY_NAME=\"not debian\"\n"));

    assert_eq!(parse_candidate("postgresql:\n  Installed: (none)\n  Candidate: 15+248\n"), Some(15));
    assert_eq!(parse_candidate("postgresql:\n  Installed: (none)\n  Candidate: (none)\n"), None);
    assert_eq!(parse_candidate(""), None);
}

/// Programs that note how they were called. `apt-cache` answers `candidate`; `apt-get` ends with `code` where
/// its arguments hold `install`.
fn double(directory: &Path, candidate: &str, code: u8) -> Apt {
    let write = |name: &str, body: String| {
        let path = directory.join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let calls = directory.join("calls").display().to_string();
    let settings = directory.join("createcluster.d");
    Apt {
        cache: write("apt-cache", format!("echo '  Candidate: {candidate}'\n")),
        get: write(
            "apt-get",
            format!(
                "echo \"$DEBIAN_FRONTEND $(cat {}/cyberbrain.conf | tail -1) $*\" >>{calls}\n\
                 case \"$*\" in *install*) echo no space left >&2; exit {code};; esac\n",
                settings.display()
            ),
        ),
        cluster_settings: settings,
    }
}

async fn install(candidate: &str, code: u8) -> (Result<(), Error>, Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let said = Mutex::new(Vec::new());
    let apt = double(directory.path(), candidate, code);
    let result = apt.install(&|notice: &Notice| said.lock().unwrap().push(notice.to_string())).await;
    let calls = fs::read_to_string(directory.path().join("calls")).unwrap_or_default();
    (result, calls.lines().map(str::to_owned).collect(), said.into_inner().unwrap())
}

#[tokio::test]
async fn says_so_then_installs_without_a_cluster() {
    let (result, calls, said) = install("15+248", 0).await;
    result.unwrap();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].starts_with("noninteractive create_main_cluster = false "), "{calls:?}");
    assert!(calls[0].ends_with("install -y --no-install-recommends postgresql"), "{calls:?}");
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("apt-get install -y postgresql"), "{said:?}");
}

#[tokio::test]
async fn a_failed_install_is_tried_again_with_fresh_lists_and_then_shown() {
    let (result, calls, _) = install("17+278", 100).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Install { output } if output == "no space left"), "{error:?}");
    assert!(calls[1].ends_with(" update"), "{calls:?}");
    assert_eq!(calls.len(), 3, "{calls:?}");
}

#[tokio::test]
async fn a_version_too_old_for_us_is_not_installed() {
    let (result, calls, said) = install("14+238", 0).await;
    result.unwrap();
    assert_eq!((calls.len(), said.len()), (0, 0));
}
