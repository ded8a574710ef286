//! What a job asks of its host besides a container: secrets, model caches, and where its image comes from.
//!
//! Names only. What is behind a name is the host's own configuration: a value of a secret has no type here, so that it
//! can't come into the database, an answer or a log.

use serde::{Deserialize, Serialize};

use crate::text_enum;

/// Where secrets are, inside the container: one file each, read-only.
pub const SECRETS_DIR: &str = "/run/secrets";
/// Longest name of a secret or a cache.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest path of a cache inside the container.
pub const MAX_TARGET_BYTES: usize = 255;

text_enum! {
    /// Whether the registry is asked for the image. Only an image that is pinned by a registry's digest can be pulled.
    #[derive(Default)]
    PullPolicy("pull policy") {
        /// If the host lacks it.
        #[default]
        Missing = "missing",
        /// Before each start: without an answer of the registry the job does not run. What the engine has of the
        /// digest it need not fetch again.
        Always = "always",
        /// Never: the host has it, or the job fails.
        Never = "never",
    }
}

impl PullPolicy {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A secret by its name: the name of a file in the secrets directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SecretRef {
    pub name: String,
    /// Environment variable that is told the path of the file; never its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_variable: Option<String>,
}

impl SecretRef {
    /// Where the worker reads it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{SECRETS_DIR}/{}", self.name)
    }
}

/// A model cache by the name that the host's administrator gave it, mounted read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CacheRef {
    pub name: String,
    /// Absolute path inside the container.
    pub target: String,
}

/// Whether it is a plain name: a letter or digit, then letters, digits and `. _ -`; no step in a path.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Whether a cache may be mounted there: an absolute path without `.`, `..` and empty steps, which hides nothing that
/// the worker or the engine puts into the container.
#[must_use]
pub fn is_free_target(target: &str) -> bool {
    const TAKEN: [&str; 12] =
        ["bin", "dev", "etc", "input", "lib", "lib64", "logs", "proc", "run", "sys", "tmp", "uploads"];
    let Some(path) = target.strip_prefix('/') else { return false };
    let plain = |step: &str| !matches!(step, "" | "." | "..") && !step.chars().any(char::is_control);
    let first = path.split('/').next().unwrap_or_default();
    target.len() <= MAX_TARGET_BYTES && path.split('/').all(plain) && !TAKEN.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for name in ["a", "hf-token", "db.password_2", "9", &"x".repeat(64)] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            "/etc/passwd",
            "a\0",
            "a b",
            "é",
            "-x",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_cache_hides_nothing() {
        for target in ["/models", "/models/llama", "/root/.cache/huggingface", "/opt/m"] {
            assert!(is_free_target(target), "{target}");
        }
        for target in [
            "",
            "/",
            "models",
            "/logs",
            "/logs/x",
            "/input",
            "/uploads/a",
            "/run/secrets",
            "/tmp/x",
            "/proc",
            "/sys/fs",
            "/dev/shm",
            "/etc/ssl",
            "/bin",
            "/a/../logs",
            "/a//b",
            "/a/",
            "/./logs",
            "/a\n",
        ] {
            assert!(!is_free_target(target), "{target:?}");
        }
    }
}
