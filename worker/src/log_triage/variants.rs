//! Tells a variable from a message of its own, where messages differ in plain words only.
//!
//! `entered blocking state` and `entered forwarding state` are two messages; `user alice left` and `user bob left` are
//! one. No single line tells which; the whole log does: a variable takes ever more values, a state or a verb takes a
//! few again and again. So the messages of a template are counted apart by their plain words in the places that vary,
//! until a place has had more than [`FEW`] values. At the end few and frequent ones become templates of their own.
//!
//! A plain word has letters and perhaps a hyphen, and a mark before or behind it. What is quoted, has a digit or follows
//! `key=` is a variable at once. Bounded: [`MAX_VARIANTS`] per template; and [`Room`], which the tree sets.
//! Deliberately absent: knowledge of what words mean.

use super::mask::WordHash;

/// More different words in one place are the values of a variable.
const FEW: usize = 5;
/// Entries per variant, on average, below which nothing is known of how many more there are.
const FREQUENT: u64 = 8;
/// Variants counted apart at most; of too many, the place with the most values is the variable.
const MAX_VARIANTS: usize = 12;

/// What is counted apart while reading, numbered from 0 as it was found.
pub type GroupNumber = usize;

/// Whether another group may be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Left,
    None,
}

/// The messages of one template, by their plain words in the places that vary.
#[derive(Debug)]
pub struct Variants {
    /// Where the words stand, in the order in which they were found to vary.
    places: Vec<usize>,
    /// Never empty, and as found.
    seen: Vec<Variant>,
}

/// One of them.
#[derive(Debug)]
pub struct Variant {
    /// By the places.
    words: Vec<(WordHash, Box<str>)>,
    count: u64,
    /// All that were counted as it; the first is its own.
    pub groups: Vec<GroupNumber>,
}

impl Variants {
    /// Of a template with one message.
    pub fn of(group: GroupNumber) -> Self {
        Self { places: Vec::new(), seen: vec![Variant { words: Vec::new(), count: 1, groups: vec![group] }] }
    }

    /// A place where all messages so far had this word, and now one has another.
    pub fn vary(&mut self, place: usize, so_far: &str, hash: WordHash) {
        if is_plain(so_far) {
            self.places.push(place);
            self.seen.iter_mut().for_each(|variant| variant.words.push((hash, so_far.into())));
        }
    }

    /// In how many of the places a message has a word that was there before: as good as one that does not vary.
    pub fn agreeing(&self, message: &[WordHash]) -> usize {
        let is_known = |(at, place): (usize, &usize)| {
            self.seen.iter().any(|variant| variant.words[at].0 == message[*place])
        };
        self.places.iter().enumerate().filter(|&place| is_known(place)).count()
    }

    /// Counts a message. The group that it belongs to; `None` if that is `next`, the one to be begun.
    pub fn count<'a>(
        &mut self,
        word: impl Fn(usize) -> (WordHash, &'a str),
        next: GroupNumber,
        room: Room,
    ) -> Option<GroupNumber> {
        while let Some(at) = self.places.iter().position(|&place| !is_plain(word(place).1)) {
            self.open(at);
        }
        loop {
            let is_same = |variant: &&mut Variant| {
                self.places.iter().zip(&variant.words).all(|(&place, (hash, _))| word(place).0 == *hash)
            };
            if let Some(variant) = self.seen.iter_mut().find(is_same) {
                variant.count += 1;
                return variant.groups.first().copied();
            }
            let is_new = |at: usize| {
                let hash = word(self.places[at]).0;
                self.seen.iter().all(|variant| variant.words[at].0 != hash)
            };
            let too_many = (0..self.places.len()).find(|&at| is_new(at) && self.values(at) >= FEW);
            let is_full = self.seen.len() >= MAX_VARIANTS || room == Room::None;
            match too_many.or_else(|| self.most_varied().filter(|_| is_full)) {
                Some(at) => self.open(at),
                None => {
                    let words = self.places.iter().map(|&place| word(place));
                    let words = words.map(|(hash, word)| (hash, word.into())).collect();
                    self.seen.push(Variant { words, count: 1, groups: vec![next] });
                    return None;
                }
            }
        }
    }

    /// What is left when all is read: each variant with the places of its words. One without any is the whole template.
    pub fn settle(mut self) -> impl Iterator<Item = (Vec<(usize, Box<str>)>, Vec<GroupNumber>)> {
        let total: u64 = self.seen.iter().map(|variant| variant.count).sum();
        while self.seen.len() > FEW || total < FREQUENT * self.seen.len() as u64 {
            let Some(at) = self.most_varied() else { break };
            self.open(at);
        }
        let Self { places, seen } = self;
        seen.into_iter().map(move |Variant { words, groups, .. }| {
            let words = places.iter().copied().zip(words.into_iter().map(|(_, word)| word));
            (words.collect(), groups)
        })
    }

    /// Bytes of the words.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        let words = |variant: &Variant| variant.words.iter().map(|(_, word)| word.len() + 24).sum::<usize>();
        self.seen.iter().map(|variant| size_of::<Variant>() + words(variant)).sum()
    }

    /// Different words in a place.
    fn values(&self, at: usize) -> usize {
        let is_first = |(number, variant): &(usize, &Variant)| {
            self.seen[..*number].iter().all(|before| before.words[at].0 != variant.words[at].0)
        };
        self.seen.iter().enumerate().filter(is_first).count()
    }

    /// The place with the most values; of several the first.
    fn most_varied(&self) -> Option<usize> {
        (0..self.places.len()).rev().max_by_key(|&at| self.values(at))
    }

    /// Takes a place for that of a variable. Variants that only differed there are one.
    fn open(&mut self, at: usize) {
        self.places.remove(at);
        let mut kept: Vec<Variant> = Vec::with_capacity(self.seen.len());
        for mut variant in self.seen.drain(..) {
            variant.words.remove(at);
            match kept.iter_mut().find(|known| known.words == variant.words) {
                Some(known) => {
                    known.count += variant.count;
                    known.groups.append(&mut variant.groups);
                }
                None => kept.push(variant),
            }
        }
        self.seen = kept;
    }
}

/// Of letters, perhaps joined by hyphens or underscores. A mark may open or end a phrase here; what is enclosed as one word is a name.
fn is_plain(word: &str) -> bool {
    let opened = word.strip_prefix(['"', '\'', '(', '[']);
    let ended = word.strip_suffix(['.', ',', ';', ':', '!', '"', '\'', ')', ']']);
    let bare = match (opened, ended) {
        (Some(bare), None) | (None, Some(bare)) => bare,
        (None, None) => word,
        (Some(_), Some(_)) => return false,
    };
    let has_letters = |part: &str| !part.is_empty() && part.chars().all(char::is_alphabetic);
    bare.split(['-', '_']).all(has_letters) && !CALENDAR.contains(&bare)
}

/// Parts of a date that was written out.
const CALENDAR: [&str; 19] = [
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
    "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
#[path = "variants_test.rs"]
mod tests;
