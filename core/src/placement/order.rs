//! The order of the line: priority, then the submitter that holds least, then age.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};

use super::problem::Problem;
use crate::ids::RunJobId;

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub priority: i32,
    /// Position in `Problem::classes`.
    pub class: usize,
    /// Position in the class's heads.
    pub head: usize,
    submitter: usize,
    held: u64,
}

/// Hands out turns, one at a time: after each, `served` or `passed` puts its submitter back in line.
pub(super) struct Line<'a> {
    /// Highest last.
    levels: Vec<Level<'a>>,
    held: BTreeMap<&'a str, u64>,
    current: Option<Open<'a>>,
}

struct Level<'a> {
    priority: i32,
    submitters: BTreeMap<&'a str, Vec<Waiting>>,
}

/// One waiting RunJob, ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    since: DateTime<Utc>,
    run_job: RunJobId,
    class: usize,
    head: usize,
}

/// The level that is being handed out.
struct Open<'a> {
    priority: i32,
    queues: Vec<(&'a str, VecDeque<Waiting>)>,
    /// (held, oldest waiting, submitter): the first one is next.
    next: BTreeSet<(u64, Waiting, usize)>,
}

impl<'a> Line<'a> {
    pub fn form(problem: &'a Problem) -> Self {
        let mut levels: BTreeMap<i32, BTreeMap<&'a str, Vec<Waiting>>> = BTreeMap::new();
        for (class_position, class) in problem.classes.iter().enumerate() {
            let waiting = class.heads.iter().enumerate().map(|(position, head)| Waiting {
                since: head.waiting_since,
                run_job: head.run_job,
                class: class_position,
                head: position,
            });
            let submitters = levels.entry(class.priority).or_default();
            submitters.entry(&class.submitter).or_default().extend(waiting);
        }
        Self {
            levels: levels.into_iter().map(|(priority, submitters)| Level { priority, submitters }).collect(),
            held: problem.held.iter().map(|(submitter, held)| (submitter.as_str(), *held)).collect(),
            current: None,
        }
    }

    /// The next turn; `None` when everyone had one.
    pub fn next_turn(&mut self) -> Option<Turn> {
        loop {
            if let Some(open) = &mut self.current
                && let Some((held, waiting, submitter)) = open.next.pop_first()
            {
                let Waiting { class, head, .. } = waiting;
                return Some(Turn { priority: open.priority, class, head, submitter, held });
            }
            let level = self.levels.pop()?;
            self.current = Some(self.open(level));
        }
    }

    /// It got a place.
    pub fn served(&mut self, turn: &Turn) {
        self.queue_again(turn, turn.held + 1);
    }

    /// It got none; the submitter's next RunJob may.
    pub fn passed(&mut self, turn: &Turn) {
        self.queue_again(turn, turn.held);
    }

    fn open(&self, level: Level<'a>) -> Open<'a> {
        let mut open = Open { priority: level.priority, queues: Vec::new(), next: BTreeSet::new() };
        for (submitter, mut waiting) in level.submitters {
            waiting.sort_unstable();
            let mut queue = VecDeque::from(waiting);
            if let Some(first) = queue.pop_front() {
                let held = self.held.get(submitter).copied().unwrap_or(0);
                open.next.insert((held, first, open.queues.len()));
            }
            open.queues.push((submitter, queue));
        }
        open
    }

    fn queue_again(&mut self, turn: &Turn, held: u64) {
        let Some(open) = &mut self.current else { return };
        let (submitter, queue) = &mut open.queues[turn.submitter];
        self.held.insert(submitter, held);
        if let Some(next) = queue.pop_front() {
            open.next.insert((held, next, turn.submitter));
        }
    }
}
