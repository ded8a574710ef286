//! `probe`: one GET, for health checks in images that have no curl.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::Uri;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use crate::exit::Ending;

const LIMIT: Duration = Duration::from_secs(5);
/// What is shown of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Options of `probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to ask, e.g. http://127.0.0.1:9595/readyz
    url: Uri,
}

/// Success if the answer is 2xx; its body goes to standard output.
pub async fn run(args: Args) -> anyhow::Result<Ending> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let exchange = async {
        let answer = client.get(args.url.clone()).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        anyhow::Ok((status, body.map(Collected::to_bytes).unwrap_or_default()))
    };
    let (status, body) = tokio::time::timeout(LIMIT, exchange)
        .await
        .with_context(|| format!("{}: no answer in {} s", args.url, LIMIT.as_secs()))?
        .with_context(|| format!("{} can't be reached", args.url))?;
    println!("{}", String::from_utf8_lossy(&body).trim_end());
    Ok(if status.is_success() { Ending::Success } else { Ending::Negative })
}
