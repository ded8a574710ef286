//! `Text`: bytes of one segment on their way to become events, one per line.

use std::fmt::Write as _;

use bytes::Bytes;
use cyberbrain_core::ids::Fence;

use super::Position;

/// A longer line comes in several events.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// What was read of a segment and not sent yet.
#[derive(Debug)]
pub(super) struct Text {
    attempt: i32,
    fence: Fence,
    /// Where in the segment `pending` begins.
    sent: u64,
    pending: Vec<u8>,
}

impl Text {
    pub(super) fn new(attempt: i32, fence: Fence, offset: u64) -> Self {
        Self { attempt, fence, sent: offset, pending: Vec::new() }
    }

    /// Where the next bytes are to be read.
    pub(super) fn read_up_to(&self) -> u64 {
        self.sent + self.pending.len() as u64
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Events of all whole lines; `None` if there is none.
    pub(super) fn take_lines(&mut self) -> Option<Bytes> {
        let mut events = String::new();
        let mut taken = 0;
        while let Some((line, with_end)) = next_line(&self.pending[taken..]) {
            self.event(&mut events, taken, line, with_end);
            taken += with_end;
        }
        self.sent += taken as u64;
        self.pending.drain(..taken);
        (taken > 0).then(|| events.into())
    }

    /// An event of a last line that will not be completed.
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        if self.pending.is_empty() {
            return None;
        }
        let mut events = String::new();
        let rest = self.pending.len();
        self.event(&mut events, 0, rest, rest);
        self.sent += rest as u64;
        self.pending.clear();
        Some(events.into())
    }

    /// Writes the event of the line that begins at `start`; its id says where the next one begins.
    fn event(&self, events: &mut String, start: usize, line: usize, with_end: usize) {
        let offset = self.sent + (start + with_end) as u64;
        let id = Position { attempt: self.attempt, fence: self.fence, offset };
        // Writing to a String can't fail.
        let _ = write!(events, "id: {id}\nevent: log\n");
        // A carriage return would end the field.
        for part in String::from_utf8_lossy(&self.pending[start..start + line]).split('\r') {
            let _ = writeln!(events, "data: {part}");
        }
        events.push('\n');
    }
}

/// Length of the first line, without and with its end; `None` while it is not whole.
fn next_line(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.iter().take(MAX_LINE_BYTES + 1).position(|byte| *byte == b'\n') {
        Some(end) => Some((end, end + 1)),
        None if bytes.len() > MAX_LINE_BYTES => {
            // Not within a character, if it is text.
            let continues = |at: &usize| bytes[*at] & 0b1100_0000 == 0b1000_0000;
            let cut = (MAX_LINE_BYTES - 3..=MAX_LINE_BYTES).rev().find(|at| !continues(at));
            let cut = cut.unwrap_or(MAX_LINE_BYTES);
            Some((cut, cut))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: impl AsRef<[u8]>) -> Text {
        let mut text = Text::new(1, Fence(2), 100);
        text.push(bytes.as_ref());
        text
    }

    fn shown(events: Option<Bytes>) -> String {
        String::from_utf8(events.unwrap_or_default().to_vec()).unwrap()
    }

    #[test]
    fn each_whole_line_is_an_event_whose_id_is_where_the_next_begins() {
        let mut text = text("one\n\ntw");
        let events = "id: 1.2.104\nevent: log\ndata: one\n\nid: 1.2.105\nevent: log\ndata: \n\n";
        assert_eq!(shown(text.take_lines()), events);
        assert_eq!((text.take_lines(), text.read_up_to()), (None, 107));
        text.push(b"o\nthree");
        assert_eq!(shown(text.take_lines()), "id: 1.2.109\nevent: log\ndata: two\n\n");
        assert_eq!(shown(text.take_rest()), "id: 1.2.114\nevent: log\ndata: three\n\n");
        assert_eq!((text.take_rest(), text.read_up_to()), (None, 114));
    }

    #[test]
    fn nothing_in_a_line_makes_an_event_of_its_own() {
        let mut text = text(b"a\rdata: b\r\nid: 9.9.9\nx\xffy\n");
        let shown = shown(text.take_lines());
        let fields: Vec<&str> = shown.lines().collect();
        let expected = [
            "id: 1.2.111",
            "event: log",
            "data: a",
            "data: data: b",
            "data: ",
            "",
            "id: 1.2.121",
            "event: log",
            "data: id: 9.9.9",
            "",
            "id: 1.2.125",
            "event: log",
            "data: x\u{fffd}y",
            "",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn an_endless_line_comes_in_pieces_that_are_whole_characters() {
        let long = format!("x{}", "ü".repeat(MAX_LINE_BYTES));
        let mut text = text(&long);
        let mut put_together = String::new();
        while let Some(events) = text.take_lines().or_else(|| text.take_rest()) {
            for line in shown(Some(events)).lines().filter_map(|line| line.strip_prefix("data: ")) {
                assert!(line.len() <= MAX_LINE_BYTES);
                put_together.push_str(line);
            }
        }
        assert!(put_together == long, "{} of {} bytes", put_together.len(), long.len());
    }
}
