//! How texts of a request look, for the API's document: what `check` refuses, in the words of JSON Schema.

use utoipa::openapi::{Array, ArrayBuilder, Object, ObjectBuilder, Type, schema::SchemaType};

/// Something in it, and no control characters (ECMA 262).
const ONE_LINE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// No NUL.
const FREE_TEXT: &str = r"^[^\u0000]*$";
/// Something in it, and no NUL.
const TEXT: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";

/// No blanks around it, no step in a path, and none of the words that mean something else (ECMA 262).
const NAME: &str = r"^(?!(\.{1,2}|D[1-4]|custom)$)[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";

/// What a directive may be called.
#[must_use]
pub fn directive_name() -> Object {
    text(Type::String.into(), super::limit::DIRECTIVE_CHARACTERS, NAME)
}

/// The key of a job, or an alias.
const KEY: &str = "^[a-z][a-z0-9_]{0,49}$";

/// What a job may be called.
#[must_use]
pub fn job_key() -> Object {
    word(Type::String.into(), KEY)
}

/// Up to twenty of those.
#[must_use]
pub fn job_keys() -> Array {
    ArrayBuilder::new().items(job_key()).max_items(Some(20)).build()
}

/// The same, or null.
#[must_use]
pub fn optional_job_keys() -> Array {
    let types = SchemaType::from_iter([Type::Array, Type::Null]);
    ArrayBuilder::new().schema_type(types).items(job_key()).max_items(Some(20)).build()
}

/// An image ID, or the digest of a repository.
const PIN: &str = "^([a-z0-9][a-z0-9._:/-]*@)?sha256:[0-9a-f]{64}$";
/// An id or name of a container.
const CONTAINER: &str = "^[0-9A-Za-z][0-9A-Za-z_.-]{0,254}$";
/// `*` or the name of a host.
const HOST_OR_ALL: &str = r"^(\*|[0-9A-Za-z][0-9A-Za-z._-]{0,62})$";

fn word(types: SchemaType, pattern: &str) -> Object {
    ObjectBuilder::new().schema_type(types).pattern(Some(pattern)).build()
}

/// What says which content of an image is meant.
#[must_use]
pub fn pin() -> Object {
    word(Type::String.into(), PIN)
}

/// The same, or null.
#[must_use]
pub fn optional_pin() -> Object {
    word(nullable(), PIN)
}

/// What an entry of the container allowlist goes by.
#[must_use]
pub fn container_key() -> Object {
    word(Type::String.into(), CONTAINER)
}

/// One host or all.
#[must_use]
pub fn host_or_all() -> Object {
    word(Type::String.into(), HOST_OR_ALL)
}

/// The same, or null.
#[must_use]
pub fn optional_host_or_all() -> Object {
    word(nullable(), HOST_OR_ALL)
}

fn text(types: SchemaType, most: usize, pattern: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(types)
        .min_length(Some(1))
        .max_length(Some(most))
        .pattern(Some(pattern))
        .build()
}

fn nullable() -> SchemaType {
    SchemaType::from_iter([Type::String, Type::Null])
}

/// One line of up to `MOST` characters.
#[must_use]
pub fn line<const MOST: usize>() -> Object {
    text(Type::String.into(), MOST, ONE_LINE)
}

/// The same, or null.
#[must_use]
pub fn optional_line<const MOST: usize>() -> Object {
    text(nullable(), MOST, ONE_LINE)
}

/// Up to `MOST` lines of up to `CHARACTERS` characters each.
#[must_use]
pub fn lines<const MOST: usize, const CHARACTERS: usize>() -> Array {
    ArrayBuilder::new().items(line::<CHARACTERS>()).max_items(Some(MOST)).build()
}

/// A text of up to `MOST` characters, or null.
#[must_use]
pub fn optional_text<const MOST: usize>() -> Object {
    text(nullable(), MOST, TEXT)
}

/// A text of up to `MOST` characters that may be empty.
#[must_use]
pub fn free_text<const MOST: usize>() -> Object {
    free(Type::String.into(), MOST)
}

/// The same, or null.
#[must_use]
pub fn optional_free_text<const MOST: usize>() -> Object {
    free(nullable(), MOST)
}

fn free(types: SchemaType, most: usize) -> Object {
    ObjectBuilder::new().schema_type(types).max_length(Some(most)).pattern(Some(FREE_TEXT)).build()
}

/// Up to `MOST` lines of up to `CHARACTERS` characters each, or null.
#[must_use]
pub fn optional_lines<const MOST: usize, const CHARACTERS: usize>() -> Array {
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(line::<CHARACTERS>())
        .max_items(Some(MOST))
        .build()
}
