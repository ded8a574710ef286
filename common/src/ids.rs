//! New identifiers. The only place that makes them.

use uuid::Uuid;

/// A new time-ordered identifier (UUIDv7, RFC 9562).
#[must_use]
pub fn fresh<T: From<Uuid>>() -> T {
    Uuid::now_v7().into()
}
