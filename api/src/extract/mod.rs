//! Reading requests: each extractor refuses what it can't read with a problem that points at the place.

mod accept;
mod conditions;
mod cursor;
mod file_name;
mod form;
mod id;
mod json;
mod last_event;
mod name;
mod query;
mod since;

pub(crate) use accept::{Form, accepted_form};
pub(crate) use conditions::{Conditions, ETag};
pub(crate) use cursor::{Cursor, NameCursor};
pub(crate) use file_name::FileName;
pub(crate) use form::FormBody;
pub(crate) use id::Id;
pub(crate) use json::{Json, MAX_BODY_BYTES};
pub(crate) use last_event::{last_event, wrong_event};
pub(crate) use name::{Name, encoded};
pub(crate) use query::{Query, Time};
pub(crate) use since::SinceCursor;
