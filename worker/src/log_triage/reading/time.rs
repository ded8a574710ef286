//! Takes the time off the beginning of a line: the engine's own time of the line is what counts.

/// Most words that a time takes, e.g. `[Mon Jan 12 06:25:41.123 2026]`.
const MAX_WORDS: usize = 5;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The line without the time that it begins with; as it is, if it begins with none.
pub fn strip(line: &str) -> &str {
    if let Some(rest) = without_uptime(line) {
        return rest;
    }
    let mut rest = line;
    let mut clock_seen = false;
    for _ in 0..MAX_WORDS {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let bare = word.trim_matches(['[', ']', '(', ')', ',', ';']).trim_end_matches(':');
        let part = match kind(bare) {
            Some(kind) => kind,
            None => break,
        };
        let belongs = match part {
            Part::Clock => true,
            // A month's day, a year, a zone: only beside what is clearly a time.
            Part::Calendar => next_is_time(after),
            Part::Number => {
                clock_seen && bare.len() == 4 && word.ends_with(']') || next_is_time(after) && bare.len() <= 2
            }
            Part::Zone => clock_seen,
        };
        if !belongs {
            break;
        }
        clock_seen |= part == Part::Clock;
        rest = after.trim_start();
    }
    if clock_seen { rest } else { line }
}

/// `[ 8123.456789] text` of the kernel.
fn without_uptime(line: &str) -> Option<&str> {
    let (uptime, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (seconds, fraction) = uptime.trim_start().split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(seconds) && is_number(fraction)).then(|| rest.trim_start())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A date or a time of day, or both in one word.
    Clock,
    /// Name of a month or a day.
    Calendar,
    Number,
    Zone,
}

fn kind(word: &str) -> Option<Part> {
    if MONTHS.contains(&word) || DAYS.contains(&word) {
        return Some(Part::Calendar);
    }
    if matches!(word, "UTC" | "GMT" | "Z" | "CET" | "CEST" | "EST" | "PST") {
        return Some(Part::Zone);
    }
    if let Some(offset) = word.strip_prefix(['+', '-']) {
        let digits = offset.chars().filter(char::is_ascii_digit).count();
        return (digits == 4 && offset.len() <= 5).then_some(Part::Zone);
    }
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    is_clock(word)
        .then_some(Part::Clock)
        .or_else(|| word.chars().all(|c| c.is_ascii_digit()).then_some(Part::Number))
}

/// Whether a word is a date or a time of day: `2026-01-12T06:25:41Z`, `2026/01/12`, `06:25:41,123`,
/// `12/Jan/2026:06:25:41`.
pub fn is_clock(word: &str) -> bool {
    let mut marks = 0;
    let mut digits = 0;
    let mut letters = 0;
    for character in word.chars() {
        match character {
            '0'..='9' => digits += 1,
            '-' | '/' | ':' => marks += 1,
            '.' | ',' | '+' => {}
            'T' | 'Z' => {}
            'a'..='z' | 'A'..='Z' => letters += 1,
            _ => return false,
        }
    }
    let month = letters == 0 || letters == 3 && MONTHS.iter().any(|month| word.contains(month));
    // Three groups of digits that begin with one: `1:2:3` is a clock, `10.0.0.1:80` is not.
    digits >= 4 && marks >= 2 && month && word.matches('.').count() <= 1
}

fn next_is_time(rest: &str) -> bool {
    let word = rest.trim_start().split(' ').next().unwrap_or("");
    kind(word.trim_matches(['[', ']', '(', ')', ',', ';']).trim_end_matches(':')).is_some()
}
