//! The LLM gateway: what workers reach language models through, in the way of OpenAI's API.
//!
//! Guarantees: only workers of open attempts of this installation are served; prompts and answers pass through and are
//! kept nowhere; every call that went to an endpoint leaves one row with counts, and counts that are our own estimate
//! say so; every wait and every buffer has a bound. Deliberately absent: caching, prompt rewriting, choosing a model.

#![expect(
    dead_code,
    unused_imports,
    reason = "the server that uses the pure parts comes in a commit of its own"
)]

mod budget;
mod config;
mod reach;
mod refusal;
mod request;
mod route;
mod usage;
