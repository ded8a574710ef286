//! A stream of server-sent events, read as it comes in.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::harness::{Api, request};

/// How long to wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that is open.
pub struct Following {
    body: Body,
    pub seen: String,
}

impl Following {
    /// Opens a stream as a viewer who would take it compressed.
    pub async fn open(api: &Api, path: &str, last_event: Option<&str>) -> Self {
        let mut headers = vec![("accept-encoding", "gzip")];
        headers.extend(last_event.map(|id| ("last-event-id", id)));
        let asked = request("GET", path, Some(&api.viewer), &headers, Body::empty());
        let response = api.router.clone().oneshot(asked).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"), "events are not held back");
        Self { body: response.into_body(), seen: String::new() }
    }

    /// Reads until the text was seen.
    pub async fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.more().await, "it ended without {text:?}: {}", self.seen);
        }
    }

    /// Reads to the end.
    pub async fn ends(&mut self) {
        while self.more().await {}
    }

    /// Reads a piece; `false` at the end.
    pub async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("nothing comes after {}", self.seen));
        let Some(frame) = frame else { return false };
        self.seen.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        true
    }

    /// Id and data of each event of this name.
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        events(&self.seen, name)
    }
}

/// Id and data of each event of this name.
pub fn events(text: &str, name: &str) -> Vec<(String, String)> {
    let field =
        |event: &str, name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let name = format!("event: {name}\n");
    let events =
        text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n") && event.contains(&name));
    events.map(|event| (field(event, "id: ").unwrap(), field(event, "data: ").unwrap())).collect()
}
