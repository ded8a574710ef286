//! `place`: one tick's decisions, one RunJob after the other, on books that shrink.
//!
//! Capacity only shrinks while a plan grows, so what did not fit once is not tried again for the same shape:
//! the cost is one search per placement and one diagnosis per shape. (When a starving RunJob gets the place that
//! was kept for it, the rest of that place opens for shapes not yet tried, and for the others with the next tick.)

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    ask::Ask,
    books::Books,
    diagnose::{self, Blocked, FallbackGate},
    keep,
    never::{self, Outlook},
    order::Line,
    plan::{
        ClassWaiting, FallbackKind, Grant, Missed, PickedCard, Placement, Plan, RefusedRunJob, Selection,
        fallback_kind,
    },
    problem::{Head, Problem, Request},
    reason::{Infeasible, WaitingReason},
    select::{self, Pick, Which},
};
use crate::{lifecycle::FailureKind, spec::GpuPolicy};

/// Decides on every head of the problem: a place, a refusal, or a reason to wait.
#[must_use]
pub fn place(problem: &Problem, now: DateTime<Utc>) -> Plan {
    let mut tick = Tick::open(problem, now);
    let mut line = Line::form(problem);
    let mut level = None;
    let mut plan = Plan::default();
    let mut reasons: Vec<Option<WaitingReason>> = vec![None; problem.classes.len()];
    let mut left: Vec<u64> = problem.classes.iter().map(waiting).collect();

    while let Some(turn) = line.next_turn() {
        if level != Some(turn.priority) {
            level = Some(turn.priority);
            keep::for_starving(&mut tick.books, problem, turn.priority, now);
        }
        let head = &problem.classes[turn.class].heads[turn.head];
        match tick.decide(turn.class, head) {
            Fate::Placed(placement) => {
                plan.placements.push(placement);
                left[turn.class] -= 1;
                line.served(&turn);
            }
            Fate::Refused(reason) => {
                let failure = FailureKind::Infeasible;
                plan.refused.push(RefusedRunJob { run_job: head.run_job, failure, reason });
                left[turn.class] -= 1;
                line.passed(&turn);
            }
            Fate::Waits(reason) => {
                reasons[turn.class].get_or_insert(reason);
                line.passed(&turn);
            }
        }
    }
    plan.waiting = left
        .into_iter()
        .zip(reasons)
        .enumerate()
        .filter(|(_, (waiting, _))| *waiting > 0)
        .map(|(class, (waiting, reason))| ClassWaiting {
            class,
            waiting,
            reason: reason.unwrap_or(WaitingReason::NextTick),
        })
        .collect();
    plan
}

/// How many of a class wait; never fewer than it lists.
fn waiting(class: &super::problem::Class) -> u64 {
    class.waiting.max(u64::try_from(class.heads.len()).unwrap_or(u64::MAX))
}

enum Fate {
    Placed(Placement),
    Refused(Infeasible),
    Waits(WaitingReason),
}

struct Tick<'a> {
    books: Books<'a>,
    now: DateTime<Utc>,
    /// One per shape key.
    shapes: Vec<Shape<'a>>,
    /// Of each class, which shape it has.
    shape_of: Vec<usize>,
}

/// What is known by now about requests of one shape.
struct Shape<'a> {
    request: &'a Request,
    outlook: Outlook,
    /// The named card does not fit.
    missed: Option<WaitingReason>,
    no_gpu: Option<Blocked>,
    no_cpu: Option<WaitingReason>,
}

impl<'a> Tick<'a> {
    fn open(problem: &'a Problem, now: DateTime<Utc>) -> Self {
        let books = Books::open(problem);
        let mut by_key = BTreeMap::new();
        let mut shapes = Vec::new();
        let mut shape_of = Vec::with_capacity(problem.classes.len());
        for class in &problem.classes {
            let request = &class.request;
            let position = *by_key.entry(request.shape_key()).or_insert(shapes.len());
            if position == shapes.len() {
                let outlook = never::outlook(&books, request);
                shapes.push(Shape { request, outlook, missed: None, no_gpu: None, no_cpu: None });
            }
            shape_of.push(position);
        }
        Self { books, now, shapes, shape_of }
    }

    fn decide(&mut self, class: usize, head: &Head) -> Fate {
        let shape = self.shape_of[class];
        let request = self.shapes[shape].request;
        if let Outlook::Never(reason) = &self.shapes[shape].outlook {
            return Fate::Refused(reason.clone());
        }
        match request.gpu.policy {
            GpuPolicy::None => self.on_cpu(shape, head, Selection::Cpu),
            GpuPolicy::Require => match self.on_gpu(shape, head) {
                Ok(placement) => Fate::Placed(placement),
                Err(blocked) => Fate::Waits(blocked.reason),
            },
            GpuPolicy::Prefer => match self.on_gpu(shape, head) {
                Ok(placement) => Fate::Placed(placement),
                Err(blocked) => self.prefer_cpu(shape, head, blocked),
            },
        }
    }

    fn prefer_cpu(&mut self, shape: usize, head: &Head, blocked: Blocked) -> Fate {
        let Blocked { reason, fallback } = blocked;
        let request = self.shapes[shape].request;
        let hopeless = self.shapes[shape].outlook == Outlook::CpuOnly;
        if never::is_strict(request)
            || (!hopeless && (fallback == FallbackGate::Held || self.now < head.prefer_expires))
        {
            return Fate::Waits(reason);
        }
        let waited = (self.now - head.waiting_since).num_seconds();
        let kind = if request.gpu.prefer_wait_seconds > 0 && !hopeless {
            FallbackKind::WaitExpired
        } else {
            fallback_kind(&reason)
        };
        let waited_seconds = u64::try_from(waited).unwrap_or(0);
        self.on_cpu(shape, head, Selection::CpuFallback { kind, because: reason, waited_seconds })
    }

    fn on_gpu(&mut self, shape: usize, head: &Head) -> Result<Placement, Blocked> {
        let request = self.shapes[shape].request;
        let ask = Ask::on_gpu(request);
        let strategy = self.books.options.strategy;
        let missed = match request.named_gpu() {
            None => None,
            Some((wanted, _)) => match self.named(shape, &ask) {
                Ok(pick) => return Ok(self.take(&ask, head, pick, |cards| Selection::Explicit { cards })),
                Err(reason) if never::is_strict(request) => {
                    return Err(Blocked { reason, fallback: FallbackGate::Held });
                }
                Err(why) => Some(Missed { wanted, why }),
            },
        };
        if let Some(blocked) = &self.shapes[shape].no_gpu {
            return Err(blocked.clone());
        }
        let Some(pick) = select::gpus(&self.books, &ask, Which::Any) else {
            let blocked = diagnose::gpu(&self.books, &ask, Which::Any);
            self.shapes[shape].no_gpu = Some(blocked.clone());
            return Err(blocked);
        };
        Ok(self.take(&ask, head, pick, |cards| match missed {
            None => Selection::Gpu { strategy, cards },
            Some(missed) => Selection::AfterMiss { missed, strategy, cards },
        }))
    }

    fn named(&mut self, shape: usize, ask: &Ask<'_>) -> Result<Pick, WaitingReason> {
        if let Some(missed) = &self.shapes[shape].missed {
            return Err(missed.clone());
        }
        select::gpus(&self.books, ask, Which::Named).ok_or_else(|| {
            let reason = diagnose::gpu(&self.books, ask, Which::Named).reason;
            self.shapes[shape].missed = Some(reason.clone());
            reason
        })
    }

    fn on_cpu(&mut self, shape: usize, head: &Head, selection: Selection) -> Fate {
        if let Some(reason) = &self.shapes[shape].no_cpu {
            return Fate::Waits(reason.clone());
        }
        let ask = Ask::on_cpu(self.shapes[shape].request);
        match select::cpu(&self.books, &ask) {
            Some(host) => {
                Fate::Placed(self.take(&ask, head, Pick { host, cards: Vec::new() }, |_| selection))
            }
            None => {
                let reason = diagnose::cpu(&self.books, &ask);
                self.shapes[shape].no_cpu = Some(reason.clone());
                Fate::Waits(reason)
            }
        }
    }

    /// Debits the place and writes it down.
    fn take(
        &mut self,
        ask: &Ask<'_>,
        head: &Head,
        pick: Pick,
        selection: impl FnOnce(Vec<PickedCard>) -> Selection,
    ) -> Placement {
        let Pick { host, cards } = pick;
        let book = &self.books.hosts[host];
        let grant = |card: &usize| {
            let gpu = book.cards[*card].gpu;
            Grant { gpu: gpu.uuid.clone(), reserved_mib: ask.need_mib(gpu) }
        };
        let picked = |card: &usize| {
            let card = &book.cards[*card];
            PickedCard {
                gpu: card.gpu.uuid.clone(),
                score: card.score,
                free_mib: card.free_mib,
                total_mib: card.gpu.total_mib,
                utilization_percent: card.utilization_percent,
            }
        };
        let placement = Placement {
            run_job: head.run_job,
            host: book.host.id,
            gpus: cards.iter().map(grant).collect(),
            selection: selection(cards.iter().map(picked).collect()),
        };
        self.books.take(host, &cards, ask);
        if self.books.kept.as_ref().is_some_and(|kept| kept.run_job == head.run_job) {
            self.books.kept = None;
        }
        placement
    }
}
