//! The uploads that a RunJob asked for: copies in a directory of its own, so that it sees no others.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use cyberbrain_common::db::supervision::{Assignment, Upload};

use super::Error;
use crate::layout::AttemptDir;

/// Copies them; whether there are any.
pub(super) async fn stage(root: &Path, job: &Assignment, dir: &AttemptDir) -> Result<bool, Error> {
    if job.inputs.is_empty() {
        return Ok(false);
    }
    let (root, target, uploads) = (root.to_owned(), dir.uploads(), job.inputs.clone());
    let copied = tokio::task::spawn_blocking(move || copy_all(&root, &target, &uploads));
    copied
        .await
        .unwrap_or_else(|error| Err(Error::Write { path: dir.uploads(), source: io::Error::other(error) }))?;
    Ok(true)
}

fn copy_all(root: &Path, target: &Path, uploads: &[Upload]) -> Result<(), Error> {
    let write = |source| Error::Write { path: target.to_owned(), source };
    fs::create_dir_all(target).map_err(write)?;
    fs::set_permissions(target, fs::Permissions::from_mode(0o755)).map_err(write)?;
    for upload in uploads {
        let missing = || Error::UploadMissing { name: upload.name.clone() };
        let source = below(root, &upload.path).ok_or_else(missing)?;
        let copy = target.join(file_name(upload));
        match fs::copy(&source, &copy) {
            Ok(_) => fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).map_err(write)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(write(error)),
        }
    }
    Ok(())
}

/// The name under which the worker finds it: the id keeps names apart, the rest is for people.
pub(super) fn file_name(upload: &Upload) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = upload.name.chars().map(|c| if plain(c) { c } else { '_' }).take(100).collect();
    format!("{}-{}", upload.id, name.trim_start_matches('.'))
}

/// A stored path below the root; `None` if it would lead out of it.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.as_os_str().is_empty()).then(|| root.join(path))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_are_plain_and_paths_stay_below() {
        let upload = Upload { id: Uuid::nil().into(), name: "../../etc/pass wd".into(), path: "a".into() };
        assert_eq!(file_name(&upload), format!("{}-_.._etc_pass_wd", Uuid::nil()));
        let root = Path::new("/up");
        assert_eq!(below(root, "2026/x.csv"), Some("/up/2026/x.csv".into()));
        for bad in ["", "/etc/passwd", "../x", "a/../../x"] {
            assert_eq!(below(root, bad), None, "{bad}");
        }
    }
}
