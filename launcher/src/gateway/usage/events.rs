//! `EventStream`: a stream of server-sent events passing by.
//!
//! Each event's data is watched as JSON. An event that only says what was used, which we asked for and the worker did
//! not, can be left out: many clients take the first choice of every event without looking. For that, the event that
//! is passing is held until it is complete, 64 KiB at most; a longer one passes as it comes.

use bytes::{Bytes, BytesMut};

use super::{Usage, json::JsonWatch};

const MAX_HELD_BYTES: usize = 64 * 1024;
const DATA: &[u8] = b"data:";
/// What the last event says.
const DONE: &[u8] = b"[DONE]";

/// What becomes of the event that only says what was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum UsageEvents {
    /// The worker asked for it.
    Pass,
    /// Only we did.
    Drop,
}

/// Watches one stream.
#[derive(Debug)]
pub(in super::super) struct EventStream {
    usage_events: UsageEvents,
    line: Line,
    event: JsonWatch,
    held: BytesMut,
    /// Whether part of the current event has been passed on already.
    passed: bool,
    usage: Option<Usage>,
    characters: u64,
    complete: bool,
}

/// Where in a line we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of it are like [`DATA`].
    Field(usize),
    /// In its data; so many bytes of that are like [`DONE`].
    Data(usize),
    Other,
}

impl EventStream {
    pub(in super::super) fn new(usage_events: UsageEvents) -> Self {
        Self {
            usage_events,
            line: Line::Field(0),
            event: JsonWatch::default(),
            held: BytesMut::new(),
            passed: false,
            usage: None,
            characters: 0,
            complete: false,
        }
    }

    /// Looks at the next piece, and says what is to be passed on now.
    pub(in super::super) fn push(&mut self, piece: Bytes) -> Bytes {
        match self.usage_events {
            UsageEvents::Pass => {
                for byte in &piece {
                    if self.step(*byte) {
                        self.end_event();
                    }
                }
                piece
            }
            UsageEvents::Drop => self.push_held(&piece),
        }
    }

    /// What is still held when the stream has ended.
    pub(in super::super) fn finish(&mut self) -> Bytes {
        self.end_event();
        self.held.split().freeze()
    }

    /// What the endpoint said last.
    pub(in super::super) fn usage(&self) -> Option<Usage> {
        self.event.usage().or(self.usage)
    }

    pub(in super::super) fn characters(&self) -> u64 {
        self.characters + self.event.characters()
    }

    /// Whether the stream has said that it is complete. Many clients go away then.
    pub(in super::super) fn is_complete(&self) -> bool {
        self.complete
    }

    fn push_held(&mut self, piece: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        let mut begin = 0;
        for (index, byte) in piece.iter().enumerate() {
            if !self.step(*byte) {
                continue;
            }
            let rest = &piece[begin..=index];
            begin = index + 1;
            if self.event.is_usage_only() && !self.passed {
                self.held.clear();
            } else {
                out.extend_from_slice(&self.held.split());
                out.extend_from_slice(rest);
            }
            self.passed = false;
            self.end_event();
        }
        self.held.extend_from_slice(&piece[begin..]);
        if self.held.len() > MAX_HELD_BYTES || self.passed && !self.held.is_empty() {
            self.passed = true;
            out.extend_from_slice(&self.held.split());
        }
        out.freeze()
    }

    /// Whether this byte ends an event: an empty line.
    fn step(&mut self, byte: u8) -> bool {
        match (self.line, byte) {
            (Line::Field(0), b'\n') => return true,
            (Line::Data(seen), b'\n') => {
                self.complete |= seen == DONE.len();
                self.line = Line::Field(0);
            }
            (Line::Field(_) | Line::Other, b'\n') => self.line = Line::Field(0),
            // Before a line feed; alone it is not used by anyone.
            (_, b'\r') => {}
            (Line::Field(seen), _) => {
                self.line = match DATA.get(seen) {
                    Some(expected) if *expected == byte && seen + 1 == DATA.len() => Line::Data(0),
                    Some(expected) if *expected == byte => Line::Field(seen + 1),
                    Some(_) | None => Line::Other,
                };
            }
            (Line::Data(seen), _) => {
                self.event.feed(&[byte]);
                self.line = Line::Data(match DONE.get(seen) {
                    Some(expected) if *expected == byte => seen + 1,
                    Some(_) if seen == 0 && byte == b' ' => 0,
                    Some(_) | None => DONE.len() + 1,
                });
            }
            (Line::Other, _) => {}
        }
        false
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        self.usage = event.usage().or(self.usage);
        self.characters += event.characters();
    }
}
