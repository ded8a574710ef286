//! The result of a job that is not built in: named numbers, truths and short names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most values in one custom result.
pub const MAX_CUSTOM_VALUES: usize = 200;

/// Named values. A name is 1 to 64 of `a`–`z`, `0`–`9`, `_`, and begins with a letter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomResult {
    pub values: BTreeMap<String, CustomValue>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CustomValue {
    Bool(bool),
    Integer(i64),
    Number(f64),
    /// One name of the job's own choice of names: 1 to 64 ASCII letters, digits and `_ - . : /`. No blanks, so
    /// that no prose fits.
    Name(String),
}
