//! Finds message templates in one pass, in the manner of Drain (He, Zhu, Zheng and Lyu, "Drain: An Online Log
//! Parsing Approach with Fixed Depth Tree", ICWS 2017).
//!
//! A tree of fixed depth leads from what an entry is (severity, kind) over its number of words and its first
//! word to a leaf with few templates. The entry joins the most similar one, whose differing words become
//! wildcards, if enough of its words agree; else it becomes a template of its own.
//!
//! Differences from the paper: messages come masked ([`super::mask`]); a leaf asks for more similarity while it
//! is small, so that short messages stay apart until there are many of them; of `key=value` the key alone decides
//! similarity, and one mask is like another; at the end a template whose wildcards took few words again and again is
//! taken apart ([`super::variants`]), and what differs in its first word or its last reason only is joined
//! ([`super::settle`]).
//!
//! Bounded: at most [`MAX_GRAVE`] templates of warnings and worse plus [`MAX_ORDINARY`] others, each of at most
//! [`MAX_WORDS`](super::mask::MAX_WORDS) words, and [`MAX_VARIANTS`] variants of the templates of each of both. What
//! comes when its table is full and fits nothing is told apart by `None`.

use std::collections::HashMap;

use cyberbrain_core::outcome::{FindingKind, Severity};

use super::{
    mask::{Masked, WordHash, key_of},
    settle,
    signature::{self, WILDCARD},
    variants::{GroupNumber, Room, Variants},
};

/// Most templates of warnings and worse: a flood of chatter can't crowd them out.
pub const MAX_GRAVE: usize = 1_000;
/// Most templates of everything else.
pub const MAX_ORDINARY: usize = 1_000;
/// Most groups beyond the first of each template, also those that turned out to be no messages of their own.
pub const MAX_VARIANTS: usize = 2_000;
/// Words that lead through the tree.
const PREFIX: usize = 1;
/// Branches per node; further words share the wildcard's.
const MAX_CHILDREN: usize = 64;
/// Templates in a leaf up to which the stricter similarity is asked for.
const SMALL_LEAF: usize = 16;
/// Templates in a leaf at most: what bounds the work per message.
const MAX_LEAF: usize = 128;
/// Parts of 10 of the words that must agree, in a small leaf and in a larger one.
const STRICT: usize = 7;
const LENIENT: usize = 5;

/// Stands for a wildcard; no word is known to have this hash, and one that has it is taken for variable.
const WILDCARD_HASH: WordHash = 0;

/// What divides templates from the outset: messages of different severity or kind never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class {
    pub severity: Severity,
    pub kind: Option<FindingKind>,
}

impl Class {
    const fn is_grave(self) -> bool {
        match self.severity {
            Severity::Fatal | Severity::Error | Severity::Warning => true,
            Severity::Info | Severity::Debug | Severity::Unstated => self.kind.is_some(),
        }
    }
}

/// One template.
#[derive(Debug)]
pub struct Template {
    pub class: Class,
    pub words: Vec<Box<str>>,
    /// Of the words, or [`WILDCARD_HASH`].
    hashes: Vec<WordHash>,
    /// The same, of `key=value` only the key: what similarity is judged by.
    shapes: Vec<WordHash>,
    variants: Variants,
}

/// Number of a template, counted from 0 as they were found.
pub type TemplateNumber = usize;

/// The parse tree and its templates.
#[derive(Debug, Default)]
pub struct Drain {
    templates: Vec<Template>,
    /// Begun so far.
    groups: usize,
    grave: Held,
    ordinary: Held,
    roots: HashMap<(Class, usize), Node>,
}

/// What there is of warnings and worse, or of the rest.
#[derive(Debug, Default)]
struct Held {
    templates: usize,
    variants: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    leaf: Vec<TemplateNumber>,
}

impl Drain {
    /// Finds or makes the group of a message; `None` if there is no room for a new template.
    pub fn learn(&mut self, class: Class, message: &Masked) -> Option<GroupNumber> {
        let words = message.words();
        if let Some(number) = self.find(class, message) {
            return Some(self.join(number, message));
        }
        let (held, most) = self.held(class);
        if held.templates >= most {
            return None;
        }
        let number = self.templates.len();
        let mut node = self.roots.entry((class, words.len())).or_default();
        for word in words.clone().take(PREFIX) {
            let known = node.children.contains_key(word);
            let word = if known || node.children.len() < MAX_CHILDREN { word } else { WILDCARD };
            node = node.children.entry(word.into()).or_default();
        }
        if node.leaf.len() >= MAX_LEAF {
            return None;
        }
        node.leaf.push(number);
        self.held(class).0.templates += 1;
        let group = self.groups;
        self.groups += 1;
        self.templates.push(Template {
            class,
            words: words.map(Into::into).collect(),
            hashes: message.hashes().to_vec(),
            shapes: message.shapes().to_vec(),
            variants: Variants::of(group),
        });
        Some(group)
    }

    /// Takes a message into a template, and tells its group.
    fn join(&mut self, number: TemplateNumber, message: &Masked) -> GroupNumber {
        let template = &mut self.templates[number];
        for (at, (hash, word)) in message.hashes().iter().zip(message.words()).enumerate() {
            if template.hashes[at] == *hash || template.hashes[at] == WILDCARD_HASH {
                continue;
            }
            if template.shapes[at] == message.shapes()[at] {
                if !template.words[at].contains(WILDCARD) {
                    // `key=value` with another value, or another mask in the same place.
                    let general = match key_of(word) {
                        Some(key) => format!("{key}={WILDCARD}"),
                        None => signature::shape(word),
                    };
                    template.words[at] = general.into();
                    template.hashes[at] = signature::hash(&template.words[at]);
                }
            } else {
                template.variants.vary(at, &template.words[at], template.hashes[at]);
                template.words[at] = WILDCARD.into();
                template.hashes[at] = WILDCARD_HASH;
                template.shapes[at] = WILDCARD_HASH;
            }
        }
        let class = template.class;
        let room = if self.held(class).0.variants < MAX_VARIANTS { Room::Left } else { Room::None };
        let word = |place| (message.hashes()[place], message.word(place));
        let known = self.templates[number].variants.count(word, self.groups, room);
        known.unwrap_or_else(|| {
            self.held(class).0.variants += 1;
            self.groups += 1;
            self.groups - 1
        })
    }

    /// What there is of this class, and how many templates there may be.
    const fn held(&mut self, class: Class) -> (&mut Held, usize) {
        if class.is_grave() { (&mut self.grave, MAX_GRAVE) } else { (&mut self.ordinary, MAX_ORDINARY) }
    }

    /// Takes templates apart ([`super::variants`]) and joins them ([`settle`]) by what only the whole log shows, and tells
    /// the template of every group: the first group of each comes before the first of the next. To be called once, when all
    /// is read: the tree is empty afterwards.
    pub fn settle(&mut self) -> Vec<TemplateNumber> {
        self.roots.clear();
        let mut parts: Vec<(Template, Vec<GroupNumber>)> = Vec::with_capacity(self.templates.len());
        for template in self.templates.drain(..) {
            let Template { class, words, hashes, shapes, variants } = template;
            for (own_words, groups) in variants.settle() {
                let mut words = words.clone();
                own_words.into_iter().for_each(|(place, word)| words[place] = word);
                let (hashes, shapes) = (hashes.clone(), shapes.clone());
                let variants = Variants::of(groups[0]);
                parts.push((Template { class, words, hashes, shapes, variants }, groups));
            }
        }
        parts.sort_by_key(|(_, groups)| groups[0]);
        let mut of_group = vec![0; self.groups];
        for (number, (template, groups)) in parts.into_iter().enumerate() {
            groups.into_iter().for_each(|group| of_group[group] = number);
            self.templates.push(template);
        }
        let joined = settle::settle(&mut self.templates);
        of_group.into_iter().map(|number| joined[number]).collect()
    }

    /// The templates, by number.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// Bytes that the templates hold, for tests of the bound: texts and their pointers, not the allocator's own.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        let words = |template: &Template| {
            let own = template.words.iter().map(|word| word.len() + size_of::<Box<str>>()).sum::<usize>();
            own + template.variants.held_bytes()
        };
        fn nodes(node: &Node) -> usize {
            let inner: usize = node.children.iter().map(|(word, child)| word.len() + nodes(child)).sum();
            size_of::<Node>() + node.leaf.len() * size_of::<TemplateNumber>() + inner
        }
        let templates: usize =
            self.templates.iter().map(|template| size_of::<Template>() + words(template)).sum();
        templates + self.roots.values().map(nodes).sum::<usize>()
    }

    fn find(&self, class: Class, message: &Masked) -> Option<TemplateNumber> {
        let words = message.words();
        let mut node = self.roots.get(&(class, words.len()))?;
        for word in words.clone().take(PREFIX) {
            node = node.children.get(word).or_else(|| node.children.get(WILDCARD))?;
        }
        let asked = if node.leaf.len() < SMALL_LEAF { STRICT } else { LENIENT };
        let is_enough = |agreeing: usize| agreeing * 10 >= asked * words.len();
        let plainly = |number: TemplateNumber| agreeing(&self.templates[number].shapes, message.shapes());
        // A word that came there before is as good as one that never varied, but no reason to leave a template without it.
        let with_known = |number: TemplateNumber| {
            plainly(number) + self.templates[number].variants.agreeing(message.hashes())
        };
        let most_similar = |agreeing: &dyn Fn(TemplateNumber) -> usize| {
            // Of equally similar ones the first found: `max_by_key` gives the last.
            let all = node.leaf.iter().rev().map(|&number| (agreeing(number), number));
            all.max_by_key(|(agreeing, _)| *agreeing).filter(|(agreeing, _)| is_enough(*agreeing))
        };
        let (_, number) = most_similar(&plainly).or_else(|| most_similar(&with_known))?;
        Some(number)
    }
}

/// How many words are the same. A plain loop: it runs for every template of a leaf and every message.
fn agreeing(template: &[WordHash], message: &[WordHash]) -> usize {
    let mut count = 0;
    let mut at = 0;
    while at < template.len() && at < message.len() {
        if template[at] == message[at] {
            count += 1;
        }
        at += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: Class = Class { severity: Severity::Info, kind: None };
    const ERROR: Class = Class { severity: Severity::Error, kind: None };

    fn learn(drain: &mut Drain, class: Class, message: &str) -> Option<TemplateNumber> {
        let mut masked = Masked::default();
        masked.set(message);
        drain.learn(class, &masked)
    }

    fn texts(drain: &Drain) -> Vec<String> {
        drain.templates().iter().map(|template| template.words.join(" ")).collect()
    }

    #[test]
    fn words_that_vary_become_wildcards() {
        let mut drain = Drain::default();
        for name in ["alice", "bob", "carol"] {
            learn(&mut drain, INFO, &format!("user {name} logged in from 10.0.0.7"));
            learn(&mut drain, INFO, &format!("cache {name} dropped after 17 ms"));
        }
        assert_eq!(texts(&drain), ["user <*> logged in from <ip>", "cache <*> dropped after <n> ms"]);
    }

    #[test]
    fn it_does_not_matter_which_mask_a_value_gets() {
        let mut drain = Drain::default();
        for asset in ["9f86d081884c7d65", "1234567812345678", "9f86d081884c7d66"] {
            learn(&mut drain, INFO, &format!("read ({asset})js in took={asset} time"));
        }
        assert_eq!(texts(&drain), ["read (<*>)js in took=<*> time"]);
    }

    #[test]
    fn a_word_that_was_there_before_agrees() {
        let mut drain = Drain::default();
        for state in ["blocking", "forwarding"] {
            learn(&mut drain, INFO, &format!("docker0: port veth8 entered {state} state"));
        }
        let known = "docker0: port vetha8b entered forwarding state";
        assert_eq!(learn(&mut drain, INFO, known), Some(1), "of the second group");
        learn(&mut drain, INFO, "docker0: port veth8c9 entered learning state");
        assert_eq!(drain.templates().len(), 2, "two words of six are strange");
    }

    #[test]
    fn severities_and_kinds_stay_apart() {
        let mut drain = Drain::default();
        let kinds = [INFO, ERROR, Class { kind: Some(FindingKind::Timeout), ..ERROR }];
        let numbers = kinds.map(|class| learn(&mut drain, class, "the same words"));
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn short_messages_merge_once_there_are_many() {
        let mut drain = Drain::default();
        for page in 0..SMALL_LEAF {
            let name: String = "abcdefghijklmnopqrstuvwxyz".chars().skip(page).take(5).collect();
            learn(&mut drain, INFO, &format!("HTTP/200 GET {name}"));
        }
        assert_eq!(drain.templates().len(), SMALL_LEAF);
        learn(&mut drain, INFO, "HTTP/200 GET another");
        assert_eq!(drain.templates().len(), SMALL_LEAF, "the leaf is large now and takes it in");
    }

    #[test]
    fn a_leaf_is_never_too_large_to_search() {
        let mut drain = Drain::default();
        let mut refused = 0;
        for n in 0..4 * MAX_LEAF {
            let word = |place: usize| -> String {
                let letter = |shift: usize| char::from(b'a' + (((n * (place * 31 + 7)) >> shift) as u8 % 26));
                [letter(0), letter(2), letter(4), letter(6), letter(8)].iter().collect()
            };
            let text = format!("start {} {} {} {}", word(1), word(2), word(3), word(4));
            refused += usize::from(learn(&mut drain, ERROR, &text).is_none());
        }
        assert_eq!(drain.templates().len(), MAX_LEAF);
        assert!(refused > 0);
    }

    #[test]
    fn a_flood_of_chatter_leaves_room_for_errors() {
        let mut drain = Drain::default();
        let word = |mut n: usize| {
            let mut out = String::new();
            for _ in 0..6 {
                out.push(char::from(b'a' + (n % 26) as u8));
                n /= 26;
            }
            out
        };
        let mut refused = 0;
        for n in 0..20_000_usize {
            let text: Vec<String> =
                (1..4 + n % 20).map(|place| word(n.wrapping_mul(2_654_435_761 * place))).collect();
            refused += usize::from(learn(&mut drain, INFO, &text.join(" ")).is_none());
        }
        assert!(refused > 0);
        assert_eq!(drain.templates().len(), MAX_ORDINARY);
        assert!(learn(&mut drain, ERROR, "something real broke").is_some());
        assert!(drain.held_bytes() < 2 << 20, "{} bytes", drain.held_bytes());
    }
}
