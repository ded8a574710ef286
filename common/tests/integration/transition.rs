//! The transition function on real rows: what the core decides is what is stored, with its audit and its push.

use chrono::{DateTime, TimeDelta, Utc};
use cyberbrain_common::db::{
    self, Conn,
    attempts::{self, Release},
    audit::{self, Entry},
    transition::{Facts, Place, PlaceKind, Step, StepError, transition, transition_all},
};
use cyberbrain_common::ids::fresh;
use cyberbrain_core::{
    audit::{Actor, Operation},
    ids::{AttemptId, Fence, GpuUuid, HostId, LauncherId, RunId, RunJobId},
    lifecycle::{
        AttemptState, AttemptView, CancelState, Event, FailureKind, Outcome, Refusal, RunJobStatus,
        RunJobView, Snapshot, Spent, StopReason, next,
    },
    spec::{GpuRequest, ImageRef, JobSpec, Network, OnHostLost, Resources, RetryPolicy, Timeouts},
};
use cyberbrain_testkit::TestDb;
use sqlx::Connection;

const ACTOR: Actor = Actor::System("test");

fn spec() -> JobSpec {
    JobSpec {
        task_key: "log_triage".into(),
        image: ImageRef::builtin(),
        command: vec!["log-triage".into()],
        env: std::collections::BTreeMap::new(),
        resources: Resources::default(),
        gpu: GpuRequest::none(),
        timeouts: Timeouts::default(),
        retry: RetryPolicy { max_attempts: 2, max_infra_failures: 5, backoff_seconds: 5 },
        network: Network::None,
        on_host_lost: OnHostLost::Replace,
        host: None,
        output: None,
        secrets: Vec::new(),
        caches: Vec::new(),
        pull: cyberbrain_core::grant::PullPolicy::default(),
    }
}

struct World {
    host: HostId,
    launcher: LauncherId,
    gpu: GpuUuid,
    run: RunId,
    jobs: Vec<RunJobId>,
}

/// One host with a card of 24576 MiB, and one Run with `jobs` waiting RunJobs.
async fn world(connection: &mut Conn, jobs: i32) -> World {
    let world = World {
        host: fresh(),
        launcher: fresh(),
        gpu: GpuUuid::new(format!("GPU-{}", fresh::<uuid::Uuid>())),
        run: fresh(),
        jobs: (0..jobs).map(|_| fresh()).collect(),
    };
    sqlx::query(
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
         values ($1, $1::text, 'm', $1::text, 'b', 'simulated', 64000, 65536)",
    )
    .bind(world.host.uuid())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query("insert into launchers (id, host_id, pid, version) values ($1, $2, 1, 'test')")
        .bind(world.launcher.uuid())
        .bind(world.host.uuid())
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(
        "insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
         values ($1, $2, 0, 'test', true, 24576, 24576)",
    )
    .bind(world.gpu.as_str())
    .bind(world.host.uuid())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into runs (id, directive_type, directive_name, directive_version, directive_snapshot, requested_by)
         values ($1, 'D4', 'Custom', 1, '{}', 'test')",
    )
    .bind(world.run.uuid())
    .execute(&mut *connection)
    .await
    .unwrap();
    for (ordinal, job) in (0..).zip(&world.jobs) {
        sqlx::query(
            "insert into run_jobs (id, run_id, ordinal, task_key, name, spec, submitter, shape, admitted, deadline_at)
             values ($1, $2, $3, 'log_triage', 'job', $4, 'test', 'shape', true, now() + interval '1 day')",
        )
        .bind(job.uuid())
        .bind(world.run.uuid())
        .bind(ordinal)
        .bind(serde_json::to_value(spec()).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    world
}

impl World {
    fn offer(&self, job: RunJobId, vram_mib: Option<u32>) -> (AttemptId, Step) {
        let attempt = fresh();
        let place = Place {
            attempt,
            host: self.host,
            kind: if vram_mib.is_some() { PlaceKind::Gpu } else { PlaceKind::Cpu },
            gpus: vram_mib.map(|mib| (self.gpu.clone(), mib)).into_iter().collect(),
            reason: "because the test says so".into(),
        };
        (
            attempt,
            Step { facts: Facts { place: Some(place), ..Facts::default() }, ..Step::new(job, Event::Offer) },
        )
    }

    /// Brings a RunJob to this state of its first attempt, through the front door.
    async fn bring(&self, connection: &mut Conn, job: RunJobId, state: AttemptState) -> AttemptId {
        let fence = Fence::FIRST;
        let (attempt, offer) = self.offer(job, Some(1024));
        let accepted = Step {
            facts: Facts { launcher: Some(self.launcher), ..Facts::default() },
            ..Step::new(job, Event::Accept { fence })
        };
        let path = [
            offer,
            accepted,
            Step::new(job, Event::Begin { fence }),
            Step::new(job, Event::Started { fence }),
            Step::new(job, Event::Stop { fence, reason: StopReason::Cancel }),
        ];
        let steps = match state {
            AttemptState::Offered => 1,
            AttemptState::Accepted => 2,
            AttemptState::Starting => 3,
            AttemptState::Running => 4,
            AttemptState::Stopping => 5,
            AttemptState::Done | AttemptState::Lost => {
                panic!("an ended attempt is no state to be brought to")
            }
        };
        for step in path.into_iter().take(steps) {
            transition(connection, step, &ACTOR).await.unwrap();
        }
        attempt
    }
}

async fn one<T>(connection: &mut Conn, query: &'static str, id: uuid::Uuid) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(query).bind(id).fetch_one(connection).await.unwrap()
}

fn every_event() -> Vec<Event> {
    let fence = Fence::FIRST;
    let mut all = vec![
        Event::Withdraw { fence },
        Event::Accept { fence },
        Event::Begin { fence },
        Event::Started { fence },
        Event::Orphan { fence },
        Event::Adopt { fence },
        Event::Cancel,
        Event::Offer,
        Event::Refuse { failure: FailureKind::Infeasible },
        Event::Lose { failure: FailureKind::HostLost },
        Event::Finish { fence, outcome: Outcome::Success },
        Event::Finish { fence, outcome: Outcome::Cancelled },
        Event::Finish { fence, outcome: Outcome::Failed(FailureKind::NonzeroExit) },
        Event::Finish { fence, outcome: Outcome::Failed(FailureKind::DaemonRestarted) },
        Event::Accept { fence: Fence(7) },
        Event::Finish { fence: Fence(7), outcome: Outcome::Success },
    ];
    all.extend(StopReason::ALL.iter().map(|&reason| Event::Stop { fence, reason }));
    all
}

#[tokio::test]
async fn what_the_core_decides_is_what_is_stored() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let states = std::iter::once(None)
        .chain(AttemptState::ALL.iter().filter(|state| state.is_open()).map(|state| Some(*state)));
    let mut checked = 0;
    for state in states {
        for event in every_event() {
            let mut tx = connection.begin().await.unwrap();
            let world = world(&mut tx, 1).await;
            let job = world.jobs[0];
            if let Some(state) = state {
                world.bring(&mut tx, job, state).await;
            }
            let before = snapshot(state);
            let step = match event {
                Event::Offer => world.offer(job, None).1,
                _ => Step::new(job, event),
            };
            let audited: i64 =
                one(&mut tx, "select count(*) from worker_audit where run_job_id = $1", job.uuid()).await;
            let outcome = transition(&mut tx, step, &ACTOR).await;
            let audited_after: i64 =
                one(&mut tx, "select count(*) from worker_audit where run_job_id = $1", job.uuid()).await;
            let stored: String = one(&mut tx, "select status from run_jobs where id = $1", job.uuid()).await;
            match next(&before, event, Utc::now()) {
                Err(refusal) => {
                    assert_eq!(outcome.unwrap_err().refusal(), Some(refusal), "{event:?} on {state:?}");
                    assert_eq!(stored, before.run_job.status.as_str());
                    assert_eq!(audited, audited_after, "a refusal writes nothing");
                }
                Ok(change) => {
                    assert_eq!(outcome.unwrap().status, change.run_job, "{event:?} on {state:?}");
                    assert_eq!(stored, change.run_job.as_str());
                    assert!(audited_after > audited, "{event:?} on {state:?} is audited");
                }
            }
            tx.rollback().await.unwrap();
            checked += 1;
        }
    }
    assert_eq!(checked, 6 * 20);
}

fn snapshot(state: Option<AttemptState>) -> Snapshot {
    let status = match state {
        None => RunJobStatus::Pending,
        Some(AttemptState::Offered | AttemptState::Accepted | AttemptState::Starting) => {
            RunJobStatus::Assigned
        }
        Some(_) => RunJobStatus::Running,
    };
    Snapshot {
        run_job: RunJobView {
            status,
            attempts: u32::from(state.is_some()),
            spent: Spent::default(),
            retry: spec().retry,
            cancel: CancelState::NotRequested,
        },
        attempt: state.map(|state| AttemptView { number: 1, state, fence: Fence::FIRST }),
    }
}

#[tokio::test]
async fn a_stale_owner_writes_nothing() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 1).await;
    let job = world.jobs[0];
    world.bring(&mut connection, job, AttemptState::Running).await;
    let orphan = Step::new(job, Event::Orphan { fence: Fence::FIRST });
    transition(&mut connection, orphan, &ACTOR).await.unwrap();
    let finish = Step::new(job, Event::Finish { fence: Fence::FIRST, outcome: Outcome::Success });
    let error = transition(&mut connection, finish, &ACTOR).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::StaleFence { given: Fence(1), current: Fence(2) }));
    let status: String = one(&mut connection, "select status from run_jobs where id = $1", job.uuid()).await;
    assert_eq!(status, "running");
}

#[tokio::test]
async fn leases_are_held_until_the_container_is_gone() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 1).await;
    let job = world.jobs[0];
    let attempt = world.bring(&mut connection, job, AttemptState::Running).await;
    let reserved =
        "select g.reserved_mib from gpus g join gpu_leases l on l.gpu_uuid = g.uuid where l.attempt_id = $1";
    let open = "select open_attempts from hosts where id = $1";
    let entry = || Entry::new(Operation::Remove, &ACTOR).attempt(attempt);

    let early = attempts::release(&mut connection, attempt, entry()).await;
    assert!(matches!(early, Err(db::Error::NotFound { .. })), "a running attempt keeps its place");
    let finish = Step::new(job, Event::Finish { fence: Fence::FIRST, outcome: Outcome::Success });
    transition(&mut connection, finish, &ACTOR).await.unwrap();
    assert_eq!(one::<i32>(&mut connection, reserved, attempt.uuid()).await, 1024);
    assert_eq!(one::<i32>(&mut connection, open, world.host.uuid()).await, 1);

    assert_eq!(attempts::release(&mut connection, attempt, entry()).await.unwrap(), Release::Released);
    assert_eq!(attempts::release(&mut connection, attempt, entry()).await.unwrap(), Release::AlreadyReleased);
    assert_eq!(one::<i32>(&mut connection, reserved, attempt.uuid()).await, 0);
    assert_eq!(one::<i32>(&mut connection, open, world.host.uuid()).await, 0);
}

#[tokio::test]
async fn an_offer_that_nobody_took_gives_its_place_back_at_once() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 1).await;
    let job = world.jobs[0];
    world.bring(&mut connection, job, AttemptState::Offered).await;
    let withdraw = Step::new(job, Event::Withdraw { fence: Fence::FIRST });
    transition(&mut connection, withdraw, &ACTOR).await.unwrap();
    let reserved: i32 =
        one(&mut connection, "select reserved_mib from gpus where host_id = $1", world.host.uuid()).await;
    assert_eq!(reserved, 0);
    let (status, waits): (String, DateTime<Utc>) =
        sqlx::query_as("select status, not_before from run_jobs where id = $1")
            .bind(job.uuid())
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert!(status == "pending" && waits <= Utc::now() + TimeDelta::seconds(1), "placed again at once");
}

#[tokio::test]
async fn an_overbooked_card_is_refused_by_the_database() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 2).await;
    let (_, first) = world.offer(world.jobs[0], Some(20_000));
    transition(&mut connection, first, &ACTOR).await.unwrap();
    let (_, second) = world.offer(world.jobs[1], Some(5_000));
    let error = transition(&mut connection, second, &ACTOR).await.unwrap_err();
    assert_eq!(error.constraint(), Some("gpus_not_overbooked"));
}

#[tokio::test]
async fn a_batch_applies_what_it_may_and_says_what_it_may_not() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 300).await;
    let mut steps: Vec<Step> = world.jobs.iter().map(|job| world.offer(*job, None).1).collect();
    for step in &mut steps {
        if let Some(place) = &mut step.facts.place {
            place.gpus.clear();
        }
    }
    steps.truncate(60);
    let unknown = world.offer(fresh(), None).1;
    steps.push(unknown);
    steps.push(Step::new(world.jobs[299], Event::Accept { fence: Fence::FIRST }));
    let outcomes = transition_all(&mut connection, &steps, &ACTOR).await.unwrap();
    assert!(outcomes[..60].iter().all(Result::is_ok));
    assert_eq!(outcomes[60], Err(StepError::Unknown));
    assert_eq!(outcomes[61], Err(StepError::Refused(Refusal::NoOpenAttempt)));
    let assigned: i64 = one(
        &mut connection,
        "select count(*) from run_jobs where run_id = $1 and status = 'assigned'",
        world.run.uuid(),
    )
    .await;
    assert_eq!(assigned, 60);
    let run: String = one(&mut connection, "select status from runs where id = $1", world.run.uuid()).await;
    assert_eq!(run, "running", "the first placed job starts the run");
}

#[tokio::test]
async fn the_last_job_asks_for_the_close_of_its_run() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 2).await;
    let closes = "select count(*) from apalis.jobs where job_type = 'runs' and convert_from(job, 'UTF8') like '%' || $1 || '%'";
    for (job, wanted) in world.jobs.iter().zip([0_i64, 1]) {
        transition(&mut connection, Step::new(*job, Event::Cancel), &ACTOR).await.unwrap();
        let pushed: i64 =
            sqlx::query_scalar(closes).bind(world.run.to_string()).fetch_one(&mut connection).await.unwrap();
        assert_eq!(pushed, wanted);
    }
}

#[tokio::test]
async fn an_explanation_that_is_too_long_is_cut_and_fails_no_change() {
    let Some(db) = TestDb::new().await else { return };
    let mut connection = db.connect().await;
    let world = world(&mut connection, 1).await;
    let job = world.jobs[0];
    let (attempt, mut offer) = world.offer(job, Some(1024));
    offer.facts.place.as_mut().unwrap().reason = "ü".repeat(5_000);
    transition(&mut connection, offer, &ACTOR).await.unwrap();
    let lost = Step {
        facts: Facts { detail: Some("ü".repeat(5_000)), ..Facts::default() },
        ..Step::new(job, Event::Lose { failure: FailureKind::HostLost })
    };
    transition(&mut connection, lost, &ACTOR).await.unwrap();
    db::gpus::set_health(&mut connection, &world.gpu, Some(&"ü".repeat(5_000))).await.unwrap();
    let told = audit::write(
        &mut connection,
        Entry::new(Operation::Error, &ACTOR)
            .attempt(attempt)
            .reason("x".repeat(5_000))
            .failed("x\0".repeat(5_000)),
    );
    told.await.unwrap();
    let lengths: Vec<i32> = sqlx::query_scalar(
        "select unnest(array[length(selection_reason), length(failure_detail)]) from attempts
         union all select unnest(array[length(selection_reason), length(failure_detail)]) from run_jobs
         union all select length(health_reason) from gpus
         union all select unnest(array[length(selection_reason), length(error)]) from worker_audit where operation = 'error'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(lengths, [2_000, 1_000, 2_000, 1_000, 500, 2_000, 1_000]);
}
