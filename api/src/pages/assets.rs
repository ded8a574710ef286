//! What pages load: a style sheet, a script and an icon, compiled in.

use axum::{
    http::{HeaderValue, header},
    response::IntoResponse,
};

const STYLE_SHEET: &str = include_str!("../../assets/app.css");
const SCRIPT: &str = include_str!("../../assets/app.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// `GET /assets/app.css`.
pub(crate) async fn style_sheet() -> impl IntoResponse {
    asset("text/css; charset=utf-8", STYLE_SHEET)
}

/// `GET /assets/app.js`.
pub(crate) async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /assets/icon.svg`.
pub(crate) async fn icon() -> impl IntoResponse {
    asset("image/svg+xml", ICON)
}

fn asset(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        // A new release is seen soon.
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, text)
}
