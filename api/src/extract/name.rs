//! The name of a thing in a path.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use crate::problem::{FieldError, Kind, Part, Problem};

/// No name of ours has more.
const MAX_CHARACTERS: usize = 255;

/// The path parameters that are names.
const PARAMETERS: [&str; 2] = ["name", "container"];

/// The path parameter `{name}` or `{container}`: a text that the database can be asked for.
pub(crate) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |parameter: &str| {
            let detail = "it is no name: 1 to 255 characters of UTF-8 without control characters";
            Problem::new(Kind::InvalidPath, "the name in the path is none").errors(vec![FieldError::new(
                Part::Path,
                format!("/{parameter}"),
                detail,
            )])
        };
        // What is no UTF-8 is refused as a whole.
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| wrong("name"))?;
        let found = params.iter().find(|(parameter, _)| PARAMETERS.contains(parameter));
        let (parameter, text) = found.unwrap_or(("name", ""));
        let fits =
            !text.is_empty() && text.chars().count() <= MAX_CHARACTERS && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(wrong(parameter)) }
    }
}

/// The name as one step of a path or address.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
