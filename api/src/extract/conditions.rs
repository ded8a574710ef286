//! Preconditions (RFC 9110, 13): which version of a thing the client knows.
//!
//! An entity tag is the version of the row. Tags of other forms are read too, and are those of no version.

use std::fmt;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use cyberbrain_common::library::Expected;

use crate::problem::{FieldError, Kind, Part, Problem};

/// More tags than anybody needs.
const MAX_TAGS: usize = 32;

/// The entity tag of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ETag(pub u32);

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl From<ETag> for HeaderValue {
    fn from(tag: ETag) -> Self {
        Self::try_from(tag.to_string()).expect("a quoted number is a header value")
    }
}

/// `If-Match` and `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Strong(u32),
    /// Good enough to say what is known, too little to change it.
    Weak(u32),
    /// None of ours.
    Other,
}

impl Conditions {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &header::IF_MATCH)?,
            if_none_match: tags(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether the client has this version: 304 then.
    pub(crate) fn is_known(&self, tag: ETag) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(tags)) => tags.iter().any(|known| match known {
                Tag::Strong(version) | Tag::Weak(version) => *version == tag.0,
                Tag::Other => false,
            }),
        }
    }

    /// The versions that a change is for. `path` is where the tag comes from.
    ///
    /// # Errors
    /// 428 without `If-Match`.
    pub(crate) fn expected(&self, path: &str) -> Result<Expected, Problem> {
        match &self.if_match {
            None => {
                let detail = format!("send the ETag of GET {path} in the header If-Match");
                let at = FieldError::new(Part::Header, "/If-Match", &detail);
                Err(Problem::new(Kind::PreconditionRequired, detail).errors(vec![at]))
            }
            Some(Tags::Any) => Ok(Expected::Any),
            Some(Tags::These(tags)) => {
                let strong = tags.iter().filter_map(|tag| match tag {
                    Tag::Strong(version) => Some(*version),
                    Tag::Weak(_) | Tag::Other => None,
                });
                Ok(Expected::OneOf(strong.collect()))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}

/// All tags of a header, whether in one line or in several.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let wrong = || {
        let shown = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
        let detail = "it is not * and no list of entity tags like \"3\"";
        let at = FieldError::new(Part::Header, format!("/{shown}"), detail);
        Problem::new(Kind::InvalidHeader, format!("{shown}: {detail}")).errors(vec![at])
    };
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| wrong())?;
        if text.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (tag, after) = first_tag(rest).ok_or_else(wrong)?;
            tags.push(tag);
            if tags.len() > MAX_TAGS {
                return Err(wrong());
            }
            rest = after.trim_start();
            if let Some(more) = rest.strip_prefix(',') {
                rest = more.trim_start();
            } else if !rest.is_empty() {
                return Err(wrong());
            }
        }
    }
    if tags.is_empty() { Err(wrong()) } else { Ok(Some(Tags::These(tags))) }
}

/// The tag at the beginning, and what follows it.
fn first_tag(text: &str) -> Option<(Tag, &str)> {
    let (weak, quoted) = match text.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
    let ours = opaque.bytes().all(|byte| byte.is_ascii_digit()) && !opaque.starts_with('0');
    let tag = match opaque.parse() {
        Ok(version) if ours && weak => Tag::Weak(version),
        Ok(version) if ours => Tag::Strong(version),
        Ok(_) | Err(_) => Tag::Other,
    };
    Some((tag, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, values: &[&str]) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        Conditions::read(&headers)
    }

    #[test]
    fn a_change_is_for_the_versions_that_are_named() {
        let cases: &[(&[&str], Option<Expected>)] = &[
            (&["\"3\""], Some(Expected::OneOf(vec![3]))),
            (&[" \"3\" , \"4\""], Some(Expected::OneOf(vec![3, 4]))),
            (&["\"3\"", "\"4\""], Some(Expected::OneOf(vec![3, 4]))),
            (&["*"], Some(Expected::Any)),
            (&["W/\"3\""], Some(Expected::OneOf(vec![]))),
            (&["\"03\", \"+3\", \"x,y\", \"\", \"99999999999\""], Some(Expected::OneOf(vec![]))),
            (&["3"], None),
            (&["\"3"], None),
            (&["\"3\" \"4\""], None),
            (&[""], None),
            (&["w/\"3\""], None),
        ];
        for (values, expected) in cases {
            let read = read("if-match", values).and_then(|conditions| conditions.expected("/x"));
            match (read, expected) {
                (Ok(read), Some(expected)) => assert_eq!(read, *expected, "{values:?}"),
                (Err(problem), None) => assert_eq!(problem.kind, Kind::InvalidHeader, "{values:?}"),
                (read, expected) => panic!("{values:?}: {read:?}, not {expected:?}"),
            }
        }
        let many = vec!["\"1\""; MAX_TAGS + 1].join(",");
        assert_eq!(read("if-match", &[&many]).unwrap_err().kind, Kind::InvalidHeader);
        let none = read("if-match", &[]).unwrap().expected("/x").unwrap_err();
        assert_eq!(none.kind, Kind::PreconditionRequired);
    }

    #[test]
    fn a_known_version_is_known_also_by_a_weak_tag() {
        for (values, known) in [
            (&["\"3\""][..], true),
            (&["W/\"3\""], true),
            (&["\"2\", \"3\""], true),
            (&["*"], true),
            (&["\"2\""], false),
            (&["\"03\""], false),
            (&[], false),
        ] {
            assert_eq!(read("if-none-match", values).unwrap().is_known(ETag(3)), known, "{values:?}");
        }
        assert_eq!(ETag(3).to_string(), "\"3\"");
    }
}
