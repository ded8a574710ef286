//! What can be wrong with a result that is well-formed JSON.

use std::fmt;

/// Why a result is refused. `field` is the path of the field without list positions, `at` the position in
/// the list that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A text is longer than its field allows, in characters.
    TooLong { field: &'static str, at: Option<usize>, length: usize, limit: usize },
    /// A text holds control characters, or marks that are unseen or turn it around.
    Unprintable { field: &'static str, at: Option<usize> },
    /// A text that has to be a name has other characters than a name may have, or none.
    NotAName { field: &'static str, at: Option<usize> },
    /// A list has more entries than are kept.
    TooMany { field: &'static str, length: usize, limit: usize },
    /// A number is infinite or none.
    NotFinite { field: &'static str, at: Option<usize> },
    /// An edge points at a service that is not listed.
    NoSuchService { at: usize, service: u32 },
    /// The job's output schema has no value of this name.
    Undeclared { at: usize },
    /// A value is not what the job's output schema says.
    NotAsDeclared { at: usize },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |field: &str, at: Option<usize>| match at {
            Some(at) => format!("{field} (entry {at})"),
            None => field.to_owned(),
        };
        match *self {
            Self::TooLong { field, at, length, limit } => {
                write!(f, "{} has {length} characters; {limit} are allowed", place(field, at))
            }
            Self::Unprintable { field, at } => write!(f, "{} has unprintable characters", place(field, at)),
            Self::NotAName { field, at } => {
                write!(f, "{} is not a name: letters, digits and a few marks, no blanks", place(field, at))
            }
            Self::TooMany { field, length, limit } => {
                write!(f, "{field} has {length} entries; {limit} are allowed")
            }
            Self::NotFinite { field, at } => write!(f, "{} is not a finite number", place(field, at)),
            Self::Undeclared { at } => {
                write!(f, "values (entry {at}) is not in the output schema of the job")
            }
            Self::NotAsDeclared { at } => {
                write!(f, "values (entry {at}) is not what the output schema of the job says")
            }
            Self::NoSuchService { at, service } => {
                write!(f, "edges (entry {at}) points at service {service}, which is not listed")
            }
        }
    }
}

impl std::error::Error for Problem {}
