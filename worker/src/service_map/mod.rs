//! x
use crate::{arguments::Directories, error::Error, progress::Progress};
pub fn run(_directories: &Directories, _progress: &mut Progress<'_>) -> Result<(), Error> {
    Ok(())
}
