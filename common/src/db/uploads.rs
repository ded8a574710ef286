//! Uploaded files that workers may read.

use std::collections::HashSet;

use cyberbrain_core::ids::UploadId;
use uuid::Uuid;

use super::{Conn, Error};

/// Which of these uploads exist.
///
/// # Errors
/// When the database can't be read.
pub async fn existing(connection: &mut Conn, uploads: &[UploadId]) -> Result<HashSet<UploadId>, Error> {
    if uploads.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = uploads.iter().map(|id| id.uuid()).collect();
    let found =
        sqlx::query_scalar!("select id from uploads where id = any($1)", &ids).fetch_all(connection).await?;
    Ok(found.into_iter().map(Into::into).collect())
}
