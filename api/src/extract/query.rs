//! Query parameters: known ones only, each once, and every problem at once.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query as AxumQuery},
    http::{Uri, request::Parts},
};
use chrono::{DateTime, Datelike as _, Utc};

use crate::{
    problem::{FieldError, Kind, Part, Problem},
    routes::QueryParameter,
};

/// No parameter of ours needs more.
const MAX_VALUE_BYTES: usize = 1_024;

/// The parameters of a request. Take them one by one, then [`Query::finish`].
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
        let AxumQuery(pairs) = AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::new(Kind::InvalidQuery, "the query can't be decoded"))?;
        Ok(pairs)
    }

    /// Refuses parameters that are not `known`, are there twice, or could not be stored as text.
    pub(crate) fn check_known(uri: &Uri, known: &[QueryParameter]) -> Result<(), Problem> {
        let mut errors = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in Self::pairs(uri)? {
            if errors.len() >= 20 {
                break;
            }
            let detail = if !known.iter().any(|parameter| parameter.name == name) {
                unknown(known)
            } else if seen.contains(&name) {
                "it is there twice".to_owned()
            } else if value.len() > MAX_VALUE_BYTES {
                format!("it has more than {MAX_VALUE_BYTES} bytes")
            } else if value.chars().any(char::is_control) {
                "it contains a control character".to_owned()
            } else {
                seen.push(name);
                continue;
            };
            errors.push(FieldError::new(Part::Query, pointer(&name), &detail));
        }
        refuse_if_any(errors)
    }

    /// The value of a parameter; `None` without it. What can't be read is noted.
    pub(crate) fn take<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let (_, value) = self.pairs.iter().find(|(key, _)| key == name)?;
        match value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(name, &error.to_string());
                None
            }
        }
    }

    /// A number in these bounds, or the default.
    pub(crate) fn take_limit(&mut self, most: i64, default: i64) -> i64 {
        let limit = self.take::<i64>("limit").unwrap_or(default);
        if !(1..=most).contains(&limit) {
            self.note("limit", &format!("{limit} is not between 1 and {most}"));
        }
        limit
    }

    /// A number in these bounds, if it is there.
    pub(crate) fn take_number(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let number = self.take::<i64>(name)?;
        if !(least..=most).contains(&number) {
            self.note(name, &format!("{number} is not between {least} and {most}"));
        }
        Some(number)
    }

    /// What a parameter that must be there says.
    pub(crate) fn need<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        if !self.pairs.iter().any(|(key, _)| key == name) {
            self.note(name, "it must be there");
        }
        self.take(name)
    }

    fn note(&mut self, name: &str, detail: &str) {
        self.errors.push(FieldError::new(Part::Query, pointer(name), detail));
    }

    /// Refuses the request if anything was noted.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        refuse_if_any(self.errors)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self { pairs: Self::pairs(&parts.uri)?, errors: Vec::new() })
    }
}

fn refuse_if_any(errors: Vec<FieldError>) -> Result<(), Problem> {
    match errors.first() {
        None => Ok(()),
        Some(first) => {
            let detail = format!("{}: {}", first.pointer.trim_start_matches('/'), first.detail);
            Err(Problem::new(Kind::InvalidQuery, detail).errors(errors))
        }
    }
}

fn unknown(known: &[QueryParameter]) -> String {
    if known.is_empty() {
        return "it is unknown; this route has no query parameters".to_owned();
    }
    let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    format!("it is unknown; known are {}", names.join(", "))
}

fn pointer(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A time as RFC 3339. The database can hold them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub DateTime<Utc>);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = DateTime::parse_from_rfc3339(text)
            .map_err(|_| "it is not a time like 2026-11-23T12:00:00Z; write + as %2B")?;
        // The parser takes years with a sign, too.
        if (0..=9_999).contains(&time.year()) {
            Ok(Self(time.to_utc()))
        } else {
            Err("its year has four digits")
        }
    }
}
