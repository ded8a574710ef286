//! From the end of the work to the release of the place: store, remove, give back.

use std::time::Duration;

use cyberbrain_common::db::transition::{Facts, Step};
use cyberbrain_core::{
    audit::Operation,
    lifecycle::{Event, FailureKind, Outcome, StopReason},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Drive, Ended, Leftover,
    classify::{self, Judgement},
    collect::{Caps, Collected, ResultProblem, as_declared, collect},
};
use crate::{
    agent::ENGINE_PAUSE,
    orders::{LetGo, Orders},
    record::Record,
    runtime::{Error, Exit, Observation},
    stage,
};

/// Longest failure sentence that the database takes, with room to spare.
const MAX_DETAIL_CHARACTERS: usize = 900;
/// How long a removal is tried here; reconciliation goes on after that.
const REMOVE_LIMIT: Duration = Duration::from_secs(300);

impl Drive {
    /// Stores the outcome, removes the container, and gives the place back.
    pub(super) async fn conclude(&mut self, ended: Ended) -> Result<(), LetGo> {
        let (record, leftover) = match ended {
            Ended::Exited { exit, stop, signs } => {
                let collected = self.collect().await;
                (self.exited(exit, stop, signs, collected).await, Leftover::Possible)
            }
            Ended::NeverRan { outcome, detail, refused, leftover } => {
                let mut record =
                    self.finished(Judgement { outcome, detail: detail.clone(), result: None }, None);
                if refused {
                    let entry = self.entry(Operation::Refuse);
                    record.audit.push(entry.failed(detail.unwrap_or_default()));
                }
                (record, leftover)
            }
            Ended::Missing { stop } => {
                let judgement = match stop {
                    Some(reason) => classify::stopped(reason),
                    None => Judgement::failed(
                        FailureKind::ContainerMissing,
                        "its container is gone: somebody removed it, or the engine forgot it",
                    ),
                };
                let mut record = self.finished(judgement, None);
                record.artifacts = self.collect().await.map(|collected| collected.files).unwrap_or_default();
                (record, Leftover::None)
            }
            Ended::Rebooted { leftover } => {
                let detail = "the host was booted again while it ran";
                (self.finished(Judgement::failed(FailureKind::HostRebooted, detail), None), leftover)
            }
        };
        self.store(record, leftover).await
    }

    async fn store(&mut self, record: Record, leftover: Leftover) -> Result<(), LetGo> {
        if let Some(gateway) = &self.agent.gateway {
            gateway.settle(self.job.attempt).await;
        }
        self.write(&record).await?;
        if let Some(gateway) = &self.agent.gateway {
            gateway.close(self.job.attempt);
        }
        self.agent.register.settle(self.taken());
        // From here on the outcome stands. What is left is clearing up, and nobody orders anything about it.
        self.orders = Orders::deaf();
        let gone = match leftover {
            Leftover::None => true,
            Leftover::Possible => self.remove_container().await,
        };
        if gone {
            let release = Record { release: Some(self.entry(Operation::Remove)), ..Record::default() };
            self.write(&release).await?;
            self.agent.freed.wake();
        }
        stage::clear(&self.dir).await;
        Ok(())
    }

    async fn exited(
        &self,
        exit: Exit,
        stop: Option<StopReason>,
        signs: super::follow::Signs,
        collected: Option<Collected>,
    ) -> Record {
        let (result, files, left_out) = match collected {
            Some(Collected { result, files, left_out }) => (result, files, left_out),
            None => (Err(ResultProblem::Missing), Vec::new(), 0),
        };
        let judgement = classify::judge(exit, stop, signs, result);
        let success = judgement.outcome == Outcome::Success;
        let mut record = self.finished(judgement, Some(exit));
        if success {
            record.cursors = stage::cursors(&self.dir).await;
        }
        if stop.is_none() {
            // A stop of ours is on record since it was sent.
            let seen =
                json!({"exit_code": exit.code, "oom_killed": exit.oom_killed, "files_left_out": left_out});
            record.audit.push(self.entry(Operation::Stop).config(seen));
        }
        record.artifacts = files;
        record
    }

    fn finished(&self, judgement: Judgement, exit: Option<Exit>) -> Record {
        let fence = self.job.fence;
        let facts = Facts {
            exit_code: exit.and_then(|exit| i32::try_from(exit.code).ok()),
            container_id: self.container_id.clone(),
            detail: judgement.detail.map(|detail| shorten(&detail)),
            result: judgement.result,
            ..Facts::default()
        };
        let event = Event::Finish { fence, outcome: judgement.outcome };
        let progress = self.agent.progress.take(self.job.attempt, fence);
        Record { step: Some(Step { facts, ..self.event(event) }), progress, ..Record::default() }
    }

    /// What the worker left; `None` if that can't be read at all, which is logged.
    async fn collect(&self) -> Option<Collected> {
        let dir = self.dir.clone();
        let task_key = self.job.task_key.clone();
        let limits = &self.agent.limits;
        let caps = Caps { files: limits.artifact_files, bytes: limits.artifact_bytes };
        match tokio::task::spawn_blocking(move || collect(&dir, &task_key, caps)).await {
            Ok(Ok(mut collected)) => {
                let declared = self.job.spec.output.as_ref();
                collected.result = collected.result.and_then(|result| as_declared(result, declared));
                Some(collected)
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what the worker left can't be read"
                );
                None
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reading what the worker left was broken off"
                );
                None
            }
        }
    }

    /// Whether the engine has confirmed that the container is gone. By name: if it is no longer ours, it is gone too.
    async fn remove_container(&mut self) -> bool {
        let runtime = &self.agent.runtime;
        let deadline = Instant::now() + REMOVE_LIMIT;
        while Instant::now() < deadline {
            let error = match runtime.remove(&self.name).await {
                Ok(()) | Err(Error::NotFound { .. }) => match runtime.inspect(&self.name).await {
                    Observation::Absent => return true,
                    Observation::Unknown(error) => error,
                    Observation::Created | Observation::Running { .. } | Observation::Exited(_) => continue,
                },
                Err(error @ Error::Refused { .. }) => {
                    // It runs, although it was seen ended or never started: a start that was on its way.
                    let killed = runtime.kill(&self.name).await;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        killed = killed.is_ok(),
                        "a container that should not run was killed"
                    );
                    error
                }
                Err(error) => error,
            };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the container can't be removed, trying again"
            );
            sleep(ENGINE_PAUSE).await;
        }
        tracing::error!(container.name = %self.name, "the container could not be removed; reconciliation will try");
        false
    }
}

fn shorten(detail: &str) -> String {
    detail.chars().filter(|character| !character.is_control()).take(MAX_DETAIL_CHARACTERS).collect()
}
