//! An open call, from its admission to its row; and the answer's body, watched as it passes.
//!
//! The row is put down when the call is dropped, whatever the reason: so a worker that goes away, a launcher that ends
//! and an answer that breaks all leave theirs. Each piece of an answer is passed on when it comes; none is gathered.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use cyberbrain_common::{
    db::llm_calls::{CallFailure, LlmCall},
    ids::fresh,
    metric,
};
use hyper::body::{Body, Frame, Incoming};
use metrics::{counter, gauge, histogram};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    Shared,
    attempts::Admitted,
    usage::{Counts, EventStream, JsonWatch, UsageEvents},
};

/// One call that was let in.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub shared: Arc<Shared>,
    pub admitted: Admitted,
    pub model: String,
    /// Where it went last, by place in the configuration; `None` until it went anywhere.
    pub endpoint: Option<usize>,
    pub prompt_characters: u64,
    begun: Instant,
    watch: Watch,
    end: Option<End>,
}

/// How it ended, once that is known.
#[derive(Debug, Clone, Copy)]
struct End(Option<CallFailure>);

/// What is looked at in the answer.
#[derive(Debug)]
pub(super) enum Watch {
    /// There is no answer that counts.
    Nothing,
    Whole(JsonWatch),
    Events(Box<EventStream>),
    /// An answer that can't be read: its tokens are estimated from the prompt alone.
    Opaque,
}

impl Watch {
    pub(super) fn events(usage_events: UsageEvents) -> Self {
        Self::Events(Box::new(EventStream::new(usage_events)))
    }

    fn push(&mut self, piece: Bytes) -> Bytes {
        match self {
            Self::Nothing | Self::Opaque => piece,
            Self::Whole(watch) => {
                watch.feed(&piece);
                piece
            }
            Self::Events(stream) => stream.push(piece),
        }
    }

    fn finish(&mut self) -> Bytes {
        match self {
            Self::Nothing | Self::Opaque | Self::Whole(_) => Bytes::new(),
            Self::Events(stream) => stream.finish(),
        }
    }

    /// Whether the answer has said that it is complete.
    fn is_complete(&self) -> bool {
        match self {
            Self::Nothing | Self::Opaque | Self::Whole(_) => false,
            Self::Events(stream) => stream.is_complete(),
        }
    }

    fn counts(&self, prompt_characters: u64) -> Counts {
        match self {
            Self::Nothing => Counts::default(),
            Self::Whole(watch) => Counts::of(watch.usage(), prompt_characters, watch.characters()),
            Self::Events(stream) => Counts::of(stream.usage(), prompt_characters, stream.characters()),
            Self::Opaque => Counts::of(None, prompt_characters, 0),
        }
    }
}

impl OpenCall {
    pub(super) fn begin(
        shared: Arc<Shared>,
        admitted: Admitted,
        model: String,
        prompt_characters: u64,
    ) -> Self {
        gauge!(metric::LLM_CALLS_OPEN).increment(1);
        Self {
            shared,
            admitted,
            model,
            endpoint: None,
            prompt_characters,
            begun: Instant::now(),
            watch: Watch::Nothing,
            end: None,
        }
    }

    /// The head of an answer has come, and its body is looked at so.
    pub(super) fn answered(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// The first end counts.
    pub(super) fn end(&mut self, failure: Option<CallFailure>) {
        self.end.get_or_insert(End(failure));
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        gauge!(metric::LLM_CALLS_OPEN).decrement(1);
        let Some(endpoint) = self.endpoint.and_then(|index| self.shared.endpoints.list.get(index)) else {
            return;
        };
        let failure = match self.end {
            Some(End(failure)) => failure,
            None if self.watch.is_complete() => None,
            None if self.admitted.entry().ended.is_cancelled() => Some(CallFailure::AttemptEnded),
            None => Some(CallFailure::WorkerGone),
        };
        let counts = self.watch.counts(self.prompt_characters);
        let took = self.begun.elapsed();
        self.admitted.used(counts.total);
        let (endpoint, model) = (endpoint.name.clone(), std::mem::take(&mut self.model));
        let outcome = failure.map_or("success", CallFailure::as_str);
        let labels = [("endpoint", endpoint.clone()), ("model", model.clone())];
        counter!(metric::LLM_CALLS, "endpoint" => endpoint.clone(), "model" => model.clone(), "outcome" => outcome)
            .increment(1);
        for (kind, tokens) in [("prompt", counts.prompt), ("completion", counts.completion)] {
            counter!(
                metric::LLM_TOKENS, "endpoint" => endpoint.clone(), "model" => model.clone(), "kind" => kind,
                "counted_by" => if counts.estimated { "estimate" } else { "endpoint" }
            )
            .increment(tokens.into());
        }
        histogram!(metric::LLM_CALL_DURATION, &labels).record(took.as_secs_f64());
        let entry = self.admitted.entry();
        self.shared.ledger.put(LlmCall {
            id: fresh(),
            run_job: entry.run_job,
            attempt: entry.attempt,
            endpoint,
            model,
            prompt_tokens: counts.prompt,
            completion_tokens: counts.completion,
            total_tokens: counts.total,
            estimated: counts.estimated,
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            failure,
        });
    }
}

/// An endpoint's answer on its way to a worker.
#[derive(Debug)]
pub(super) struct Metered {
    upstream: Incoming,
    /// Dropped, and so put on record, before the worker learns of the answer's end.
    call: Option<OpenCall>,
    /// What the answer's status says of the call, if all of it comes.
    verdict: Option<CallFailure>,
    idle: Pin<Box<Sleep>>,
    idle_limit: Duration,
    /// Whether we wait for the endpoint, and the timer runs. While the worker does not read, it does not.
    waiting: bool,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Metered {
    pub(super) fn new(upstream: Incoming, call: OpenCall, verdict: Option<CallFailure>) -> Self {
        let idle_limit = call.shared.endpoints.timeouts.idle;
        let ended = Box::pin(call.admitted.entry().ended.clone().cancelled_owned());
        let idle = Box::pin(sleep_until(Instant::now() + idle_limit));
        Self { upstream, call: Some(call), verdict, idle, idle_limit, waiting: false, ended }
    }

    fn fail(&mut self, failure: CallFailure) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(mut call) = self.call.take() {
            call.end(Some(failure));
        }
        // The worker's connection breaks, so that it does not take what it has for all there is.
        Poll::Ready(Some(Err(io::Error::other(failure.as_str()))))
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            let Some(call) = &mut this.call else { return Poll::Ready(None) };
            match Pin::new(&mut this.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.waiting = false;
                    // Trailers say nothing that a worker needs.
                    let Ok(piece) = frame.into_data() else { continue };
                    let passed = call.watch.push(piece);
                    if !passed.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(passed))));
                    }
                }
                Poll::Ready(Some(Err(_))) => return this.fail(CallFailure::Broken),
                Poll::Ready(None) => {
                    let rest = call.watch.finish();
                    call.end(this.verdict);
                    this.call = None;
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
                }
                Poll::Pending => {
                    if this.ended.as_mut().poll(cx).is_ready() {
                        return this.fail(CallFailure::AttemptEnded);
                    }
                    if !this.waiting {
                        this.waiting = true;
                        this.idle.as_mut().reset(Instant::now() + this.idle_limit);
                    }
                    ready!(this.idle.as_mut().poll(cx));
                    return this.fail(CallFailure::IdleTimeout);
                }
            }
        }
    }
}
