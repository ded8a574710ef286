//! Virtual environments for tests that speak with us through Python packages.
//!
//! An environment is made once per list of packages and kept; every package is checked against the hash in that list.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// The oldest that the packages in use are made for.
const OLDEST: &str = "import sys, venv, ensurepip; assert sys.version_info >= (3, 11), sys.version";
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// For making an environment, downloads included.
const MAKE_LIMIT: Duration = Duration::from_secs(240);

/// Why no environment can be made on this machine; looked for once per process.
pub(crate) fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        run(Command::new("python3").args(["-c", OLDEST]), LOOK_LIMIT)
            .err()
            .map(|error| format!("Python 3.11 with venv is needed (apt-get install python3-venv): {error}"))
    };
    MISSING.get_or_init(look).as_deref()
}

/// The interpreter of an environment with these packages, below `cache`.
///
/// # Errors
/// With the whole reason: it can't be made, or the packages can't be had.
pub fn environment(requirements: &Path, cache: &Path) -> Result<PathBuf, String> {
    let wanted = fs::read(requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let mut hasher = DefaultHasher::new();
    wanted.hash(&mut hasher);
    let home = cache.join(format!("python-{:016x}", hasher.finish()));
    let python = home.join("bin/python");
    let complete = home.join("complete");
    if complete.exists() {
        return Ok(python);
    }
    // What a run that was cut short left behind.
    match fs::remove_dir_all(&home) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(format!("{}: {error}", home.display()));
        }
        _ => {}
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&home), MAKE_LIMIT)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
    run(Command::new(&python).args(pip).arg(requirements), MAKE_LIMIT)?;
    fs::write(&complete, []).map_err(|error| format!("{}: {error}", complete.display()))?;
    Ok(python)
}

/// Runs it to its end, or kills it.
fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    let name = format!("{command:?}");
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    let until = Instant::now() + limit;
    while child.try_wait().map_err(|error| format!("{name}: {error}"))?.is_none() {
        if Instant::now() >= until {
            // It may have ended this very moment.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{name}: not done in {limit:?}"));
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    let output = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_can_not_be_had_are_told() {
        if missing().is_some() {
            return;
        }
        let cache = std::env::temp_dir().join(format!("cyberbrain-python-{}", std::process::id()));
        fs::create_dir_all(&cache).unwrap();
        let list = cache.join("list.txt");
        fs::write(&list, "-r absent.txt\n").unwrap();
        let told = environment(&list, &cache).unwrap_err();
        assert!(told.contains("absent.txt"), "{told}");
        assert!(
            !environment(&list, &cache).is_ok_and(|python| python.exists()),
            "it is not taken for complete"
        );
        fs::remove_dir_all(&cache).unwrap();
    }
}
