//! The LLM gateway in front of a stub that speaks OpenAI's API, on a real database.

mod failing;
mod forwarding;
mod limits;
pub mod stub;
mod tls;
mod world;
