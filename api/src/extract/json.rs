//! Strict JSON bodies: the right media type, a size limit, no unknown fields, and a pointer to what is wrong.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::problem::{FieldError, Kind, Part, Problem};

/// A larger body is refused unread.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// A longer pointer stops at an ancestor of the place.
const MAX_POINTER_BYTES: usize = 512;

/// The body, read from JSON.
pub(crate) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        check_announced_size(request.headers())?;
        let bytes = read(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "send the header Content-Type: application/json";
    let at = FieldError::new(Part::Header, "/Content-Type", detail);
    Err(Problem::new(Kind::UnsupportedMediaType, detail).errors(vec![at]))
}

fn check_announced_size(headers: &HeaderMap) -> Result<(), Problem> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> Problem {
    let detail =
        format!("it has more than {MAX_BODY_BYTES} bytes; launch several runs, or upload large data");
    let at = FieldError::new(Part::Body, "", &detail);
    Problem::new(Kind::PayloadTooLarge, detail).errors(vec![at])
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::BadRequest, "the body ended before it was complete")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        wrong(pointer, error.inner())
    })?;
    json.end().map_err(|error| wrong(String::new(), &error))?;
    Ok(value)
}

fn wrong(pointer: String, error: &serde_json::Error) -> Problem {
    let kind = match error.classify() {
        serde_json::error::Category::Data => Kind::InvalidRequest,
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => Kind::MalformedJson,
    };
    let detail = error.to_string();
    let at = FieldError::new(Part::Body, pointer, &detail);
    Problem::new(kind, detail).errors(vec![at])
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            // An enum's variant is no step in the document.
            Segment::Enum { .. } => continue,
            Segment::Unknown => break,
        };
        if text.len() + step.len() >= MAX_POINTER_BYTES {
            break;
        }
        text.push('/');
        text.push_str(&step);
    }
    text
}
