//! What every request goes through, outside of its handler.

mod envelope;
mod measure;

pub(crate) use envelope::{AsItIs, ProblemBody};

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

/// Longest time for one request, its body included.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Puts all layers around a router; the last one is the outermost.
pub(crate) fn layered(router: Router, limit: Duration) -> Router {
    router
        .layer(CatchPanicLayer::custom(envelope::on_panic))
        .layer(from_fn_with_state(limit, envelope::envelope))
        .layer(from_fn(measure::measure))
        .layer(CompressionLayer::new())
}
