//! The body of a form.

use axum::{
    Form,
    body::{Body, to_bytes},
    extract::{FromRequest, Request},
    http::StatusCode,
    response::IntoResponse as _,
};

use crate::problem::{Kind, Problem};

/// No form of ours needs more.
const MAX_BYTES: usize = 4 * 1_024;

/// The fields of a form.
pub(crate) struct FormBody(Vec<(String, String)>);

impl FormBody {
    /// Refuses fields other than these, and those that are there twice.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) || self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(bad("the form has fields that are not known, or one twice"));
            }
        }
        Ok(())
    }

    /// The value of a field; empty without it.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequest<S> for FormBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, MAX_BYTES).await.map_err(|_| {
            Problem::new(Kind::PayloadTooLarge, format!("the form has more than {MAX_BYTES} bytes"))
        })?;
        let request = Request::from_parts(parts, Body::from(bytes));
        let Form(fields) = Form::from_request(request, state).await.map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
                    Kind::UnsupportedMediaType,
                    "send the form as application/x-www-form-urlencoded",
                ),
                _ => bad("the form can't be read"),
            }
        })?;
        Ok(Self(fields))
    }
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}
