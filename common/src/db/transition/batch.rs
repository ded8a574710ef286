//! Gathers what the lifecycle decides for a batch: the rows to be, their audit and their measurements.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::RunJobId,
    lifecycle::{
        AttemptChange, AttemptState, AttemptView, CancelState, Change, Event, FailureKind, RunJobStatus,
        Verdict, attempt_deadline, next, queue_deadline,
    },
};
use uuid::Uuid;

use super::{
    Applied, Place, PlaceKind, Step, StepError,
    read::Row,
    write::{self, AttemptInsert, AttemptUpdate, LeaseInsert, Owner, RunJobUpdate},
};
use crate::{
    db::{
        Conn, Error,
        audit::{self, Entry},
        sentence,
    },
    metric,
};

/// Everything that one transaction writes.
#[derive(Default)]
pub(super) struct Batch {
    run_jobs: HashMap<RunJobId, RunJobUpdate>,
    attempt_updates: Vec<AttemptUpdate>,
    attempt_inserts: Vec<AttemptInsert>,
    leases: Vec<LeaseInsert>,
    audit: Vec<Entry>,
    ended_runs: Vec<Uuid>,
    measurements: Vec<Measurement>,
}

enum Measurement {
    Waited(f64),
    Retried(FailureKind),
    Ended { outcome: RunJobStatus, failure: Option<FailureKind>, ran: Option<f64> },
}

/// Asks the lifecycle about one step and notes in `batch` what is to be written.
pub(super) fn decide(
    rows: &mut HashMap<RunJobId, Row>,
    step: &Step,
    actor: &Actor,
    batch: &mut Batch,
) -> Result<Applied, StepError> {
    let row = rows.get_mut(&step.run_job).ok_or(StepError::Unknown)?;
    let change = next(&row.snapshot, step.event, row.now).map_err(StepError::Refused)?;
    batch.note(row, step, &change, actor);
    row.apply(step, &change);
    Ok(Applied {
        run: row.run,
        run_job: step.run_job,
        status: change.run_job,
        attempt: row.attempt.zip(row.snapshot.attempt).map(|(id, view)| (id, view.state, view.fence)),
        verdict: change.verdict,
        at: row.now,
    })
}

impl Row {
    /// Keeps the locked picture true for further steps on the same RunJob in one batch.
    fn apply(&mut self, step: &Step, change: &Change) {
        let job = &mut self.snapshot.run_job;
        job.status = change.run_job;
        job.spent = change.spent;
        if matches!(change.verdict, Verdict::CancelNoted) {
            job.cancel = CancelState::Requested;
        }
        match change.attempt {
            AttemptChange::Keep => {}
            AttemptChange::Open { number, fence } => {
                job.attempts = number;
                self.attempt = step.facts.place.as_ref().map(|place| place.attempt);
                self.snapshot.attempt = Some(AttemptView { number, state: AttemptState::Offered, fence });
            }
            AttemptChange::Move { state, fence } => {
                if let Some(attempt) = &mut self.snapshot.attempt {
                    attempt.state = state;
                    attempt.fence = fence;
                }
            }
        }
    }
}

impl Batch {
    fn note(&mut self, row: &Row, step: &Step, change: &Change, actor: &Actor) {
        self.note_attempt(row, step, change);
        self.note_run_job(row, step, change);
        self.note_audit(row, step, change, actor);
        self.note_measurements(row, change);
    }

    fn note_attempt(&mut self, row: &Row, step: &Step, change: &Change) {
        match change.attempt {
            AttemptChange::Keep => {}
            AttemptChange::Open { number, fence } => {
                let place = placed(step);
                self.attempt_inserts.push(AttemptInsert {
                    id: place.attempt,
                    run_job_id: step.run_job,
                    run_id: row.run,
                    number: number.cast_signed(),
                    fence,
                    host_id: place.host.uuid(),
                    cpu_millis: row.spec.resources.cpu_millis,
                    memory_mib: row.spec.resources.memory_mib,
                    selection_reason: sentence::reason(&place.reason),
                    placement: place.kind,
                    deadline_at: attempt_deadline(AttemptState::Offered, row.spec.timeouts, row.now),
                });
                self.leases.extend(place.gpus.iter().map(|(gpu, reserved_mib)| LeaseInsert {
                    attempt_id: place.attempt,
                    gpu_uuid: gpu.as_str().to_owned(),
                    reserved_mib: *reserved_mib,
                }));
            }
            AttemptChange::Move { state, fence } => {
                let Some(id) = row.attempt else { return };
                let was_offered =
                    row.snapshot.attempt.is_some_and(|attempt| attempt.state == AttemptState::Offered);
                let facts = &step.facts;
                self.attempt_updates.push(AttemptUpdate {
                    id,
                    state,
                    fence,
                    owner: owner_change(step.event),
                    launcher_id: facts.launcher.map(Into::into),
                    boot_id: facts.boot_id.clone(),
                    image_id: facts.image_id.clone(),
                    container_id: facts.container_id.clone(),
                    stop_reason: if let Event::Stop { reason, .. } = step.event {
                        Some(reason.as_str())
                    } else {
                        None
                    },
                    exit_code: facts.exit_code,
                    failure: failure_of(change.verdict),
                    failure_detail: facts.detail.as_deref().map(sentence::detail),
                    deadline_at: attempt_deadline(state, row.spec.timeouts, row.now),
                    // Nobody has taken an offer, so there is no container that could still hold anything.
                    release: was_offered && !state.is_open(),
                    at: row.now,
                });
            }
        }
    }

    fn note_run_job(&mut self, row: &Row, step: &Step, change: &Change) {
        let attempts = match change.attempt {
            AttemptChange::Open { number, .. } => number,
            AttemptChange::Keep | AttemptChange::Move { .. } => row.snapshot.run_job.attempts,
        };
        let attempt_state = match change.attempt {
            AttemptChange::Open { .. } => Some(AttemptState::Offered),
            AttemptChange::Move { state, .. } => Some(state),
            AttemptChange::Keep => row.snapshot.attempt.map(|attempt| attempt.state),
        };
        let deadline_at = match change.run_job {
            RunJobStatus::Pending => Some(queue_deadline(row.spec.timeouts, row.now)),
            RunJobStatus::Assigned | RunJobStatus::Running => {
                attempt_state.and_then(|state| attempt_deadline(state, row.spec.timeouts, row.now))
            }
            RunJobStatus::Success | RunJobStatus::Failed | RunJobStatus::Cancelled => None,
        };
        let not_before = match change.verdict {
            Verdict::Requeued { not_before, .. } => Some(not_before),
            Verdict::Open | Verdict::CancelNoted | Verdict::Ended { .. } => None,
        };
        let place = step.facts.place.as_ref();
        let update = RunJobUpdate {
            id: step.run_job,
            status: change.run_job,
            attempts: attempts.cast_signed(),
            user_failures: change.spent.user.cast_signed(),
            infra_failures: change.spent.infrastructure.cast_signed(),
            not_before,
            deadline_at,
            host_id: place.map(|place| place.host.uuid()),
            selection_reason: place.map(|place| sentence::reason(&place.reason)),
            failure: failure_of(change.verdict),
            failure_detail: step.facts.detail.as_deref().map(sentence::detail),
            result: step.facts.result.clone(),
            cancel: matches!(step.event, Event::Cancel),
            at: row.now,
        };
        self.run_jobs.insert(step.run_job, update);
        if change.run_job.is_terminal() {
            self.ended_runs.push(row.run.uuid());
        }
    }

    fn note_audit(&mut self, row: &Row, step: &Step, change: &Change, actor: &Actor) {
        let base = |operation| {
            let mut entry = Entry::new(operation, actor).run(row.run).run_job(step.run_job);
            let attempt = step.facts.place.as_ref().map(|place| place.attempt).or(row.attempt);
            if let Some(attempt) = attempt {
                entry = entry.attempt(attempt);
            }
            if let Some(host) = &row.host {
                entry = entry.host(host.clone());
            }
            if let Some(container) = step.facts.container_id.as_ref().or(row.container.as_ref()) {
                entry = entry.container(container.clone());
            }
            entry.image(row.spec.image.to_string())
        };
        let with_failure = |entry: Entry| match failure_of(change.verdict) {
            None => entry,
            Some(failure) => match &step.facts.detail {
                None => entry.failed(failure.as_str()),
                Some(detail) => entry.failed(format!("{failure}: {detail}")),
            },
        };
        match &step.facts.place {
            None => self.audit.push(with_failure(base(change.operation))),
            Some(place) => {
                let gpus: Vec<String> = place.gpus.iter().map(|(gpu, _)| gpu.as_str().to_owned()).collect();
                let placed = |operation| base(operation).reason(&place.reason).gpus(gpus.clone());
                self.audit.push(placed(change.operation).config(requested(row)));
                if place.kind == PlaceKind::CpuFallback {
                    self.audit.push(placed(Operation::Fallback));
                }
            }
        }
        match change.verdict {
            Verdict::Requeued { .. } => self.audit.push(with_failure(base(Operation::Retry))),
            Verdict::Ended { .. } if change.operation != Operation::Finish => {
                self.audit.push(with_failure(base(Operation::Finish)));
            }
            Verdict::Ended { .. } | Verdict::Open | Verdict::CancelNoted => {}
        }
    }

    fn note_measurements(&mut self, row: &Row, change: &Change) {
        let seconds = |from: DateTime<Utc>| (row.now - from).as_seconds_f64().max(0.0);
        if let AttemptChange::Open { .. } = change.attempt {
            self.measurements.push(Measurement::Waited(seconds(row.waiting_since)));
        }
        match change.verdict {
            Verdict::Open | Verdict::CancelNoted => {}
            Verdict::Requeued { failure, .. } => self.measurements.push(Measurement::Retried(failure)),
            Verdict::Ended { failure } => self.measurements.push(Measurement::Ended {
                outcome: change.run_job,
                failure,
                ran: row.started_at.map(seconds),
            }),
        }
    }

    pub(super) async fn flush(self, connection: &mut Conn) -> Result<(), Error> {
        // Attempts close before others open: at most one per RunJob is open at any instant.
        write::update_attempts(connection, &self.attempt_updates).await?;
        write::insert_attempts(connection, &self.attempt_inserts, &self.leases).await?;
        let run_jobs: Vec<RunJobUpdate> = self.run_jobs.into_values().collect();
        write::update_run_jobs(connection, &run_jobs).await?;
        audit::write_all(connection, &self.audit).await?;
        write::push_closes(connection, &self.ended_runs).await?;
        for measurement in self.measurements {
            measurement.record();
        }
        Ok(())
    }
}

impl Measurement {
    fn record(self) {
        match self {
            Self::Waited(seconds) => metrics::histogram!(metric::JOB_QUEUE_WAIT).record(seconds),
            Self::Retried(failure) => {
                metrics::counter!(metric::JOB_RETRIES, "reason" => failure.as_str()).increment(1);
            }
            Self::Ended { outcome, failure, ran } => {
                let reason = failure.map_or("none", FailureKind::as_str);
                metrics::counter!(metric::JOBS_FINISHED, "outcome" => outcome.as_str(), "reason" => reason)
                    .increment(1);
                if let Some(seconds) = ran {
                    metrics::histogram!(metric::JOB_RUN, "outcome" => outcome.as_str()).record(seconds);
                }
            }
        }
    }
}

fn placed(step: &Step) -> &Place {
    step.facts.place.as_ref().expect("an offer is made of a place: the caller builds both together")
}

fn failure_of(verdict: Verdict) -> Option<FailureKind> {
    match verdict {
        Verdict::Requeued { failure, .. } => Some(failure),
        Verdict::Ended { failure } => failure,
        Verdict::Open | Verdict::CancelNoted => None,
    }
}

fn owner_change(event: Event) -> Owner {
    match event {
        Event::Accept { .. } | Event::Adopt { .. } => Owner::Set,
        Event::Orphan { .. } => Owner::Clear,
        Event::Offer
        | Event::Withdraw { .. }
        | Event::Begin { .. }
        | Event::Started { .. }
        | Event::Stop { .. }
        | Event::Finish { .. }
        | Event::Lose { .. }
        | Event::Cancel
        | Event::Refuse { .. } => Owner::Keep,
    }
}

/// The limits in force, for the audit row: numbers and names only.
fn requested(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "resources": row.spec.resources,
        "gpu": row.spec.gpu,
        "network": row.spec.network,
        "timeouts": row.spec.timeouts,
    })
}
