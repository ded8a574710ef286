//! Makes a container image out of executables of this machine: the worker image is this very program.
//!
//! An image holds the executables, the shared libraries that their loader resolves, and a few small files.
//! Guarantees that its ID depends on this content only: entries are sorted, times are zero, owners are fixed,
//! and the configuration is written here, without a date. (An engine's own *import* gives a new ID each
//! time.) So the same program is the same image on every host, and is sent to an engine once.
//!
//! Deliberately absent: compression (the archive goes through a local socket), registries, base images.

mod archive;
mod error;
mod layer;
mod libraries;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use cyberbrain_core::spec::ImageRef;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::error::Error;
use self::layer::Layer;
use crate::runtime::{ImageId, User};

/// What goes into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Name and movable tag; the content tag is added.
    pub reference: ImageRef,
    pub executables: Vec<Executable>,
    /// What a container runs before its own arguments.
    pub entrypoint: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// An executable of this machine and its place in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    pub source: PathBuf,
    /// Absolute path in the image.
    pub target: PathBuf,
}

impl Recipe {
    /// The worker image: `/cyberbrain worker`.
    #[must_use]
    pub fn builtin(executable: &Path) -> Self {
        Self {
            reference: ImageRef::builtin(),
            executables: vec![Executable { source: executable.to_owned(), target: "/cyberbrain".into() }],
            entrypoint: vec!["/cyberbrain".to_owned(), "worker".to_owned()],
            labels: BTreeMap::new(),
        }
    }

    /// Programs of this machine at their own paths and no entry point: a container's command says which one
    /// runs. For tests, where no registry is at hand.
    #[must_use]
    pub fn programs(reference: ImageRef, programs: &[&str]) -> Self {
        let executables =
            programs.iter().map(|path| Executable { source: path.into(), target: path.into() }).collect();
        Self { reference, executables, entrypoint: Vec::new(), labels: BTreeMap::new() }
    }
}

/// This process's executable, by a path that other processes can open too, also after its file was replaced.
#[must_use]
pub fn running_executable() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// A built image: everything about it is known, and nothing was copied yet.
#[derive(Debug)]
pub struct Image {
    reference: ImageRef,
    id: ImageId,
    content_tag: String,
    config: Vec<u8>,
    layer: Layer,
}

impl Image {
    /// The ID that an engine with a classic image store gives it. Newer stores name it by another digest of
    /// the same content, so what an engine says after loading is what counts.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// Name without tag.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.reference.name
    }

    /// The movable tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.reference.tag
    }

    /// `name:tag` that stands for exactly this content.
    #[must_use]
    pub fn content_tag(&self) -> String {
        format!("{}:{}", self.reference.name, self.content_tag)
    }

    /// Writes the archive that an engine loads. Blocks; reads the executables again.
    ///
    /// # Errors
    /// A file can't be read, or has changed since [`build`].
    pub fn write_archive(&self, to: &mut dyn Write) -> Result<(), Error> {
        archive::write(self, to)
    }
}

/// Resolves the libraries, reads everything once and computes the ID. Blocks.
///
/// # Errors
/// An executable can't be read, or its libraries not be found.
pub fn build(recipe: &Recipe) -> Result<Image, Error> {
    let layer = Layer::of(recipe)?;
    let config = configuration(recipe, &layer)?;
    let digest = format!("{:x}", Sha256::digest(&config));
    Ok(Image {
        reference: recipe.reference.clone(),
        content_tag: digest[..16].to_owned(),
        id: ImageId::of_digest(&digest),
        config,
        layer,
    })
}

/// The image configuration, with its fields in this order.
#[derive(Serialize)]
struct Configuration<'a> {
    architecture: &'a str,
    os: &'a str,
    created: &'a str,
    config: Run<'a>,
    rootfs: RootFs,
    history: [History<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    user: String,
    env: Vec<String>,
    entrypoint: &'a [String],
    working_dir: &'a str,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RootFs {
    r#type: &'static str,
    diff_ids: [String; 1],
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

/// The only date there is.
const EPOCH: &str = "1970-01-01T00:00:00Z";

fn configuration(recipe: &Recipe, layer: &Layer) -> Result<Vec<u8>, Error> {
    let mut env = vec!["PATH=/usr/bin:/bin".to_owned()];
    env.extend(layer.library_path().map(|path| format!("LD_LIBRARY_PATH={path}")));
    let configuration = Configuration {
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        os: std::env::consts::OS,
        created: EPOCH,
        config: Run {
            user: User::NONROOT.to_string(),
            env,
            entrypoint: &recipe.entrypoint,
            working_dir: "/",
            labels: &recipe.labels,
        },
        rootfs: RootFs { r#type: "layers", diff_ids: [format!("sha256:{}", layer.digest())] },
        history: [History { created: EPOCH, created_by: "cyberbrain" }],
    };
    serde_json::to_vec(&configuration).map_err(Error::Configuration)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
