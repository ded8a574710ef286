//! Uploads.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::uploads::StoredUpload;
use cyberbrain_core::ids::UploadId;
use serde::Serialize;
use utoipa::ToSchema;

/// A file that run jobs can have as input.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct UploadView {
    pub id: UploadId,
    /// What it was called when it was sent.
    name: String,
    size_bytes: i64,
    sha256: String,
    /// What the client said that it is.
    mime_type: String,
    uploaded_by: String,
    created_at: DateTime<Utc>,
    /// When a run was last launched with it, to the hour; before that, when it was stored. Its age is counted from here.
    used_at: DateTime<Utc>,
}

impl From<StoredUpload> for UploadView {
    fn from(row: StoredUpload) -> Self {
        Self {
            id: row.id,
            name: row.name,
            size_bytes: row.size_bytes,
            sha256: row.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            mime_type: row.mime_type,
            uploaded_by: row.uploaded_by,
            created_at: row.created_at,
            used_at: row.used_at,
        }
    }
}

/// One page of uploads, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct UploadPage {
    pub uploads: Vec<UploadView>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}
