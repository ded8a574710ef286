//! HTTP metrics: by route pattern, never by path, so that no id becomes a label.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use cyberbrain_common::metric;

/// Counts and times a request. One whose client went away counts with the status `aborted`.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut taken = Taken { method: method(request.method()), route, since: Instant::now(), status: None };
    metrics::gauge!(metric::HTTP_IN_FLIGHT).increment(1.0);
    let response = next.run(request).await;
    taken.status = Some(response.status().as_u16());
    response
}

/// A request between its arrival and its answer, or its end without one.
struct Taken {
    method: &'static str,
    route: Option<MatchedPath>,
    since: Instant,
    status: Option<u16>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
        let status = self.status.map_or_else(|| "aborted".to_owned(), |status| status.to_string());
        metrics::gauge!(metric::HTTP_IN_FLIGHT).decrement(1.0);
        metrics::histogram!(metric::HTTP_DURATION, "method" => self.method, "route" => route.clone())
            .record(self.since.elapsed());
        metrics::counter!(metric::HTTP_REQUESTS, "method" => self.method, "route" => route, "status" => status)
            .increment(1);
    }
}

/// A closed list: clients may invent methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
