//! Cuts a message into words and replaces what varies: numbers, hex, UUIDs, addresses, times, paths, secrets.
//!
//! What is left is what the programmer wrote; that is what templates are made of. Everything is done in one
//! pass without regular expressions, because it is done for every line.

use std::net::Ipv6Addr;

use super::{reading::is_clock, signature};

/// Words of a message that are looked at; a longer one ends in [`REST`].
pub const MAX_WORDS: usize = 32;
/// Bytes of a masked word that are kept.
const MAX_WORD_BYTES: usize = 80;
/// Stands for the words beyond [`MAX_WORDS`].
const REST: &str = "…";

/// A message as masked words. Reused from line to line.
#[derive(Debug, Default)]
pub struct Masked {
    text: String,
    ends: Vec<usize>,
    hashes: Vec<WordHash>,
    shapes: Vec<WordHash>,
}

impl Masked {
    /// Masks another message.
    pub fn set(&mut self, message: &str) {
        self.clear();
        let mut secret = Secret::No;
        let mut words = message.split_whitespace();
        for word in words.by_ref().take(MAX_WORDS - 1) {
            let start = self.text.len();
            secret = mask_token(word, secret, &mut self.text);
            self.fold_lists(start);
            let start = self.ends.last().copied().unwrap_or(0);
            if self.text.len() - start > MAX_WORD_BYTES {
                self.text.truncate(self.text.floor_char_boundary(start + MAX_WORD_BYTES));
                self.text.push_str(REST);
            }
            self.end_word();
        }
        if words.next().is_some() {
            self.text.push_str(REST);
            self.end_word();
        }
    }

    /// Takes a message whose variable parts were masked before, as those of access logs are.
    pub fn set_masked(&mut self, message: &str) {
        self.clear();
        for word in message.split_whitespace().take(MAX_WORDS) {
            self.text.push_str(&word[..word.floor_char_boundary(MAX_WORD_BYTES.min(word.len()))]);
            self.end_word();
        }
    }

    /// The masked words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.ends.len()).map(|at| self.word(at))
    }

    /// The masked word in this place.
    pub fn word(&self, at: usize) -> &str {
        &self.text[at.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[at]]
    }

    /// The same, but of `key=value` only that of the key, and whichever mask is as good as another.
    pub fn shapes(&self) -> &[WordHash] {
        &self.shapes
    }

    /// A hash per word: equal words have equal ones, and words are compared by them.
    pub fn hashes(&self) -> &[WordHash] {
        &self.hashes
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.shapes.clear();
    }

    fn end_word(&mut self) {
        let start = self.ends.last().copied().unwrap_or(0);
        let word = &self.text[start..];
        let hash = signature::hash(word);
        self.hashes.push(hash);
        self.shapes.push(match key_of(word) {
            Some(key) => signature::hash(key).wrapping_add(1),
            None => signature::hash_of_shape(word),
        });
        self.ends.push(self.text.len());
    }

    /// A list of things that are masked alike is one thing, however long it is: `[<n>, <n>, <n>]` becomes `[<n>]`.
    fn fold_lists(&mut self, start: usize) {
        while let Some((from, to)) = repeated(&self.text[start..]) {
            self.text.replace_range(start + from..start + to, "");
        }
        let Some(before) = self.text[..start].strip_suffix(',') else { return };
        let Some(mask) = before.rfind('<').map(|at| &before[at..]).filter(|mask| mask.ends_with('>')) else {
            return;
        };
        if self.ends.is_empty() || !self.text[start..].starts_with(mask) {
            return;
        }
        // The word before goes on with what follows this mask.
        let (from, to) = (start - 1, start + mask.len());
        self.text.replace_range(from..to, "");
        self.ends.pop();
        self.hashes.pop();
        self.shapes.pop();
    }
}

/// Where in a word a mask and its comma are repeated by the same mask: `<n>,` in `<n>,<n>`.
fn repeated(word: &str) -> Option<(usize, usize)> {
    word.match_indices(">,<").find_map(|(at, _)| {
        let from = word[..at].rfind('<')?;
        let mask = &word[from..=at];
        word[at + 2..].starts_with(mask).then_some((from, at + 2))
    })
}

/// The key of `key=value`, where the value is no part of what the message says.
pub fn key_of(word: &str) -> Option<&str> {
    let (key, value) = word.split_once('=')?;
    let is_name = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    // A text of several words ends elsewhere.
    let is_whole = !value.is_empty() && value.bytes().filter(|byte| *byte == b'"').count() != 1;
    (is_name && is_whole && !TELLING_KEYS.contains(&key)).then_some(key)
}

/// Keys whose value is the message.
const TELLING_KEYS: [&str; 12] = [
    "msg",
    "message",
    "event",
    "error",
    "err",
    "reason",
    "cause",
    "level",
    "lvl",
    "severity",
    "op",
    "operation",
];

/// Stands for a word where words are compared often.
pub type WordHash = u64;

/// One segment of a URL's path, masked.
pub fn segment(segment: &str) -> String {
    let mut out = String::new();
    for (at, part) in segment.split('.').enumerate() {
        if at > 0 {
            out.push('.');
        }
        mask_word(part, &mut out);
    }
    out
}

/// Whether what comes next is a secret's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secret {
    No,
    Next,
}

/// Masks one word between blanks, piece by piece.
fn mask_token(token: &str, before: Secret, out: &mut String) -> Secret {
    if before == Secret::Next {
        // `Authorization: Bearer …`: the scheme is no secret, what follows is.
        if ["Bearer", "Basic", "Token", "Digest"].iter().any(|scheme| token.eq_ignore_ascii_case(scheme)) {
            out.push_str(token);
            return Secret::Next;
        }
        if is_answer(token) {
            out.push_str(token);
        } else {
            out.push_str("<secret>");
        }
        return Secret::No;
    }
    if token.eq_ignore_ascii_case("bearer") {
        out.push_str(token);
        return Secret::Next;
    }
    if let Some(at) = token.find("://") {
        let scheme = token[..at].bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        mask_pieces(&token[..at - scheme], out);
        out.push_str("<url>");
        let tail = token.len() - token.trim_end_matches(['"', '\'', ')', ']', ',', ';', '>', '.']).len();
        out.push_str(&token[token.len() - tail..]);
        return Secret::No;
    }
    mask_pieces(token, out)
}

/// `using password: YES` tells whether there was a secret, not which.
fn is_answer(token: &str) -> bool {
    let bare = token.trim_matches(['"', '\'', ')', ',', ';', '.']);
    ["yes", "no", "true", "false", "none", "null"].iter().any(|answer| bare.eq_ignore_ascii_case(answer))
}

/// Masks the pieces between delimiters, which stay.
fn mask_pieces(token: &str, out: &mut String) -> Secret {
    let mut secret = Secret::No;
    let mut rest = token;
    while !rest.is_empty() {
        let end = rest.find(is_delimiter).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        let delimiter = after.chars().next();
        if secret == Secret::Next && !piece.is_empty() {
            out.push_str("<secret>");
            secret = Secret::No;
        } else {
            secret = mask_piece(piece, delimiter, secret, out);
        }
        if let Some(delimiter) = delimiter {
            out.push(delimiter);
        }
        rest = &after[delimiter.map_or(0, char::len_utf8)..];
    }
    secret
}

fn is_delimiter(character: char) -> bool {
    matches!(
        character,
        '=' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | '<' | '>' | '|' | '`'
    )
}

/// Masks what has no delimiter but perhaps colons: an address, a time, or `key:value`.
fn mask_piece(piece: &str, delimiter: Option<char>, before: Secret, out: &mut String) -> Secret {
    if !piece.contains(':') {
        mask_word(piece, out);
        let names_secret = is_secret_name(piece) && delimiter == Some('=');
        return if names_secret || piece.is_empty() && before == Secret::Next {
            Secret::Next
        } else {
            Secret::No
        };
    }
    if let Some(mask) = address(piece).or_else(|| is_clock(piece).then_some("<time>")) {
        out.push_str(mask);
        return Secret::No;
    }
    let mut secret = before;
    for (at, part) in piece.split(':').enumerate() {
        if at > 0 {
            out.push(':');
        }
        if secret == Secret::Next && !part.is_empty() {
            out.push_str("<secret>");
            secret = Secret::No;
        } else {
            mask_word(part, out);
            secret = if is_secret_name(part) || part.is_empty() && secret == Secret::Next {
                Secret::Next
            } else {
                Secret::No
            };
        }
    }
    secret
}

/// Masks what has neither delimiters nor colons.
fn mask_word(word: &str, out: &mut String) {
    if let Some(mask) = whole(word) {
        out.push_str(mask);
        return;
    }
    if !word.bytes().any(|byte| byte.is_ascii_digit()) {
        out.push_str(word);
        return;
    }
    if let Some(mask) = quantity(word) {
        out.push_str(mask);
        return;
    }
    // A number with a letter keeps it; a name with digits keeps its letters.
    let mut in_number = false;
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        let goes_on = characters.peek().is_some_and(char::is_ascii_digit);
        let number = character.is_ascii_digit() || in_number && goes_on && matches!(character, '.' | ',');
        match (number, in_number) {
            (true, false) => out.push_str("<n>"),
            (true, true) => {}
            (false, _) => out.push(character),
        }
        in_number = number;
    }
}

/// Numbers with units of time or size: programs choose the unit by the amount, `980ms` and `1m2.5s`.
fn quantity(word: &str) -> Option<&'static str> {
    let mut rest = word;
    let mut masks = [false; 2];
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let after = &rest[number..];
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        if number == 0 || !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        match &after[..end] {
            "ns" | "us" | "µs" | "μs" | "ms" | "s" | "sec" | "m" | "min" | "h" | "d" => masks[0] = true,
            "B" | "kB" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" | "K" | "M" | "G"
            | "Ki" | "Mi" | "Gi" => masks[1] = true,
            _ => return None,
        }
        rest = &after[end..];
    }
    match masks {
        [true, false] => Some("<duration>"),
        [false, true] => Some("<size>"),
        [true, true] | [false, false] => None,
    }
}

/// The mask of a word that varies as a whole.
fn whole(word: &str) -> Option<&'static str> {
    let bytes = word.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if bytes.len() > 1 && (bytes[0] == b'/' || word.starts_with("./") || word.starts_with("~/"))
        || bytes.iter().filter(|&&byte| byte == b'/').count() >= 2 && !is_clock(word)
        || bytes.len() > 3 && bytes[1..].starts_with(b":\\")
    {
        return Some("<path>");
    }
    if let Some((name, domain)) = word.split_once('@')
        && !name.is_empty()
        && domain.contains('.')
    {
        return Some("<email>");
    }
    if digits == 0 {
        return None;
    }
    if digits == bytes.len() {
        return Some("<n>");
    }
    if is_uuid(bytes) {
        return Some("<uuid>");
    }
    if is_ipv4(word) {
        return Some("<ip>");
    }
    if is_clock(word) {
        return Some("<time>");
    }
    if is_hex(word, digits) {
        return Some("<hex>");
    }
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let opaque =
        bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/'));
    (bytes.len() >= 20 && digits >= 4 && letters >= 4 && opaque).then_some("<id>")
}

/// An address with a port, or an IPv6 or hardware address.
fn address(piece: &str) -> Option<&'static str> {
    let (host, port) = piece.rsplit_once(':')?;
    if is_ipv4(host) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("<ip>");
    }
    let hex = piece.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    if !hex || piece.len() < 3 {
        return None;
    }
    if piece.parse::<Ipv6Addr>().is_ok() {
        return Some("<ip>");
    }
    let pairs = piece.split(':').count() >= 6 && piece.split(':').all(|pair| pair.len() == 2);
    pairs.then_some("<hex>")
}

fn is_ipv4(word: &str) -> bool {
    let (address, bits) = word.split_once('/').unwrap_or((word, "0"));
    let mut parts = 0;
    for part in address.split('.') {
        parts += 1;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
    }
    parts == 4 && bits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_hex(word: &str, digits: usize) -> bool {
    let (stated, rest) = word.strip_prefix("0x").map_or((false, word), |rest| (true, rest));
    let hex = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && (stated || rest.len() >= 8 && digits >= 2)
}

/// Whether a word names something secret, as the key before `=` or `:`.
fn is_secret_name(word: &str) -> bool {
    const ENDS: [&str; 12] = [
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "api_key",
        "apikey",
        "api-key",
        "authorization",
        "access_key",
        "private_key",
        "cookie",
    ];
    let ends_with = |end: &&str| {
        word.len()
            .checked_sub(end.len())
            .and_then(|from| word.get(from..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    ENDS.iter().any(ends_with)
}

#[cfg(test)]
#[path = "mask_test.rs"]
mod tests;
