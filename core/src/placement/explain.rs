//! `explain`: for one waiting RunJob, what every place has against it and how many are before it.
//!
//! Computed when somebody asks, on the books as they are before a tick. A place without an obstacle would be
//! taken now if it were this RunJob's turn.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{
    ask::Ask,
    books::Books,
    keep, never,
    order::Line,
    problem::Problem,
    reason::{Obstacle, Place},
};
use crate::{ids::RunJobId, spec::GpuPolicy};

/// Why one RunJob waits, in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// RunJobs before it: all of higher priorities, and those of its own that have their turn earlier. At
    /// least; the problem lists only the oldest of each class.
    pub ahead: u64,
    /// Every card that it may use (if it wants one) and every host (if it takes a CPU place).
    pub candidates: Vec<Candidate>,
}

/// One place and what is in the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub place: Place,
    /// Name of its host.
    pub host: String,
    /// `None`: it fits now.
    pub obstacle: Option<Obstacle>,
}

/// Explains one of the problem's heads; `None` if it is not among them.
#[must_use]
pub fn explain(problem: &Problem, run_job: RunJobId, now: DateTime<Utc>) -> Option<Explanation> {
    let class =
        problem.classes.iter().find(|class| class.heads.iter().any(|head| head.run_job == run_job))?;
    let request = &class.request;
    let mut books = Books::open(problem);
    let levels: BTreeSet<i32> = problem.classes.iter().map(|class| class.priority).collect();
    for level in levels.into_iter().rev().take_while(|level| *level >= class.priority) {
        keep::for_starving(&mut books, problem, level, now);
    }
    let mut candidates = Vec::new();
    match request.gpu.policy {
        GpuPolicy::None => on_hosts(&books, &Ask::on_cpu(request), &mut candidates),
        GpuPolicy::Require => on_cards(&books, &Ask::on_gpu(request), &mut candidates),
        GpuPolicy::Prefer => {
            on_cards(&books, &Ask::on_gpu(request), &mut candidates);
            if !never::is_strict(request) {
                on_hosts(&books, &Ask::on_cpu(request), &mut candidates);
            }
        }
    }
    Some(Explanation { ahead: ahead(problem, run_job, class.priority), candidates })
}

fn on_cards(books: &Books<'_>, ask: &Ask<'_>, candidates: &mut Vec<Candidate>) {
    let strict = never::is_strict(ask.request);
    for (position, book) in books.hosts.iter().enumerate().filter(|(_, book)| ask.may_use(book.host)) {
        let view = books.view(position, ask);
        for (card, entry) in book.cards.iter().enumerate() {
            if !strict || ask.names(book.host, entry.gpu) {
                candidates.push(Candidate {
                    place: Place::Gpu(entry.gpu.uuid.clone()),
                    host: book.host.name.clone(),
                    obstacle: books.card_obstacle(position, card, &view, ask),
                });
            }
        }
    }
}

fn on_hosts(books: &Books<'_>, ask: &Ask<'_>, candidates: &mut Vec<Candidate>) {
    for (position, book) in books.hosts.iter().enumerate().filter(|(_, book)| ask.may_use(book.host)) {
        candidates.push(Candidate {
            place: Place::Host(book.host.name.clone()),
            host: book.host.name.clone(),
            obstacle: books.view(position, ask).obstacle(),
        });
    }
}

/// The line as it would go if everybody were served.
fn ahead(problem: &Problem, run_job: RunJobId, priority: i32) -> u64 {
    let unlisted: u64 = problem
        .classes
        .iter()
        .filter(|class| class.priority > priority)
        .map(|class| class.waiting.saturating_sub(u64::try_from(class.heads.len()).unwrap_or(u64::MAX)))
        .sum();
    let mut ahead = unlisted;
    let mut line = Line::form(problem);
    while let Some(turn) = line.next_turn() {
        if problem.classes[turn.class].heads[turn.head].run_job == run_job {
            break;
        }
        ahead += 1;
        line.served(&turn);
    }
    ahead
}
