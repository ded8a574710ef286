//! Live events: the audit trail as server-sent events, as it becomes readable.
//!
//! Guarantees that every event comes once and in order, whatever connections or processes end meanwhile: an event's id is its
//! place in the trail, and what a client lacks is read from the database. One [`Feed`] per process looks for what is new and
//! hands it to all streams; each [`Stream`] holds one page at most, however slowly it is read.

mod feed;
mod stream;

pub(crate) use feed::Feed;
pub(crate) use stream::{Start, Stream};
