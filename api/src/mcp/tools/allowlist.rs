//! Tools about the two allowlists.

use cyberbrain_common::{
    db::{Conn, allowlist::Entry, library::ImageKey, library::WorkerImage},
    launch::describe::{container_key, host_or_all, line, pin},
    library::{
        Error, Expected,
        containers::{self, AllowedContainerChange, NewAllowedContainer},
        images::{self, NewWorkerImage, WorkerImageChange},
    },
};
use cyberbrain_core::{audit::Actor, spec::ImageRef};
use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::{Call, Reply, page, parse, wrong};
use crate::{
    extract::{Cursor, NameCursor},
    handlers::{
        allowed_containers::{self, MOST_PER_PAGE, PER_PAGE},
        worker_images,
    },
    openapi::{Schemas, of},
    problem::{Kind, Problem},
    views::{AllowedContainerPage, AllowedContainerView, WorkerImagePage, WorkerImageView},
};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Which {
    /// Whose logs may be read.
    Containers,
    /// What workers may be made of.
    Images,
}

/// Which list; what is left out does not filter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetAllowlist {
    /// Without it both.
    #[serde(default)]
    list: Option<Which>,
    /// Only what is allowed now, or only what is switched off.
    #[serde(default)]
    allowed: Option<bool>,
    /// Entries of a page at most; 100 without it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// next_cursor of the page before; goes with list.
    #[serde(default)]
    cursor: Option<String>,
}

/// A page of each list that was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct AllowlistView {
    /// Whose logs may be read; null if it was not asked for.
    containers: Option<AllowedContainerPage>,
    /// What workers may be made of; null if it was not asked for.
    images: Option<WorkerImagePage>,
}

pub(crate) async fn get(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let GetAllowlist { list, allowed, limit, cursor } = parse(arguments)?;
    let (limits, cursor) = ((MOST_PER_PAGE, PER_PAGE), cursor.as_deref());
    if cursor.is_some() && list.is_none() {
        return Err(wrong("/cursor", "each list has cursors of its own; say in list which one is meant"));
    }
    let containers = match list {
        None | Some(Which::Containers) => Some(page::<NameCursor>(limit, limits, cursor)?),
        Some(Which::Images) => None,
    };
    let images = match list {
        None | Some(Which::Images) => Some(page::<Cursor>(limit, limits, cursor)?),
        Some(Which::Containers) => None,
    };
    let mut connection = call.app.connection().await?;
    let containers = match containers {
        None => None,
        Some((limit, after)) => Some(allowed_containers::page(&mut connection, allowed, after, limit).await?),
    };
    let images = match images {
        None => None,
        Some((limit, after)) => Some(worker_images::page(&mut connection, allowed, after, limit).await?),
    };
    let counted = containers.as_ref().map(|page| format!("{} container entries", page.containers.len()));
    let counted = counted.into_iter();
    let counted = counted.chain(images.as_ref().map(|page| format!("{} images", page.images.len())));
    let said =
        format!("{} on this page; set_allowlist changes them.", counted.collect::<Vec<_>>().join(", "));
    Reply::new(&AllowlistView { containers, images }, said)
}

/// What is to be allowed or not: exactly one of container and image.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetAllowlist {
    /// Whether jobs may read the logs of a container.
    #[serde(default)]
    #[schema(value_type = SetContainer, required = false)]
    container: Option<SetContainer>,
    /// Whether workers may be made of an image.
    #[serde(default)]
    #[schema(value_type = SetImage, required = false)]
    image: Option<SetImage>,
}

/// The schema says "exactly one" in the words that clients know.
pub(crate) fn set_input(schemas: &mut Schemas) -> RefOr<Schema> {
    let reference = of::<SetAllowlist>(schemas);
    let Some(RefOr::T(Schema::Object(mut request))) = schemas.take(&SetAllowlist::name()) else {
        return reference;
    };
    (request.min_properties, request.max_properties) = (Some(1), Some(1));
    Schema::Object(request).into()
}

/// An entry of the container allowlist. What is left out stays, or is empty in a new entry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetContainer {
    /// The engine's id of a container, the beginning of it (12 characters or more), or its name.
    #[schema(schema_with = container_key)]
    container_id: String,
    /// false switches the entry off; it stays on the list.
    allowed: bool,
    /// A recreated container of this name stays covered.
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 255)]
    container_name: Option<String>,
    /// Name of a host, or * for all.
    #[serde(default)]
    #[schema(schema_with = host_or_all, required = false)]
    host: Option<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 1_000)]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false, max_items = 32)]
    tags: Option<Vec<String>>,
}

/// An image of the worker image allowlist. What is left out stays, or is empty in a new entry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetImage {
    /// name:tag, as jobs name it.
    #[schema(schema_with = line::<356>)]
    image: String,
    /// false switches it off: launches that need it are refused, workers that run go on. It stays on the list.
    allowed: bool,
    /// Which content is meant: an image ID (sha256:…) or a registry digest (name@sha256:…). A new entry needs it.
    #[serde(default)]
    #[schema(schema_with = pin, required = false)]
    pin: Option<String>,
    /// Its run jobs ask for a GPU even if nobody else does.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    requires_gpu: Option<bool>,
    /// VRAM that it needs on each card.
    #[serde(default)]
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 2_097_152)]
    min_vram_mib: Option<u32>,
    #[serde(default)]
    #[schema(value_type = String, required = false, max_length = 1_000)]
    description: Option<String>,
}

/// The entry as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct AllowlistEntry {
    container: Option<AllowedContainerView>,
    image: Option<WorkerImageView>,
}

pub(crate) async fn set(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let actor = call.caller.actor();
    match parse(arguments)? {
        SetAllowlist { container: Some(setting), image: None } => {
            let mut connection = call.app.connection().await?;
            let entry = set_container(&mut connection, setting, &actor).await?;
            let (id, host) = (&entry.container_id, &entry.content.host);
            let may = if entry.content.enabled { "may" } else { "may not" };
            let said = format!("By this entry jobs {may} read the logs of container {id} on host {host}.");
            Reply::new(&AllowlistEntry { container: Some(entry.into()), image: None }, said)
        }
        SetAllowlist { container: None, image: Some(setting) } => {
            let mut connection = call.app.connection().await?;
            let image = set_image(&mut connection, setting, &actor).await?;
            let may = if image.active { "may" } else { "may not" };
            let said = format!("Workers {may} be made of image {}.", image.image);
            Reply::new(&AllowlistEntry { container: None, image: Some(image.into()) }, said)
        }
        SetAllowlist { container: None, image: None }
        | SetAllowlist { container: Some(_), image: Some(_) } => {
            Err(wrong("", "give exactly one of container and image; call once for each"))
        }
    }
}

async fn set_container(
    connection: &mut Conn,
    setting: SetContainer,
    actor: &Actor,
) -> Result<Entry, Problem> {
    let SetContainer { container_id, allowed, container_name, host, description, tags } = setting;
    let change = AllowedContainerChange {
        enabled: Some(allowed),
        container_name: container_name.clone(),
        host: host.clone(),
        description: description.clone(),
        tags: tags.clone(),
    };
    let place = "/container";
    // The database has no text with this character, so it can't be asked for it.
    if container_id.contains('\0') {
        return Err(wrong("/container/container_id", "it contains the NUL character"));
    }
    match containers::edit(connection, &container_id, &Expected::Any, &change, actor).await {
        Ok(entry) => return Ok(entry),
        Err(Error::Unknown { .. }) if allowed => {}
        Err(error) => return Err(within(place, error)),
    }
    let new = NewAllowedContainer {
        container_id: container_id.clone(),
        container_name: container_name.unwrap_or_default(),
        host: host.unwrap_or_else(|| "*".to_owned()),
        description: description.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
    };
    match containers::add(connection, &new, actor).await {
        // Somebody else was faster.
        Err(Error::Conflict(_)) => {
            containers::edit(connection, &container_id, &Expected::Any, &change, actor)
                .await
                .map_err(|error| within(place, error))
        }
        other => other.map_err(|error| within(place, error)),
    }
}

async fn set_image(connection: &mut Conn, setting: SetImage, actor: &Actor) -> Result<WorkerImage, Problem> {
    let place = "/image";
    let SetImage { image, allowed, pin, requires_gpu, min_vram_mib, description } = setting;
    let key = image.parse::<ImageRef>().map_err(|error| wrong("/image/image", &error.to_string()))?;
    let key = ImageKey::Image(key);
    let change = WorkerImageChange {
        active: Some(allowed),
        pin: pin.clone(),
        description: description.clone(),
        requires_gpu,
        min_vram_mib: min_vram_mib.map(Some),
    };
    match images::edit(connection, &key, &Expected::Any, &change, actor).await {
        Ok(image) => return Ok(image),
        Err(Error::Unknown { .. }) if allowed => {}
        Err(error) => return Err(within(place, error)),
    }
    let Some(pin) = pin else {
        return Err(wrong(
            "/image/pin",
            "the image is not on the list yet, so say which content is meant: its image ID or registry digest",
        ));
    };
    let new = NewWorkerImage {
        image,
        pin,
        description: description.unwrap_or_default(),
        requires_gpu: requires_gpu.unwrap_or_default(),
        min_vram_mib,
    };
    match images::add(connection, &new, actor).await {
        // Somebody else was faster.
        Err(Error::Conflict(_)) => images::edit(connection, &key, &Expected::Any, &change, actor)
            .await
            .map_err(|error| within(place, error)),
        other => other.map_err(|error| within(place, error)),
    }
}

/// The problem as it is seen from the whole arguments, with what to do.
fn within(place: &str, error: Error) -> Problem {
    let mut problem = Problem::from(error);
    for error in &mut problem.errors {
        error.pointer.insert_str(0, place);
    }
    if problem.kind == Kind::NotFound {
        problem.detail.push_str(", so there is nothing to switch off; get_allowlist lists what there is");
    }
    problem
}
