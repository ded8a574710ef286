//! Joins templates when all is read, on evidence that no single line has.
//!
//! The tree parts messages by their first word and by their length. So a message that begins with a name
//! (`nginx invoked oom-killer`) or ends in free text (`could not send mail to <email>: mailbox full`) becomes as many
//! templates as there are names and reasons. Two rules join them, both only where there are many alike:
//! everything but the first word agrees; or a long lead-in up to a colon agrees, and only plain words follow.
//! `Starting` and `Stopping` of the same thing stay apart.

use std::collections::BTreeMap;

use super::{
    drain::{Class, Template, TemplateNumber},
    signature::WILDCARD,
};

/// So many first words are names, not verbs.
const NAMES: usize = 6;
/// Shorter messages have too little else to agree in.
const WORDS_WITH_NAME: usize = 4;
/// So many different endings are free text.
const ENDINGS: usize = 4;
/// A shorter lead-in may be no more than the name of what logs.
const LEAD_IN: usize = 6;
/// A longer ending is a message of its own.
const ENDING: usize = 6;

/// Joins templates in place; gives the new number of each.
pub fn settle(templates: &mut Vec<Template>) -> Vec<TemplateNumber> {
    let mut into: Vec<TemplateNumber> = (0..templates.len()).collect();
    for (at_least, join) in [(NAMES, without_name as Join), (ENDINGS, without_ending as Join)] {
        for members in groups(templates, join).into_values().filter(|members| members.len() >= at_least) {
            let first = members[0];
            let all = members.iter().filter_map(|&member| join(&templates[member].words));
            if let Some(words) = all.reduce(|one, other| common(&one, &other)) {
                templates[first].words = words;
                members.iter().for_each(|&member| into[member] = first);
            }
        }
    }
    compact(templates, &into)
}

/// The template that a message becomes when it is joined with others; `None` if the rule does not hold for it.
type Join = fn(&[Box<str>]) -> Option<Vec<Box<str>>>;
type Groups = BTreeMap<(Class, Vec<Box<str>>), Vec<TemplateNumber>>;

fn without_name(words: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let fixed = words.iter().skip(1).filter(|word| !word.contains('<')).count();
    let is_rest_telling = fixed >= 2;
    (words.len() >= WORDS_WITH_NAME && is_rest_telling).then(|| [&[WILDCARD.into()], &words[1..]].concat())
}

fn without_ending(words: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let end = words.iter().rposition(|word| word.len() > 1 && word.ends_with(':'))? + 1;
    let (lead_in, ending) = words.split_at(end);
    let is_plain = |word: &str| {
        // The whole reason may be quoted, and its first word stand where a secret might.
        let word = word.trim_end_matches(['"', '\'', ')', ']']);
        word == WILDCARD || word == "<secret>" || !word.contains(['<', '=', '"'])
    };
    let is_reason = end >= LEAD_IN && (1..=ENDING).contains(&ending.len());
    (is_reason && ending.iter().all(|word| is_plain(word))).then(|| [lead_in, &[WILDCARD.into()]].concat())
}

/// Templates that become the same, where a word with a variable part is as good as another one.
fn groups(templates: &[Template], join: Join) -> Groups {
    let mut groups = Groups::new();
    for (number, template) in templates.iter().enumerate() {
        if let Some(mut words) = join(&template.words) {
            words.iter_mut().filter(|word| word.contains('<')).for_each(|word| *word = WILDCARD.into());
            groups.entry((template.class, words)).or_default().push(number);
        }
    }
    groups
}

/// The words that two templates of the same length share.
fn common(one: &[Box<str>], other: &[Box<str>]) -> Vec<Box<str>> {
    one.iter().zip(other).map(|(a, b)| if a == b { a.clone() } else { WILDCARD.into() }).collect()
}

/// Takes out what was joined into another; gives the new numbers.
fn compact(templates: &mut Vec<Template>, into: &[TemplateNumber]) -> Vec<TemplateNumber> {
    // A template may be joined twice; the chain always leads to a smaller number, and ends.
    let root = |mut number: TemplateNumber| {
        while into[number] != number {
            number = into[number];
        }
        number
    };
    let mut numbers = vec![0; into.len()];
    let mut kept = 0;
    for number in 0..into.len() {
        if into[number] == number {
            numbers[number] = kept;
            kept += 1;
        } else {
            numbers[number] = numbers[root(number)];
        }
    }
    let mut at = 0;
    templates.retain(|_| {
        at += 1;
        into[at - 1] == at - 1
    });
    numbers
}

#[cfg(test)]
mod tests {
    use cyberbrain_core::outcome::Severity;

    use crate::log_triage::{
        drain::{Class, Drain},
        mask::Masked,
    };

    fn settled(messages: &[String]) -> (Vec<String>, Vec<usize>) {
        let mut drain = Drain::default();
        let class = Class { severity: Severity::Error, kind: None };
        let mut learn = |message: &String| {
            let mut masked = Masked::default();
            masked.set(message);
            drain.learn(class, &masked).unwrap()
        };
        let numbers: Vec<usize> = messages.iter().map(&mut learn).collect();
        let new = drain.settle();
        let texts = drain.templates().iter().map(|template| template.words.join(" ")).collect();
        (texts, numbers.into_iter().map(|number| new[number]).collect())
    }

    #[test]
    fn many_names_at_the_beginning_are_one_message() {
        let names = ["nginx", "java", "redis", "python", "node", "postgres", "ruby"];
        let messages = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{name} invoked the oom killer")).collect()
        };
        let (texts, numbers) = settled(&messages(&names));
        assert_eq!(texts, ["<*> invoked the oom killer"]);
        assert!(numbers.iter().all(|number| *number == 0));
        let (texts, numbers) = settled(&messages(&names[..3]));
        assert_eq!((texts.len(), numbers), (3, vec![0, 1, 2]), "a few may be verbs");
    }

    #[test]
    fn many_reasons_after_a_long_lead_in_are_one_message() {
        let reasons = ["full", "no such user here", "greylisted for now", "try it later please then"];
        let mails = |lead: &str| -> Vec<String> {
            reasons
                .iter()
                .map(|reason| format!("{lead}: {reason}"))
                .chain(["other thing".to_owned()])
                .collect()
        };
        let (texts, numbers) = settled(&mails("could not send the mail to a@b.example"));
        assert_eq!(texts, ["could not send the mail to <email>: <*>", "other thing"]);
        assert_eq!(numbers, [0, 0, 0, 0, 1]);
        let quoted: Vec<String> = reasons
            .iter()
            .map(|reason| {
                format!("lease gone: id=17 for node seven error=\"failed to revoke token: {reason}\"")
            })
            .collect();
        let (texts, _) = settled(&quoted);
        assert_eq!(texts, ["lease gone: id=<n> for node seven error=\"failed to revoke token: <*>"]);
        let (texts, _) = settled(&mails("the mailer"));
        assert_eq!(texts.len(), 5, "a short lead-in may be the name of a logger");
    }
}
