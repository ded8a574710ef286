//! Counting tokens of an answer that passes by: pure, in bounded memory, whatever the pieces are.
//!
//! What the endpoint says about itself counts. Where it says nothing, characters are counted instead – four make a
//! token – and the count is marked as an estimate. Text is looked at byte by byte and never kept.

mod events;
mod json;

use serde::Deserialize;

pub(super) use events::{EventStream, UsageEvents};
pub(super) use json::JsonWatch;

/// Characters that make a token, roughly, in English.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// What an endpoint said it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    prompt: u32,
    completion: u32,
    total: u32,
}

/// What goes on record for a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub prompt: u32,
    pub completion: u32,
    pub total: u32,
    /// Whether they are ours.
    pub estimated: bool,
}

#[derive(Deserialize)]
struct UsageText {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    total_tokens: Option<u32>,
}

impl Usage {
    /// From the JSON of a `usage` object; `None` if it does not say enough or can't be true.
    fn parse(json: &[u8]) -> Option<Self> {
        let UsageText { prompt_tokens, completion_tokens, total_tokens } =
            serde_json::from_slice(json).ok()?;
        let prompt = prompt_tokens?;
        // Embeddings have no completion.
        let completion = completion_tokens.unwrap_or(0);
        let sum = prompt.checked_add(completion)?;
        let total = total_tokens.unwrap_or(sum);
        // The database's integers are signed.
        let fits = total >= sum && total <= i32::MAX.unsigned_abs();
        fits.then_some(Self { prompt, completion, total })
    }
}

impl Counts {
    /// The endpoint's own counts, else an estimate from the characters on both ways.
    pub(super) fn of(usage: Option<Usage>, prompt_characters: u64, answer_characters: u64) -> Self {
        match usage {
            Some(Usage { prompt, completion, total }) => Self { prompt, completion, total, estimated: false },
            None => {
                let tokens = |characters: u64| {
                    let half = u64::from(i32::MAX.unsigned_abs() / 2);
                    u32::try_from(characters.div_ceil(CHARACTERS_PER_TOKEN).min(half)).unwrap_or(u32::MAX)
                };
                let (prompt, completion) = (tokens(prompt_characters), tokens(answer_characters));
                Self { prompt, completion, total: prompt + completion, estimated: true }
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
