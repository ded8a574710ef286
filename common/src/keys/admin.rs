//! The first key: made once per installation, kept in the data directory for the command line on this machine.
//!
//! Guarantees that an installation whose last admin key was revoked gets none back by a restart. The way back in is
//! then `cyberbrain key create --local`, by somebody who has the database.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use cyberbrain_core::audit::Actor;

use super::{Denied, KeyText, NewKey, Scope, authenticate, create};
use crate::db::{self, Pool, api_keys};

/// Holds the admin key; in the data directory, readable by its owner only.
pub const ADMIN_KEY_FILE: &str = "admin.key";

/// Where the admin key is.
#[derive(Debug, Clone)]
pub enum AdminKey {
    /// This is the installation's first start: the key was made and written to `path`. Show it once.
    Made { key: KeyText, path: PathBuf },
    /// `path` holds a key that works.
    Found { path: PathBuf },
    /// There are admin keys, but none that works is in `path`. Nothing was changed.
    NotHere { path: PathBuf, why: NotHere },
}

/// Why the file does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHere {
    Missing,
    /// Its key is malformed, unknown, expired, revoked or no admin's.
    Useless,
}

impl NotHere {
    /// What to do, as a whole sentence.
    #[must_use]
    pub fn advice(self, path: &Path) -> String {
        let what = match self {
            Self::Missing => "there is no admin key at",
            Self::Useless => "the key does not work (any more) at",
        };
        format!("{what} {}; cyberbrain key create --local makes a new one", path.display())
    }
}

/// Why the admin key can't be made or looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} can't be {verb}; make it accessible to this user or choose another --data-dir")]
    File {
        path: PathBuf,
        verb: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the admin key can't be stored")]
    Database(#[from] db::Error),
}

/// Makes the first admin key, or looks for it. Safe to call from several processes at once.
///
/// # Errors
/// See [`Error`]. A key whose file could not be written is not made.
pub async fn ensure_admin(pool: &Pool, data_dir: &Path) -> Result<AdminKey, Error> {
    let path = data_dir.join(ADMIN_KEY_FILE);
    let mut tx = pool.begin().await.map_err(db::Error::from)?;
    if api_keys::lock_and_find_admin(&mut tx).await? {
        let held = read(&path)?;
        return Ok(match held {
            None => AdminKey::NotHere { path, why: NotHere::Missing },
            Some(text) => match authenticate(&mut tx, &text).await {
                Ok(principal) if principal.scope == Scope::Admin => AdminKey::Found { path },
                Err(Denied::Database(error)) => return Err(error.into()),
                Ok(_) | Err(Denied::Malformed(_) | Denied::Unknown | Denied::Expired | Denied::Revoked) => {
                    AdminKey::NotHere { path, why: NotHere::Useless }
                }
            },
        });
    }
    let wanted = NewKey {
        name: "admin".parse().expect("a plain word is a key's name"),
        scope: Scope::Admin,
        expires_at: None,
    };
    let key = create(&mut tx, &wanted, &Actor::System("api")).await?;
    // Before the commit: a key that nobody can read would lock everybody out.
    write(&path, &key)?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(AdminKey::Made { key, path })
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), verb: "read", source }),
    }
}

/// In one step, so that a reader sees a whole key or none.
fn write(path: &Path, key: &KeyText) -> Result<(), Error> {
    let partial = path.with_extension(format!("key.partial-{}", std::process::id()));
    let written = write_new(&partial, key).and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| {
        // It may not be there; the error that counts is the first one.
        let _ = fs::remove_file(&partial);
        Error::File { path: path.to_owned(), verb: "written", source }
    })
}

fn write_new(path: &Path, key: &KeyText) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.expose())?;
    file.sync_all()
}
