//! The worker image allowlist: images added, changed, switched off and taken off.
//!
//! A launch looks at the list, and so does the launcher before it makes a container: what is switched off in between
//! does not start. Workers that run go on.

use cyberbrain_core::{
    audit::{Actor, Operation},
    spec::ImageRef,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use sqlx::Connection as _;
use utoipa::ToSchema;

use super::{
    Conflict, Error, Expected,
    check::{check_text, limit},
};
use crate::{
    db::{
        self, Conn,
        audit::{self, Entry},
        library::{self as stored, ImageKey, WorkerImage, WorkerImageContent},
    },
    ids::fresh,
    launch::{
        check::check_range,
        describe::{free_text, line, optional_free_text, optional_pin, pin},
        limit as launch_limit,
        object::object_only,
        problem::{Pointer, Problems},
    },
};

/// An image that workers may be made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NewWorkerImage {
    /// `name:tag`, as jobs name it.
    #[schema(schema_with = line::<{ limit::IMAGE_CHARACTERS }>)]
    pub image: String,
    /// What the engine must have under this name: an image ID (`sha256:…`) or a registry digest (`name@sha256:…`).
    #[schema(schema_with = pin)]
    pub pin: String,
    #[serde(default)]
    #[schema(schema_with = free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: String,
    /// Its run jobs ask for a GPU even if nobody else does.
    #[serde(default)]
    pub requires_gpu: bool,
    /// VRAM that it needs on each card.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_097_152)]
    pub min_vram_mib: Option<u32>,
}

/// A change of an image on the list. What is left out or null stays, but for `min_vram_mib`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct WorkerImageChange {
    /// Whether workers may be made of it.
    #[serde(default)]
    pub active: Option<bool>,
    /// As the image is now; the built-in one has none.
    #[serde(default)]
    #[schema(schema_with = optional_pin)]
    pub pin: Option<String>,
    #[serde(default)]
    #[schema(schema_with = optional_free_text::<{ limit::DESCRIPTION_CHARACTERS }>)]
    pub description: Option<String>,
    #[serde(default)]
    pub requires_gpu: Option<bool>,
    /// null means that it asks for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_097_152)]
    pub min_vram_mib: Option<Option<u32>>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(from).map(Some)
}

object_only!(NewWorkerImage, WorkerImageChange);

/// Adds an image.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn add(
    connection: &mut Conn,
    request: &NewWorkerImage,
    actor: &Actor,
) -> Result<WorkerImage, Error> {
    let mut problems = Problems::default();
    let root = Pointer::Root;
    let image = request.image.parse::<ImageRef>();
    if let Err(error) = &image {
        problems.add(&root.key("image"), error.to_string());
    }
    check_content(Some(&request.pin), Some(&request.description), request.min_vram_mib, &mut problems);
    let Ok(image) = image else { return Err(Error::Invalid(problems.into_list())) };
    problems.finish().map_err(Error::Invalid)?;
    let content = WorkerImageContent {
        description: request.description.clone(),
        pin: Some(request.pin.clone()),
        requires_gpu: request.requires_gpu,
        min_vram_mib: request.min_vram_mib,
        active: true,
    };
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let added = stored::insert_worker_image(&mut tx, fresh(), &image, &content).await?;
    let added = added.ok_or_else(|| Conflict::ImageListed { image: image.to_string() })?;
    note(&mut tx, &added, "added", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(added)
}

/// Changes an image on the list. A change that changes nothing makes no version.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn edit(
    connection: &mut Conn,
    key: &ImageKey,
    expected: &Expected,
    change: &WorkerImageChange,
    actor: &Actor,
) -> Result<WorkerImage, Error> {
    let mut problems = Problems::default();
    let min_vram_mib = change.min_vram_mib.flatten();
    check_content(change.pin.as_ref(), change.description.as_ref(), min_vram_mib, &mut problems);
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, key, expected).await?;
    if current.builtin && change.pin.is_some() {
        let root = Pointer::Root;
        problems.add(&root.key("pin"), "the built-in image has none: each launcher derives it; leave it out");
    }
    problems.finish().map_err(Error::Invalid)?;
    let was = content(&current);
    let is = WorkerImageContent {
        description: change.description.clone().unwrap_or_else(|| was.description.clone()),
        pin: change.pin.clone().or_else(|| was.pin.clone()),
        requires_gpu: change.requires_gpu.unwrap_or(was.requires_gpu),
        min_vram_mib: change.min_vram_mib.unwrap_or(was.min_vram_mib),
        active: change.active.unwrap_or(was.active),
    };
    if is == was {
        return Ok(current);
    }
    let edited = stored::update_worker_image(&mut tx, current.id, &is).await?;
    note(&mut tx, &edited, "edited", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(edited)
}

/// Takes an image off the list.
///
/// # Errors
/// See [`Error`]; nothing is stored then.
pub async fn remove(
    connection: &mut Conn,
    key: &ImageKey,
    expected: &Expected,
    actor: &Actor,
) -> Result<(), Error> {
    let mut tx = connection.begin().await.map_err(db::Error::from)?;
    let current = locked(&mut tx, key, expected).await?;
    if current.builtin {
        return Err(Conflict::ImageBuiltin.into());
    }
    stored::delete_worker_image(&mut tx, current.id).await?;
    note(&mut tx, &current, "removed", actor).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(())
}

async fn locked(tx: &mut Conn, key: &ImageKey, expected: &Expected) -> Result<WorkerImage, Error> {
    let name = || match key {
        ImageKey::Id(id) => id.to_string(),
        ImageKey::Image(image) => image.to_string(),
    };
    let current = stored::lock_worker_image(tx, key).await?;
    let current = current.ok_or_else(|| Error::Unknown { what: "allow-listed image", name: name() })?;
    expected.check(current.version)?;
    Ok(current)
}

fn content(image: &WorkerImage) -> WorkerImageContent {
    WorkerImageContent {
        description: image.description.clone(),
        pin: image.pin.clone(),
        requires_gpu: image.requires_gpu,
        min_vram_mib: image.min_vram_mib,
        active: image.active,
    }
}

fn check_content(
    pin: Option<&String>,
    description: Option<&String>,
    min_vram_mib: Option<u32>,
    problems: &mut Problems,
) {
    let root = Pointer::Root;
    if let Some(pin) = pin
        && !is_pin(pin)
    {
        problems.add(
            &root.key("pin"),
            "it is no pin: sha256: and 64 hexadecimal digits, alone (docker image inspect -f '{{.Id}}') or after name@",
        );
    }
    check_text(description, limit::DESCRIPTION_CHARACTERS, &root.key("description"), problems);
    if let Some(mib) = min_vram_mib {
        check_range(mib, &launch_limit::VRAM_MIB, &root.key("min_vram_mib"), problems);
    }
}

/// An image ID, or the digest of a repository: nothing whose meaning can change.
fn is_pin(text: &str) -> bool {
    let (repository, digest) =
        text.rsplit_once('@').map_or((None, text), |(repository, digest)| (Some(repository), digest));
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
        // A tag makes an image of it; what is before the tag is what is looked at.
        && repository.is_none_or(|repository| ImageRef::new(repository, "x").is_ok())
}

async fn note(
    tx: &mut Conn,
    image: &WorkerImage,
    change: &'static str,
    actor: &Actor,
) -> Result<(), db::Error> {
    let told = json!({
        "worker_image_allowlist": change, "version": image.version, "active": image.active, "pin": image.pin,
        "requires_gpu": image.requires_gpu, "min_vram_mib": image.min_vram_mib,
    });
    let entry = Entry::new(Operation::Change, actor).image(image.image.to_string()).config(told);
    audit::write(tx, entry).await
}
