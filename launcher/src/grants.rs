//! What this host gives to jobs that name it: secrets from one directory, model caches from a list.
//!
//! Guarantees: only plain names are looked up, beneath the directory and through no link, and only a regular file that
//! the worker can read is mounted; a secret is never read here, so no value of one can get into a log, an audit row or
//! a container's configuration. What is not given is refused before anything is made. The directory and the caches are
//! the administrator's: nobody else may write there.

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use cyberbrain_core::{
    grant::{CacheRef, SecretRef, is_free_target, is_plain_name},
    lifecycle::FailureKind,
};

use crate::{
    args::{CacheArg, GrantArgs},
    beneath::{Beneath, Found},
    error::Error,
    registry_auth::RegistryAuth,
    runtime::{CacheMount, SecretMount, User},
};

/// What there is to be given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    secrets: Option<PathBuf>,
    caches: BTreeMap<String, PathBuf>,
    /// Who we are to registries.
    pub registries: RegistryAuth,
}

/// What one job is given, as paths of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    pub secrets: Vec<SecretMount>,
    pub caches: Vec<CacheMount>,
}

/// Why a job is not given what it names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the job names the secret {name}, and this host has no secrets; start its launchers with --secrets-dir"
    )]
    NoSecrets { name: String },
    #[error("{name:?} is no name of a secret or a model cache")]
    Name { name: String },
    #[error("there is no secret {name} on this host; put a file of that name into the secrets directory")]
    Missing { name: String },
    #[error("the secret {name} is no regular file of the secrets directory")]
    NoFile { name: String },
    #[error("the worker's user {user} can't read the secret {name}; change owner or mode of its file")]
    Unreadable { name: String, user: User },
    #[error("the secret {name} can't be looked up ({kind})")]
    Lookup { name: String, kind: io::ErrorKind },
    #[error(
        "there is no model cache {name} on this host; its launchers name theirs with --model-cache {name}=/path"
    )]
    NoCache { name: String },
    #[error("a model cache can't be mounted at {target:?}")]
    Target { target: String },
    #[error(
        "the job names the secret {name}, and workers of this host are processes, which nothing can be mounted for; run it where there is a container engine"
    )]
    SecretForProcess { name: String },
    #[error(
        "the job names the model cache {name}, and workers of this host are processes, which nothing can be mounted for; run it where there is a container engine"
    )]
    CacheForProcess { name: String },
}

impl Refusal {
    pub(crate) const fn failure(&self) -> FailureKind {
        match self {
            Self::NoSecrets { .. }
            | Self::Name { .. }
            | Self::Missing { .. }
            | Self::NoFile { .. }
            | Self::Unreadable { .. }
            | Self::Lookup { .. }
            | Self::SecretForProcess { .. } => FailureKind::SecretMissing,
            Self::NoCache { .. } | Self::Target { .. } | Self::CacheForProcess { .. } => {
                FailureKind::CacheNotAllowed
            }
        }
    }
}

impl Grants {
    /// Looks at the directories once, so that a wrong path is told at the start.
    pub(crate) fn new(args: &GrantArgs) -> Result<Self, Error> {
        let directory = |path: &PathBuf| {
            let found = std::fs::canonicalize(path).and_then(|found| Beneath::open(&found).map(|_| found));
            found.map_err(|source| Error::Grant { path: path.clone(), source })
        };
        let mut caches = BTreeMap::new();
        for CacheArg { name, path } in &args.model_caches {
            if caches.insert(name.clone(), directory(path)?).is_some() {
                return Err(Error::CacheTwice { name: name.clone() });
            }
        }
        let secrets = args.secrets_dir.as_ref().map(directory).transpose()?;
        Ok(Self { secrets, caches, registries: RegistryAuth::new(args.registry_auth_file.clone())? })
    }

    /// What a worker gets that is a process of ours: nothing, since it would see the host's own paths.
    pub(crate) fn give_a_process(secrets: &[SecretRef], caches: &[CacheRef]) -> Result<Granted, Refusal> {
        match (secrets.first(), caches.first()) {
            (Some(secret), _) => Err(Refusal::SecretForProcess { name: secret.name.clone() }),
            (None, Some(cache)) => Err(Refusal::CacheForProcess { name: cache.name.clone() }),
            (None, None) => Ok(Granted::default()),
        }
    }

    /// What a job gets that names these, for a worker of this user. Looks at the disk.
    pub(crate) fn give(
        &self,
        secrets: &[SecretRef],
        caches: &[CacheRef],
        user: User,
    ) -> Result<Granted, Refusal> {
        let secrets = secrets.iter().map(|secret| {
            let name = secret.name.clone();
            let Some(root) = &self.secrets else { return Err(Refusal::NoSecrets { name }) };
            look_for(root, &name, user)?;
            Ok(SecretMount { host: root.join(&name), target: secret.path().into() })
        });
        let caches = caches.iter().map(|cache| {
            if !is_free_target(&cache.target) {
                return Err(Refusal::Target { target: cache.target.clone() });
            }
            let host = self.caches.get(&cache.name);
            let host = host.ok_or_else(|| Refusal::NoCache { name: cache.name.clone() })?;
            Ok(CacheMount { host: host.clone(), target: PathBuf::from(&cache.target) })
        });
        Ok(Granted {
            secrets: secrets.collect::<Result<_, Refusal>>()?,
            caches: caches.collect::<Result<_, Refusal>>()?,
        })
    }
}

fn look_for(root: &Path, name: &str, user: User) -> Result<(), Refusal> {
    let name = name.to_owned();
    if !is_plain_name(&name) {
        return Err(Refusal::Name { name });
    }
    let plain = CString::new(name.as_str()).expect("a plain name has no NUL");
    let file = match Beneath::open(root).and_then(|directory| directory.find(&plain)) {
        Ok(Some(Found::File(file))) => file,
        Ok(Some(Found::Directory(_) | Found::Other)) => return Err(Refusal::NoFile { name }),
        Ok(None) => return Err(Refusal::Missing { name }),
        Err(error) => return Err(Refusal::Lookup { name, kind: error.kind() }),
    };
    let about =
        file.metadata().map_err(|error| Refusal::Lookup { name: name.clone(), kind: error.kind() })?;
    // As the kernel decides: the owner's bit for the owner, else the group's, else everybody's.
    let bit = if about.uid() == user.uid {
        0o400
    } else if about.gid() == user.gid {
        0o040
    } else {
        0o004
    };
    if about.mode() & bit == 0 { Err(Refusal::Unreadable { name, user }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::fs::symlink};

    use super::*;

    const USER: User = User { uid: 54_321, gid: 54_321 };

    fn secret(name: &str) -> [SecretRef; 1] {
        [SecretRef { name: name.into(), path_variable: None }]
    }

    #[test]
    fn only_readable_regular_files_of_the_directory_are_given() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let file = |name: &str, mode: u32| {
            fs::write(root.path().join(name), "s").unwrap();
            fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("good", 0o444);
        file("closed", 0o400);
        fs::create_dir(root.path().join("dir")).unwrap();
        symlink(outside.path(), root.path().join("link")).unwrap();
        let grants = Grants { secrets: Some(root.path().into()), ..Grants::default() };
        let given = grants.give(&secret("good"), &[], USER).unwrap();
        let mount = SecretMount { host: root.path().join("good"), target: "/run/secrets/good".into() };
        assert_eq!(given.secrets, [mount]);
        for (name, part) in [
            ("missing", "there is no secret missing"),
            ("closed", "user 54321:54321 can't read the secret closed"),
            ("dir", "no regular file"),
            ("link", "no regular file"),
            ("../good", "is no name"),
            ("dir/../good", "is no name"),
        ] {
            let refusal = grants.give(&secret(name), &[], USER).unwrap_err();
            assert!(refusal.to_string().contains(part), "{name}: {refusal}");
            assert_eq!(refusal.failure(), FailureKind::SecretMissing);
        }
        let none = Grants::default().give(&secret("good"), &[], USER).unwrap_err();
        assert!(none.to_string().contains("--secrets-dir"), "{none}");
    }

    #[test]
    fn only_named_caches_are_given() {
        let grants = Grants {
            caches: [("llama".to_owned(), PathBuf::from("/srv/llama"))].into(),
            ..Grants::default()
        };
        let cache = |name: &str, target: &str| [CacheRef { name: name.into(), target: target.into() }];
        let given = grants.give(&[], &cache("llama", "/models"), USER).unwrap();
        assert_eq!(given.caches, [CacheMount { host: "/srv/llama".into(), target: "/models".into() }]);
        for (name, target) in
            [("other", "/models"), ("/srv/llama", "/models"), ("llama", "/logs"), ("llama", "models")]
        {
            let refusal = grants.give(&[], &cache(name, target), USER).unwrap_err();
            assert_eq!(refusal.failure(), FailureKind::CacheNotAllowed, "{refusal}");
        }
    }
}
