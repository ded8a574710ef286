//! The id in a path.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use uuid::Uuid;

use crate::problem::{FieldError, Kind, Part, Problem};

/// The path parameter `{id}`.
pub(crate) struct Id<T>(pub T);

impl<S: Send + Sync, T: From<Uuid>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong =
            || {
                let detail = "it is not a UUID, e.g. 01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00";
                Problem::new(Kind::InvalidPath, "the id in the path is not a UUID")
                    .errors(vec![FieldError::new(Part::Path, "/id", detail)])
            };
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| wrong())?;
        let text = params.iter().find_map(|(name, value)| (name == "id").then_some(value));
        let id: Uuid = text.unwrap_or_default().parse().map_err(|_| wrong())?;
        Ok(Self(id.into()))
    }
}
