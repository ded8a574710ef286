//! Markdown that stays what it is meant to be, whatever the texts inside say.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// A text as an inline code span; safe inside a table cell too.
pub fn code(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let flat = flat.trim().replace('|', "\\|");
    if flat.is_empty() {
        return "–".to_owned();
    }
    let fence = "`".repeat(longest_run(&flat, '`') + 1);
    if flat.starts_with('`') || flat.ends_with('`') {
        format!("{fence} {flat} {fence}")
    } else {
        format!("{fence}{flat}{fence}")
    }
}

/// Lines as a fenced block of plain text.
pub fn block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// A text as running text: nothing in it is markup.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '!' | '|'
            | '~' | '&' => {
                out.push('\\');
                out.push(character);
            }
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// A table. Cells are put in as they are: escape them before.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let mut row = |cells: &mut dyn Iterator<Item = &str>| {
        out.push('|');
        for cell in cells {
            let _ = write!(out, " {cell} |");
        }
        out.push('\n');
    };
    row(&mut columns.iter().map(|column| column.title));
    row(&mut columns.iter().map(|column| match column.align {
        Align::Left => ":--",
        Align::Right => "--:",
    }));
    for cells in rows {
        row(&mut cells.iter().map(String::as_str));
    }
    out
}

/// One column of a [`table`].
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub align: Align,
}

#[derive(Debug, Clone, Copy)]
pub enum Align {
    Left,
    Right,
}

/// A column of texts.
pub const fn left(title: &'static str) -> Column {
    Column { title, align: Align::Left }
}

/// A column of numbers.
pub const fn right(title: &'static str) -> Column {
    Column { title, align: Align::Right }
}

/// A whole number with its thousands set apart: `12,345`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// [`number`] with its noun: `1 line`, `2 lines`.
pub fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// A size in the unit that reads best.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration in its two largest units: `2 h 5 min`, `40 s`.
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) if rest == 0 => format!("{minutes} min"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

/// A point in time, to the second.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Two points in time, without saying twice what they share.
pub fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let second = |at: DateTime<Utc>| at.timestamp();
    if second(from) == second(to) {
        time(from)
    } else if from.date_naive() == to.date_naive() {
        format!("{} – {}", from.format("%Y-%m-%d %H:%M:%S"), to.format("%H:%M:%S UTC"))
    } else {
        format!("{} – {}", from.format("%Y-%m-%d %H:%M:%S"), time(to))
    }
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_can_not_be_left() {
        assert_eq!(code("plain"), "`plain`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code("a|b\nc"), "`a\\|b c`");
        assert_eq!(code(""), "–");
        assert_eq!(block("a\n```\nb"), "````text\na\n```\nb\n````\n");
        assert_eq!(plain("<b>*x*</b>"), "\\<b\\>\\*x\\*\\</b\\>");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1_023, 1_024, 1_048_575, 5 << 30].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 GiB"]
        );
        assert_eq!(
            [0, 59, 60, 61, 3_600, 3_661, 90_000].map(duration),
            ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!(counted(1, "line", "lines"), "1 line");
    }

    #[test]
    fn spans_do_not_say_it_twice() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let from = at("2026-01-01T10:00:00.2Z");
        assert_eq!(span(from, at("2026-01-01T10:00:00.9Z")), "2026-01-01 10:00:00 UTC");
        assert_eq!(span(from, at("2026-01-01T11:00:00Z")), "2026-01-01 10:00:00 – 11:00:00 UTC");
        assert_eq!(span(from, at("2026-01-02T11:00:00Z")), "2026-01-01 10:00:00 – 2026-01-02 11:00:00 UTC");
    }
}
