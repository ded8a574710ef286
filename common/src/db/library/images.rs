//! The worker image allowlist: what workers may be made of.

use chrono::{DateTime, Utc};
use cyberbrain_core::spec::ImageRef;
use uuid::Uuid;

use crate::db::{Conn, Error, runs::After};

/// What the allowlist says of an image that a launch names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedImage {
    pub image: ImageRef,
    pub active: bool,
    pub requires_gpu: bool,
    /// VRAM that it needs on each card.
    pub min_vram_mib: Option<u32>,
}

impl AllowedImage {
    /// One that asks for nothing.
    #[must_use]
    pub fn undemanding(image: &ImageRef) -> Self {
        Self { image: image.clone(), active: true, requires_gpu: false, min_vram_mib: None }
    }
}

/// The allowlist rows of these images, active or not.
///
/// # Errors
/// When the database can't be read.
pub async fn allowed_images(connection: &mut Conn, images: &[ImageRef]) -> Result<Vec<AllowedImage>, Error> {
    let (names, tags): (Vec<String>, Vec<String>) =
        images.iter().map(|image| (image.name.clone(), image.tag.clone())).unzip();
    let rows = sqlx::query!(
        "select name, tag, active, requires_gpu, min_vram_mib from worker_image_allowlist
         where (name, tag) in (select * from unnest($1::text[], $2::text[]))",
        &names,
        &tags,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| AllowedImage {
        image: ImageRef { name: row.name, tag: row.tag },
        active: row.active,
        requires_gpu: row.requires_gpu,
        min_vram_mib: row.min_vram_mib.map(i32::unsigned_abs),
    });
    Ok(rows.collect())
}

/// A row of the worker image allowlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerImage {
    pub id: Uuid,
    pub image: ImageRef,
    pub description: String,
    /// What the engine must answer for this name; none for the built-in image, whose id each launcher derives.
    pub pin: Option<String>,
    pub builtin: bool,
    pub requires_gpu: bool,
    pub min_vram_mib: Option<u32>,
    pub active: bool,
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    name: String,
    tag: String,
    description: String,
    pin: Option<String>,
    builtin: bool,
    requires_gpu: bool,
    min_vram_mib: Option<i32>,
    active: bool,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for WorkerImage {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            image: ImageRef { name: row.name, tag: row.tag },
            description: row.description,
            pin: row.pin,
            builtin: row.builtin,
            requires_gpu: row.requires_gpu,
            min_vram_mib: row.min_vram_mib.map(i32::unsigned_abs),
            active: row.active,
            version: row.version.unsigned_abs(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// How a row is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKey {
    Id(Uuid),
    Image(ImageRef),
}

impl ImageKey {
    const fn parts(&self) -> (Option<Uuid>, Option<&str>, Option<&str>) {
        match self {
            Self::Id(id) => (Some(*id), None, None),
            Self::Image(image) => (None, Some(image.name.as_str()), Some(image.tag.as_str())),
        }
    }
}

/// Up to `limit` rows in the order in which they were made, from the one after `after` on; all, or those that are
/// active or not.
///
/// # Errors
/// When the database can't be read.
pub async fn worker_images(
    connection: &mut Conn,
    active: Option<bool>,
    after: Option<After>,
    limit: i64,
) -> Result<Vec<WorkerImage>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, tag, description, pin, builtin, requires_gpu, min_vram_mib, active, version, created_at,
             updated_at
         from worker_image_allowlist
         where ($1::boolean is null or active = $1) and ($2::timestamptz is null or (created_at, id) > ($2, $3))
         order by created_at, id limit $4",
        active,
        after.map(|after| after.created_at),
        after.map(|after| after.id),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One row.
///
/// # Errors
/// When the database can't be read.
pub async fn worker_image(connection: &mut Conn, key: &ImageKey) -> Result<Option<WorkerImage>, Error> {
    let (id, name, tag) = key.parts();
    let row = sqlx::query_as!(
        Row,
        "select id, name, tag, description, pin, builtin, requires_gpu, min_vram_mib, active, version, created_at,
             updated_at
         from worker_image_allowlist where id = $1 or (name = $2 and tag = $3)",
        id,
        name,
        tag,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// One row that nobody else changes before the caller's transaction ends.
///
/// # Errors
/// When the database can't be read.
pub async fn lock_worker_image(connection: &mut Conn, key: &ImageKey) -> Result<Option<WorkerImage>, Error> {
    let (id, name, tag) = key.parts();
    let row = sqlx::query_as!(
        Row,
        "select id, name, tag, description, pin, builtin, requires_gpu, min_vram_mib, active, version, created_at,
             updated_at
         from worker_image_allowlist where id = $1 or (name = $2 and tag = $3) for no key update",
        id,
        name,
        tag,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// What the list says of an image from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerImageContent {
    pub description: String,
    pub pin: Option<String>,
    pub requires_gpu: bool,
    pub min_vram_mib: Option<u32>,
    pub active: bool,
}

/// Adds an image; `None` if it is on the list already, active or not.
///
/// # Errors
/// When the database refuses.
pub async fn insert_worker_image(
    connection: &mut Conn,
    id: Uuid,
    image: &ImageRef,
    content: &WorkerImageContent,
) -> Result<Option<WorkerImage>, Error> {
    let row = sqlx::query_as!(
        Row,
        "insert into worker_image_allowlist (id, name, tag, description, pin, requires_gpu, min_vram_mib, active,
             version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, nextval('library_versions')::integer)
         on conflict (name, tag) do nothing
         returning id, name, tag, description, pin, builtin, requires_gpu, min_vram_mib, active, version, created_at,
             updated_at",
        id,
        image.name,
        image.tag,
        content.description,
        content.pin,
        content.requires_gpu,
        content.min_vram_mib.map(u32::cast_signed),
        content.active,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

/// Changes a locked row.
///
/// # Errors
/// When the database refuses.
pub async fn update_worker_image(
    connection: &mut Conn,
    id: Uuid,
    content: &WorkerImageContent,
) -> Result<WorkerImage, Error> {
    let row = sqlx::query_as!(
        Row,
        "update worker_image_allowlist set description = $2, pin = $3, requires_gpu = $4, min_vram_mib = $5,
             active = $6, version = nextval('library_versions')::integer, updated_at = now()
         where id = $1
         returning id, name, tag, description, pin, builtin, requires_gpu, min_vram_mib, active, version, created_at,
             updated_at",
        id,
        content.description,
        content.pin,
        content.requires_gpu,
        content.min_vram_mib.map(u32::cast_signed),
        content.active,
    )
    .fetch_one(connection)
    .await?;
    Ok(row.into())
}

/// Takes a locked row off the list.
///
/// # Errors
/// When the database refuses.
pub async fn delete_worker_image(connection: &mut Conn, id: Uuid) -> Result<(), Error> {
    sqlx::query!("delete from worker_image_allowlist where id = $1", id).execute(connection).await?;
    Ok(())
}
