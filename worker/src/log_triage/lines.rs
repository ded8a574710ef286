//! Reads a log line by line in bounded memory, whatever is in it.
//!
//! A line is cut at [`MAX_LINE_BYTES`]; the rest of it is skipped, not kept. Bytes that are no UTF-8 become
//! `U+FFFD`.

use std::io::{self, BufRead};

/// More of a line is not looked at.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// The lines of one log.
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

/// What was read of one line.
pub struct RawLine<'a> {
    /// Without its line break.
    pub bytes: &'a [u8],
    /// What it took in the file, line break and cut part included.
    pub length: u64,
    pub whole: Whole,
}

/// Whether a line was kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Yes,
    Cut,
}

impl<R: BufRead> Lines<R> {
    pub fn of(from: R) -> Self {
        Self { from, line: Vec::new() }
    }

    /// The next line, or `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let mut length = 0;
        let mut whole = Whole::Yes;
        loop {
            let buffer = match self.from.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                if length == 0 {
                    return Ok(None);
                }
                break;
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = MAX_LINE_BYTES - self.line.len();
            if part.len() > room {
                whole = Whole::Cut;
            }
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let taken = part.len() + usize::from(end.is_some());
            length += taken as u64;
            self.from.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(RawLine { bytes: &self.line, length, whole }))
    }
}

/// The line as text without terminal colours and other control sequences.
pub fn to_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => out.push('\t'),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// Skips what follows an escape character: `[ … letter`, or one character.
fn skip_escape(characters: &mut std::str::Chars<'_>) {
    if characters.next() == Some('[') {
        for character in characters.by_ref() {
            if ('\u{40}'..='\u{7e}').contains(&character) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], buffer: usize) -> Vec<(Vec<u8>, u64, Whole)> {
        let mut lines = Lines::of(io::BufReader::with_capacity(buffer, bytes));
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((line.bytes.to_vec(), line.length, line.whole));
        }
        out
    }

    #[test]
    fn keeps_short_lines_and_cuts_long_ones() {
        let long = [b"x".repeat(1024 * 1024), b"\r\nlast".to_vec()].concat();
        let lines = read(&[b"a\r\n\n".to_vec(), long].concat(), 4096);
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], (b"a".to_vec(), 3, Whole::Yes));
        assert_eq!(lines[1], (Vec::new(), 1, Whole::Yes));
        assert_eq!((lines[2].0.len(), lines[2].1, lines[2].2), (MAX_LINE_BYTES, 1024 * 1024 + 2, Whole::Cut));
        assert_eq!(lines[3], (b"last".to_vec(), 4, Whole::Yes));
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_from_the_count(bytes in proptest::collection::vec(any::<u8>(), 0..500), buffer in 1_usize..64) {
            let lengths: u64 = read(&bytes, buffer).iter().map(|line| line.1).sum();
            prop_assert_eq!(lengths, bytes.len() as u64);
        }
    }

    #[test]
    fn texts_are_plain() {
        assert_eq!(to_text(b"\x1b[31mERROR\x1b[0m a\tb\x07"), "ERROR a\tb ");
        assert_eq!(to_text(b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(to_text(b"\x1b["), "");
    }
}
