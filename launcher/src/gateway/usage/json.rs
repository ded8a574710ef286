//! `JsonWatch`: one JSON document passing by, byte by byte.
//!
//! Finds the object `usage` at its top, whether `choices` is empty, and how many characters there are in strings that
//! hold text. Keeps at most 4 KiB, and 128 levels of nesting; beyond them it stops looking and finds nothing more.
//! Whether the document is well-formed is not its business.

use super::Usage;

/// Longest `usage` that is looked at. The longest seen has some 500 bytes.
const MAX_USAGE_BYTES: usize = 4_096;
/// Longest key that is told apart from others.
const MAX_KEY_BYTES: usize = 20;
/// Keys of strings that are text of a prompt or an answer.
const TEXT_KEYS: [&[u8]; 8] =
    [b"content", b"text", b"prompt", b"input", b"arguments", b"reasoning", b"reasoning_content", b"refusal"];

/// Watches one document.
#[derive(Debug, Default)]
pub(in super::super) struct JsonWatch {
    place: Place,
    /// One bit per level: 1 is an object, 0 an array.
    levels: u128,
    depth: u32,
    /// Whether a string that begins now is a key.
    key_next: bool,
    key: Key,
    string: Text,
    choices: Choices,
    capture: Option<Vec<u8>>,
    usage: Option<Usage>,
    characters: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    InString,
    /// After a backslash.
    Escaped,
    /// Inside `\uXXXX`, with this many digits to come.
    Digits(u8),
    /// Too deep: nothing more is looked at.
    Lost,
}

/// What the current string is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Text {
    Key,
    /// Its characters are counted.
    Counted,
    #[default]
    Other,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choices {
    #[default]
    Unseen,
    Empty,
    Filled,
}

/// The last key that was read; too long ones are no key that we know.
#[derive(Debug, Default, Clone, Copy)]
struct Key {
    bytes: [u8; MAX_KEY_BYTES],
    len: usize,
}

impl Key {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len += 1;
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl JsonWatch {
    /// Looks at the next piece.
    pub(in super::super) fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            self.step(*byte);
        }
    }

    /// What the endpoint said, if it did.
    pub(in super::super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Characters in strings that hold text.
    pub(in super::super) fn characters(&self) -> u64 {
        self.characters
    }

    /// Whether this is the last event of a stream, which says what was used and nothing else.
    pub(super) fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices == Choices::Empty
    }

    fn step(&mut self, byte: u8) {
        if let Some(capture) = &mut self.capture {
            capture.push(byte);
            if capture.len() > MAX_USAGE_BYTES {
                self.capture = None;
            }
        }
        match self.place {
            Place::Between => self.between(byte),
            Place::InString => self.in_string(byte),
            Place::Escaped => {
                self.place = if byte == b'u' { Place::Digits(4) } else { Place::InString };
            }
            Place::Digits(1) => self.place = Place::InString,
            Place::Digits(left) => self.place = Place::Digits(left - 1),
            Place::Lost => {}
        }
    }

    fn between(&mut self, byte: u8) {
        if self.depth == 2 && self.choices == Choices::Empty && self.key.get() == b"choices" {
            let nothing = byte.is_ascii_whitespace() || byte == b']';
            if !nothing {
                self.choices = Choices::Filled;
            }
        }
        match byte {
            b'"' => {
                self.string = if self.key_next {
                    self.key = Key::default();
                    Text::Key
                } else if TEXT_KEYS.contains(&self.key.get()) {
                    Text::Counted
                } else {
                    Text::Other
                };
                self.place = Place::InString;
            }
            b'{' => self.open(byte),
            b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b',' => self.key_next = self.in_object(),
            b':' => self.key_next = false,
            _ => {}
        }
    }

    fn in_string(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.place = Place::Between;
                return;
            }
            b'\\' => self.place = Place::Escaped,
            _ => {}
        }
        match self.string {
            Text::Key => self.key.push(byte),
            // Bytes that go on with a character are none of their own.
            Text::Counted => self.characters += u64::from(byte & 0xC0 != 0x80),
            Text::Other => {}
        }
    }

    fn open(&mut self, byte: u8) {
        let object = byte == b'{';
        if self.depth == 1 && self.in_object() && !self.key_next {
            match (self.key.get(), object) {
                (b"usage", true) => self.capture = Some(vec![byte]),
                (b"choices", false) => self.choices = Choices::Empty,
                _ => {}
            }
        }
        if self.depth == u128::BITS {
            self.place = Place::Lost;
            return;
        }
        self.levels = self.levels << 1 | u128::from(object);
        self.depth += 1;
        self.key_next = object;
    }

    fn close(&mut self) {
        self.levels >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.key_next = false;
        if self.depth == 1
            && let Some(capture) = self.capture.take()
        {
            // A later one replaces it: some endpoints count on in each event.
            self.usage = Usage::parse(&capture).or(self.usage);
        }
    }

    fn in_object(&self) -> bool {
        self.levels & 1 == 1
    }
}
