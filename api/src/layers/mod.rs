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
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate as _},
    },
};

/// Longest time until an answer begins, reading the request's body included. Files that are sent to us are exempt, and
/// what an answer streams is not counted: their handlers bound each pause instead.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Puts all layers around a router; the last one is the outermost.
pub(crate) fn layered(router: Router, limit: Duration) -> Router {
    // Not event streams, which would come late, and not files: their parts are counted in bytes.
    let worth_compressing =
        DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream"));
    router
        .layer(CatchPanicLayer::custom(envelope::on_panic))
        .layer(from_fn_with_state(limit, envelope::envelope))
        .layer(from_fn(measure::measure))
        .layer(CompressionLayer::new().compress_when(worth_compressing))
}
