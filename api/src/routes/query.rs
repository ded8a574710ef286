//! Query parameters and what their values look like.

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct QueryParameter {
    pub name: &'static str,
    pub about: &'static str,
    pub form: Form,
}

/// What a value looks like. The handler's parser decides; this tells clients beforehand.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Any text of up to 1,024 bytes without control characters.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number in these bounds.
    Whole { least: i64, most: i64, default: i64 },
    /// A whole number in these bounds, or none.
    Number { least: i64, most: i64 },
    /// What a file is called: 1 to 255 bytes, no `/`, no control characters, not `.` or `..`. The one that must be there.
    FileName,
    /// A UUID.
    Id,
    /// RFC 3339.
    Time,
    /// The `next_cursor` of the page before.
    Cursor,
}

impl QueryParameter {
    pub(super) const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, about, form: Form::Text }
    }

    pub(super) const fn one_of(
        name: &'static str,
        about: &'static str,
        words: &'static [&'static str],
    ) -> Self {
        Self { name, about, form: Form::OneOf(words) }
    }

    pub(super) const fn time(name: &'static str, about: &'static str) -> Self {
        Self { name, about, form: Form::Time }
    }

    /// `limit`, for lists in pages.
    pub(super) const fn limit(most: i64, default: i64) -> Self {
        let about = "rows of a page at most";
        Self { name: "limit", about, form: Form::Whole { least: 1, most, default } }
    }
}

/// `active`, for what can be switched off.
pub(super) const ACTIVE: QueryParameter =
    QueryParameter::one_of("active", "true: only what is on; false: only what is off", &["true", "false"]);

/// `cursor`, for lists in pages.
pub(super) const CURSOR: QueryParameter =
    QueryParameter { name: "cursor", about: "next_cursor of the page before", form: Form::Cursor };
