//! Desired against actual: what a launcher does about the containers of its engine and the attempts of its host.
//!
//! Pure. The shell lists the engine first and reads the rows afterwards, so that a container which is in the list
//! has a row that is at least as new; the other way round a container just made would look like a stray.
//! Guarantees: what somebody drives is left alone; every attempt that nobody drives is taken up once; nothing of an
//! open attempt is removed but an older owner's container that never ran; a place is given back only when the
//! engine was asked after the attempt had ended. Deliberately absent: names, engines, clocks.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ids::{AttemptId, Fence},
    lifecycle::AttemptState,
};

/// How long a container of ours that no row knows is left alone.
pub const QUARANTINE: Duration = Duration::from_secs(600);

/// A container that carries our instance's label. `N` is what its engine calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container<N> {
    pub name: N,
    pub subject: Subject,
    pub phase: Phase,
    /// For how long this launcher has seen it.
    pub seen_for: Duration,
}

/// What a container's labels and name say it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// It works for this attempt; the fence is in its name, unless somebody renamed it.
    Attempt { id: AttemptId, fence: Option<Fence> },
    /// It serves a launcher itself.
    Helper,
    /// Its labels are not all there.
    Unreadable,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Never started.
    Created,
    /// Its process lives, or nobody can say that it does not.
    Live,
    /// It was started and has ended.
    Ended,
}

/// An attempt of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub state: AttemptState,
    pub fence: Fence,
    pub owner: Owner,
    pub place: Place,
}

/// Who drives an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No launcher has it.
    Nobody,
    /// This launcher, and it knows.
    Driven,
    /// This launcher by the row, but nothing here drives it: a commit whose answer was lost.
    Forgotten,
    /// Another launcher of this host.
    Sibling,
}

/// Whether an ended attempt still holds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is open, or it may have ended after the engine was listed.
    Held,
    /// It had ended before the engine was listed.
    HeldAfterEnd,
    /// CPU, memory and GPUs were given back.
    Released,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<N> {
    /// Take up an attempt that nobody drives.
    Adopt { attempt: AttemptId },
    /// Take up an attempt whose container ended while nobody watched, and store its outcome.
    Finish { attempt: AttemptId },
    /// Stop it if it runs, and remove it.
    Remove { container: N, attempt: Option<AttemptId>, why: Removal },
    /// The attempt has ended and the engine has nothing of it: give its place back.
    Release { attempt: AttemptId },
    /// Leave it alone, and alert.
    Quarantine { container: N },
}

/// Why a container is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Its attempt has ended.
    AttemptEnded,
    /// An earlier owner made it and never started it; the attempt's owner has another one.
    Leftover,
    /// Nothing has known it for [`QUARANTINE`].
    Stray,
}

/// What to do about this engine. Rows of other hosts among `attempts` are fine: they protect their containers.
pub fn reconcile<N: Clone>(containers: &[Container<N>], attempts: &[Attempt]) -> Vec<Action<N>> {
    let rows: BTreeMap<AttemptId, &Attempt> = attempts.iter().map(|row| (row.id, row)).collect();
    let mut found: BTreeMap<AttemptId, Vec<&Container<N>>> = BTreeMap::new();
    let mut actions = Vec::new();
    for container in containers {
        match container.subject {
            Subject::Attempt { id, .. } if rows.contains_key(&id) => {
                found.entry(id).or_default().push(container);
            }
            Subject::Attempt { id, .. } => actions.push(stray(container, Some(id))),
            Subject::Helper => actions.extend(helper(container)),
            Subject::Unreadable => actions.push(Action::Quarantine { container: container.name.clone() }),
        }
    }
    for row in rows.values() {
        let containers = found.get(&row.id).map_or(&[][..], Vec::as_slice);
        match row.state {
            AttemptState::Offered => {}
            AttemptState::Accepted
            | AttemptState::Starting
            | AttemptState::Running
            | AttemptState::Stopping => {
                open(row, containers, &mut actions);
            }
            AttemptState::Done | AttemptState::Lost => ended(row, containers, &mut actions),
        }
    }
    actions
}

fn stray<N: Clone>(container: &Container<N>, attempt: Option<AttemptId>) -> Action<N> {
    let name = container.name.clone();
    if container.seen_for < QUARANTINE {
        Action::Quarantine { container: name }
    } else {
        Action::Remove { container: name, attempt, why: Removal::Stray }
    }
}

/// A helper lives for seconds; one that is still there belongs to a launcher that died.
fn helper<N: Clone>(container: &Container<N>) -> Option<Action<N>> {
    let old = container.seen_for >= QUARANTINE;
    old.then(|| Action::Remove { container: container.name.clone(), attempt: None, why: Removal::Stray })
}

fn open<N: Clone>(row: &Attempt, containers: &[&Container<N>], actions: &mut Vec<Action<N>>) {
    match row.owner {
        Owner::Nobody | Owner::Forgotten => {
            // The one that ran tells most; a leftover that never ran may be beside it.
            let furthest = containers.iter().map(|container| container.phase).max();
            actions.push(match furthest {
                Some(Phase::Ended) => Action::Finish { attempt: row.id },
                Some(Phase::Created | Phase::Live) | None => Action::Adopt { attempt: row.id },
            });
        }
        Owner::Driven | Owner::Sibling => {
            let fence_of = |container: &Container<N>| match container.subject {
                Subject::Attempt { fence, .. } => fence,
                Subject::Helper | Subject::Unreadable => None,
            };
            // Until the owner has a container under its own name, an older one is about to be renamed.
            if !containers.iter().any(|container| fence_of(container) == Some(row.fence)) {
                return;
            }
            let leftovers = containers.iter().filter(|container| {
                container.phase == Phase::Created
                    && fence_of(container).is_some_and(|fence| fence < row.fence)
            });
            actions.extend(leftovers.map(|container| Action::Remove {
                container: container.name.clone(),
                attempt: Some(row.id),
                why: Removal::Leftover,
            }));
        }
    }
}

fn ended<N: Clone>(row: &Attempt, containers: &[&Container<N>], actions: &mut Vec<Action<N>>) {
    match row.owner {
        // Whoever stored the outcome is about to remove.
        Owner::Driven => {}
        Owner::Nobody | Owner::Forgotten | Owner::Sibling => {
            actions.extend(containers.iter().map(|container| Action::Remove {
                container: container.name.clone(),
                attempt: Some(row.id),
                why: Removal::AttemptEnded,
            }));
            match row.place {
                Place::HeldAfterEnd if containers.is_empty() => {
                    actions.push(Action::Release { attempt: row.id });
                }
                Place::HeldAfterEnd | Place::Held | Place::Released => {}
            }
        }
    }
}
