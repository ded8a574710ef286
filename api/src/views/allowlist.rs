//! The two allowlists.

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{allowlist::Entry, library::WorkerImage};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An image on the worker image allowlist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WorkerImageView {
    id: Uuid,
    /// `name:tag`, as jobs name it.
    image: String,
    /// What the engine must have under this name; null for the built-in image, whose id each launcher derives.
    pin: Option<String>,
    description: String,
    requires_gpu: bool,
    min_vram_mib: Option<u32>,
    /// Whether workers may be made of it.
    active: bool,
    builtin: bool,
    version: u32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl WorkerImageView {
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }
}

impl From<WorkerImage> for WorkerImageView {
    fn from(row: WorkerImage) -> Self {
        Self {
            id: row.id,
            image: row.image.to_string(),
            pin: row.pin,
            description: row.description,
            requires_gpu: row.requires_gpu,
            min_vram_mib: row.min_vram_mib,
            active: row.active,
            builtin: row.builtin,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// One page of the worker image allowlist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WorkerImagePage {
    pub images: Vec<WorkerImageView>,
    /// Pass it as `cursor` to read on; null on the last page.
    pub next_cursor: Option<String>,
}

/// An entry of the container allowlist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AllowedContainerView {
    /// The engine's id of a container, the beginning of it, or its name. The entry goes by it.
    container_id: String,
    /// A recreated container of this name stays covered; empty if there is none.
    container_name: String,
    /// Name of a host, or `*` for all.
    host: String,
    description: String,
    tags: Vec<String>,
    /// Whether its logs may be read.
    enabled: bool,
    version: u32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl AllowedContainerView {
    pub(crate) const fn version(&self) -> u32 {
        self.version
    }
}

impl From<Entry> for AllowedContainerView {
    fn from(row: Entry) -> Self {
        Self {
            container_id: row.container_id,
            container_name: row.content.container_name,
            host: row.content.host,
            description: row.content.description,
            tags: row.content.tags,
            enabled: row.content.enabled,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// One page of the container allowlist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AllowedContainerPage {
    pub containers: Vec<AllowedContainerView>,
    /// Pass it as `cursor` to read on; null on the last page.
    pub next_cursor: Option<String>,
}
