//! A copy of the double for one test.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::script::Script;

/// The library's file name, as the linker makes it.
const FILE: &str = "libcyberbrain_nvml_double.so";

/// The library was not found.
#[derive(Debug)]
pub struct InstallError {
    looked_at: Vec<PathBuf>,
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{FILE} is in none of {:?}; make cyberbrain-nvml-double a dev-dependency of this crate, or build it",
            self.looked_at
        )
    }
}

impl std::error::Error for InstallError {}

/// A library of its own, with its script beside it. Removed when dropped.
#[derive(Debug)]
pub struct Double {
    directory: TempDir,
}

impl Double {
    /// Copies the library, so that its state is nobody else's, and writes its first script.
    ///
    /// # Errors
    /// The library was not built, or the copy can't be made.
    pub fn install(script: &Script) -> io::Result<Self> {
        let library = built_library().map_err(io::Error::other)?;
        let double = Self { directory: TempDir::new()? };
        fs::copy(library, double.library())?;
        double.play(script)?;
        Ok(double)
    }

    /// What to load.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    /// What to name in `FAKE_NVML` for a process that loads the library by another path.
    #[must_use]
    pub fn script(&self) -> PathBuf {
        crate::abi::script_beside(&self.library())
    }

    /// Changes what is played, at once and as a whole.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn play(&self, script: &Script) -> io::Result<()> {
        let new = self.directory.path().join("next");
        fs::write(&new, script.to_string())?;
        fs::rename(new, self.script())
    }
}

/// Cargo puts a dev-dependency's shared library beside the test binary, or one level above where it was
/// built by itself.
fn built_library() -> Result<PathBuf, InstallError> {
    let executable = env::current_exe().unwrap_or_default();
    let folders = executable.ancestors().skip(1).take(2);
    let looked_at: Vec<PathBuf> =
        folders.flat_map(|folder: &Path| [folder.join(FILE), folder.join("deps").join(FILE)]).collect();
    match looked_at.iter().find(|path| path.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(InstallError { looked_at }),
    }
}
