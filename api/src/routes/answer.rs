//! What a route takes and what it answers, as the documentation tells it.

use crate::openapi::SchemaOf;

/// The body that a route takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// None; one that is sent is not read.
    Nothing,
    /// A JSON object. Unknown fields are refused.
    Json {
        schema: SchemaOf,
        /// A body to try.
        example: &'static str,
    },
    /// A form of a page; `csrf` proves that the page was ours.
    Form { fields: &'static [&'static str] },
    /// A file, of any size; the request takes as long as it takes.
    Bytes,
}

/// One successful answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub about: &'static str,
    pub content: Content,
}

/// What is in an answer's body.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    Nothing,
    Json(SchemaOf),
    /// JSON of this schema with its `ETag`: the version of what it shows.
    Versioned(SchemaOf),
    /// A text of this media type.
    Text(&'static str),
    /// JSON of this schema or a text of one of these media types, by `Accept`.
    JsonOrText(SchemaOf, &'static [&'static str]),
    /// A file, or a part of it.
    Bytes,
    /// A text of this media type that is sent as it is read: rows of an export.
    Stream(&'static str),
    /// Server-sent events, as long as there are some; the data of each is JSON of this schema.
    EventStream(SchemaOf),
}
