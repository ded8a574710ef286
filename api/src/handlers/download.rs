//! An artifact by its id: what it is, and its bytes, from the host that has them.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use cyberbrain_common::{
    byte_range::{ByteRange, Wanted, wanted},
    db::artifacts::{self, Artifact},
    file_token::Purpose,
};
use cyberbrain_core::{ids::ArtifactId, retention::Cause};

use crate::{
    app::App,
    extract::Id,
    files::{Reading, Remote},
    problem::{FieldError, Kind, Part, Problem},
    views::ArtifactView,
};

/// `GET /api/v1/artifacts/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id<ArtifactId>,
) -> Result<Json<ArtifactView>, Problem> {
    let mut connection = app.connection().await?;
    let file = artifacts::find(&mut connection, id).await?;
    file.map(|file| Json(file.into())).ok_or_else(|| Problem::not_found("artifact", id))
}

/// `GET /api/v1/artifacts/{id}/content`: always to be saved, never to be shown by a browser.
pub(crate) async fn content(
    State(app): State<App>,
    Id(id): Id<ArtifactId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut connection = app.connection().await?;
    let file = artifacts::find(&mut connection, id).await?;
    let file = file.ok_or_else(|| Problem::not_found("artifact", id))?;
    if let Some(at) = file.removed_at {
        return Err(gone(&removed("it", at, file.removed_cause)));
    }
    let host = file.host_id.ok_or_else(|| gone("no host is known that has it"))?;
    let size = file.size_bytes.unsigned_abs();
    let etag = format!("\"{}\"", hex(&file.sha256));
    let wanted = wanted(range(&headers, &etag), size);
    let part = match wanted {
        Wanted::Whole => None,
        Wanted::Part(part) => Some(part),
        Wanted::Unsatisfiable => return Ok(unsatisfiable(size)),
    };
    let remote = Remote::of_host(&mut connection, host, file.root).await?;
    drop(connection);
    let slot = app.slots().transfer()?;
    let body = match remote.read(&file.path, Purpose::Artifact, part).await? {
        Reading::Bytes { size: found, body } if found == size => Reading::into_body(body, slot),
        Reading::Missing => return Err(gone("its host does not have it any more")),
        Reading::Bytes { .. } | Reading::Beyond => {
            tracing::warn!(artifact.id = %id, "a file is not as long as it was");
            return Err(gone("what its host has now is another file than the one that was left"));
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, part.map_or(size, ByteRange::len).into());
    headers.insert(header::CONTENT_DISPOSITION, text(&disposition(&file)));
    headers.insert(header::ETAG, text(&etag));
    headers.insert("digest", text(&format!("sha-256={}", STANDARD.encode(&file.sha256))));
    if let Some(part) = part {
        headers.insert(header::CONTENT_RANGE, text(&part.content_range(size)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The range, unless it is of another file than ours.
fn range<'a>(headers: &'a HeaderMap, etag: &str) -> Option<&'a str> {
    let value = |name| headers.get(name).map(HeaderValue::to_str);
    match value(header::IF_RANGE) {
        Some(Ok(tag)) if tag == etag => {}
        Some(_) => return None,
        None => {}
    }
    value(header::RANGE)?.ok()
}

fn unsatisfiable(size: u64) -> Response {
    let detail = format!("it has {size} bytes");
    let at = FieldError::new(Part::Header, "/Range", &detail);
    let problem = Problem::new(Kind::RangeNotSatisfiable, detail).errors(vec![at]);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, text(&format!("bytes */{size}")));
    response
}

/// What retention did, when and why.
pub(super) fn removed(what: &str, at: DateTime<Utc>, cause: Option<Cause>) -> String {
    let why = match cause {
        Some(Cause::Age) => ": it was older than what is kept",
        Some(Cause::Bytes) => ": there was more than is kept, and it was among the oldest",
        None => "",
    };
    format!("retention removed {what} at {}{why}", at.format("%Y-%m-%dT%H:%M:%SZ"))
}

fn gone(why: &str) -> Problem {
    Problem::new(Kind::Gone, why)
}

/// `attachment`, with the file's name for old clients and for new ones (RFC 6266). Nothing of it can end the header.
fn disposition(file: &Artifact) -> String {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let old: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut new = String::with_capacity(name.len());
    for byte in name.bytes() {
        if plain(char::from(byte)) {
            new.push(char::from(byte));
        } else {
            new.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{old}\"; filename*=UTF-8''{new}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it is made of plain ASCII characters")
}
