//! What is wrong with a request, and where.

use serde::Serialize;

/// The most problems that one answer lists.
pub const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into the request.
    pub pointer: String,
    /// What is wrong there and what to do about it, in one sentence.
    pub detail: String,
}

/// A longer pointer stops at an ancestor of the place.
const MAX_POINTER_BYTES: usize = 512;

/// A place in a request. Text is made of it only when something is wrong there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pointer<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl<'a> Pointer<'a> {
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// RFC 6901.
    pub(super) fn render(&self) -> String {
        let mut steps = Vec::new();
        let mut place = self;
        loop {
            match place {
                Self::Root => break,
                Self::Key(parent, key) => {
                    steps.push(key.replace('~', "~0").replace('/', "~1"));
                    place = parent;
                }
                Self::Index(parent, index) => {
                    steps.push(index.to_string());
                    place = parent;
                }
            }
        }
        let mut text = String::new();
        for step in steps.iter().rev() {
            if text.len() + step.len() >= MAX_POINTER_BYTES {
                break;
            }
            text.push('/');
            text.push_str(step);
        }
        text
    }
}

/// Gathers problems, up to [`MAX_PROBLEMS`].
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, pointer: &Pointer<'_>, detail: impl Into<String>) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem { pointer: pointer.render(), detail: detail.into() });
        }
    }

    /// Whether more would be dropped anyway.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_PROBLEMS
    }

    /// To be called when something was noted.
    pub(super) fn into_error(self) -> super::Error {
        super::Error::Invalid(self.into_list())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// To be called when something was noted.
    pub(crate) fn into_list(self) -> Vec<Problem> {
        self.0
    }

    /// What was noted, if anything was.
    pub(crate) fn finish(self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }

    /// `value` if nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, super::Error> {
        if self.0.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }
}
