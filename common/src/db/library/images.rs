//! What the worker image allowlist says of the images that a launch names.

use cyberbrain_core::spec::ImageRef;

use crate::db::{Conn, Error};

/// A row of the worker image allowlist.
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
