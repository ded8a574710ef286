use std::collections::{BTreeMap, BTreeSet};

use cyberbrain_core::outcome::Severity;
use proptest::prelude::*;

use super::*;
use crate::log_triage::{
    drain::{Class, Drain, MAX_VARIANTS as MAX_GROUPS},
    mask::Masked,
    signature::WILDCARD,
};

const CLASS: Class = Class { severity: Severity::Info, kind: None };

/// The templates after so many rounds of these messages, with how many of the lines each has.
fn settled(messages: &[String], rounds: usize) -> BTreeMap<String, usize> {
    let mut drain = Drain::default();
    let mut masked = Masked::default();
    let mut learn = |message: &String| {
        masked.set(message);
        drain.learn(CLASS, &masked).unwrap()
    };
    let groups: Vec<GroupNumber> =
        (0..rounds).flat_map(|_| messages.iter().map(&mut learn).collect::<Vec<_>>()).collect();
    let templates = drain.settle();
    let mut lines = BTreeMap::new();
    for group in groups {
        *lines.entry(drain.templates()[templates[group]].words.join(" ")).or_default() += 1;
    }
    lines
}

fn each(before: &str, words: &[&str], after: &str) -> Vec<String> {
    words.iter().map(|word| format!("{before}{word}{after}")).collect()
}

fn expected(texts: &[&str], lines: usize) -> BTreeMap<String, usize> {
    texts.iter().map(|text| ((*text).to_owned(), lines)).collect()
}

const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];

#[test]
fn few_words_again_and_again_are_messages_of_their_own() {
    for word in [("", ""), ("", "."), ("\"", ""), ("(", ""), ("", ")"), ("", ",")] {
        let (mark, end) = word;
        let messages = each(
            &format!("port 7 of the bridge entered {mark}"),
            &["blocking", "FAST_FORWARD", "half-open"],
            &format!("{end} state"),
        );
        let texts: Vec<String> = messages.iter().map(|message| message.replace('7', "<n>")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(settled(&messages, 8), expected(&texts, 8), "{word:?}");
    }
}

#[test]
fn many_words_in_one_place_are_a_variable() {
    let messages = each("the user ", &NAMES, " left the room");
    assert_eq!(settled(&messages, 20), expected(&["the user <*> left the room"], 160));
    // One more than few is enough, however often each comes.
    assert_eq!(settled(&messages[..FEW], 20).len(), FEW);
    assert_eq!(settled(&messages[..=FEW], 20).len(), 1);
}

#[test]
fn of_few_lines_nothing_is_concluded() {
    let messages = each("the port has entered ", &["blocking", "forwarding"], " state");
    assert_eq!(settled(&messages, 7), expected(&["the port has entered <*> state"], 14));
    assert_eq!(settled(&messages, 8).len(), 2);
}

/// As frequent as any state, and yet none.
#[test]
fn what_is_written_like_a_value_is_a_variable() {
    for (one, other) in [
        ("'up'", "'down'"),
        ("(up)", "(down)"),
        ("up-1", "down-1"),
        ("-up", "-down"),
        ("a.up", "a.down"),
        ("Jun", "Jul"),
        ("up", "down-2"),
        ("up", "<up>"),
    ] {
        let messages = each("the state of the link was ", &[one, other], " at that time");
        let lines = settled(&messages, 50);
        assert_eq!(lines, expected(&["the state of the link was <*> at that time"], 100), "{one} {other}");
    }
}

#[test]
fn a_state_beside_a_name_is_told_from_it() {
    let verbs = ["locked", "unlocked", "removed"];
    let text =
        |name: &str, verb: &str| format!("the account of user {name} has been {verb} by an admin today");
    let texts = verbs.map(|verb| text(WILDCARD, verb));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    // As few lines as are enough, in the order that makes most of them before a name is known to be one.
    let by_name = NAMES.iter().flat_map(|name| verbs.map(|verb| text(name, verb)));
    assert_eq!(settled(&by_name.collect::<Vec<_>>(), 1), expected(&texts, 8));
    let by_verb = verbs.iter().flat_map(|verb| NAMES.map(|name| text(name, verb)));
    assert_eq!(settled(&by_verb.collect::<Vec<_>>(), 1), expected(&texts, 8));
}

#[test]
fn words_that_vary_together_are_one_difference() {
    let messages: Vec<String> = ["claim of memory was refused", "lease of disk was granted"]
        .map(|ending| format!("instance 7 on host 3 at slot 9 in rack 2 said that a {ending}"))
        .into();
    assert_eq!(settled(&messages, 10).len(), 2);
}

#[test]
fn groups_are_bounded_whatever_the_log_says() {
    let mut drain = Drain::default();
    let mut masked = Masked::default();
    let letters = |mut n: usize| -> String {
        let mut out = String::new();
        for _ in 0..5 {
            out.push(char::from(b'a' + (n % 26) as u8));
            n /= 26;
        }
        out
    };
    let mut groups = BTreeSet::new();
    for kind in 0..900 {
        for word in 0..FEW {
            let head = format!("{} ", letters(kind / 20 * 7_919)).repeat(4 + kind % 20);
            masked.set(&format!("{head}is {}", letters(word)));
            groups.extend(drain.learn(CLASS, &masked));
        }
    }
    let templates = drain.templates().len();
    assert!(groups.len() > MAX_GROUPS, "the bound is reached: {}", groups.len());
    assert_eq!(groups.len(), templates + MAX_GROUPS);
}

proptest! {
    /// Whatever the messages: each fits the template that it is told to have, and templates are told in the order of
    /// their first groups.
    #[test]
    fn every_message_fits_its_template(
        messages in proptest::collection::vec(
            proptest::collection::vec(prop_oneof!["[a-c]{1,2}", "[xy]", "'[a-c]'", "k=[a-c]"], 4..7), 1..200
        )
    ) {
        let mut drain = Drain::default();
        let mut masked = Masked::default();
        let groups: Vec<GroupNumber> = messages.iter().map(|words| {
            masked.set(&words.join(" "));
            drain.learn(CLASS, &masked).unwrap()
        }).collect();
        let templates = drain.settle();
        let mut begun = 0;
        for &template in &templates {
            prop_assert!(template <= begun, "{templates:?}");
            begun = begun.max(template + 1);
        }
        prop_assert_eq!(begun, drain.templates().len());
        for (words, group) in messages.iter().zip(groups) {
            let template = &drain.templates()[templates[group]].words;
            prop_assert_eq!(words.len(), template.len());
            for (word, fixed) in words.iter().zip(template) {
                let fits = &**fixed == word || &**fixed == WILDCARD || &**fixed == "k=<*>" && word.starts_with("k=");
                prop_assert!(fits, "{} is no {}", words.join(" "), template.join(" "));
            }
        }
    }
}
