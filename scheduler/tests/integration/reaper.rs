//! Silence, by a clock that the test moves.

use cyberbrain_common::{
    db::contact::GuardState::{self, Absent, Present},
    queue,
};
use cyberbrain_core::lifecycle::{Outcome, RunJobStatus};
use cyberbrain_scheduler::{Reaper, ReaperSummary, Signal, StaleGpus};
use serde_json::json;

use crate::world::{Host, World};

/// Three hosts; the first one is what happens to.
struct Scene {
    world: World,
    host: Host,
    others: Vec<Host>,
    reaper: Reaper,
    second: u64,
}

impl Scene {
    async fn new() -> Option<Self> {
        let world = World::new().await?;
        let host = world.host("alpha", &[]).await;
        let others = vec![world.host("beta", &[]).await, world.host("gamma", &[]).await];
        let reaper = Reaper::new(world.pool.clone(), StaleGpus::default(), Signal::default());
        Some(Self { world, host, others, reaper, second: 0 })
    }

    /// A RunJob that runs on the first host.
    async fn running(&self, change_spec: &'static str) -> cyberbrain_core::ids::RunId {
        let run =
            self.world.launch(json!({ "directive": "D4", "run_jobs": [{ "job": "gpu_report" }] })).await;
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "update run_jobs set spec = spec || '{{\"host\": \"alpha\"}}' || '{change_spec}' where run_id = $1"
        )))
        .bind(run.uuid())
        .execute(&self.world.pool)
        .await
        .unwrap();
        self.world.admit(run).await;
        self.world.tick().run_once().await.unwrap();
        let taken = self.host.accept(10).await;
        self.host.start(&taken).await;
        run
    }

    /// Lets time pass, while the given hosts are in contact: in steps of four seconds and, at the end, of two.
    async fn pass(&mut self, seconds: u64, in_contact: &[Host]) -> ReaperSummary {
        let mut total = ReaperSummary::default();
        let end = self.second + seconds;
        while self.second < end {
            for host in in_contact {
                host.contact(Present).await;
            }
            self.second += if end - self.second > 8 { 4 } else { 2 };
            let summary = self.reaper.run_once(self.second * 1_000).await.unwrap();
            total.silenced += summary.silenced;
            total.marked += summary.marked;
            total.orphaned += summary.orphaned;
            total.lost += summary.lost;
            total.retired += summary.retired;
            total.paused |= summary.paused;
        }
        total
    }

    async fn presence(&self) -> String {
        self.world.scalar("select presence from hosts where id = $1", self.host.id.uuid()).await
    }

    async fn new_leader(&mut self) {
        self.reaper = Reaper::new(self.world.pool.clone(), StaleGpus::default(), Signal::default());
        self.reaper.run_once(self.second * 1_000).await.unwrap();
    }

    async fn first_contact(&mut self, guard: GuardState) {
        self.host.contact(guard).await;
        self.reaper.run_once(self.second * 1_000).await.unwrap();
    }
}

#[tokio::test]
async fn the_work_of_a_silent_launcher_is_offered_to_its_host_under_the_next_fence() {
    let Some(mut scene) = Scene::new().await else { return };
    let run = scene.running("{}").await;
    let sibling = scene.host.sibling().await;
    let mut alive = scene.others.clone();
    alive.push(sibling.clone());
    scene.first_contact(Present).await;
    scene.world.execute("delete from apalis.jobs").await;

    assert_eq!(scene.pass(14, &alive).await, ReaperSummary::default(), "not yet");
    let summary = scene.pass(2, &alive).await;
    assert_eq!(summary, ReaperSummary { silenced: 1, orphaned: 1, ..ReaperSummary::default() });
    assert_eq!(scene.presence().await, "live", "the host still has a launcher");
    let (fence, owner): (i32, Option<uuid::Uuid>) =
        sqlx::query_as("select fence, launcher_id from attempts").fetch_one(&scene.world.pool).await.unwrap();
    assert_eq!((fence, owner), (2, None));
    let pushed = queue::stats(&scene.world.pool).await.unwrap();
    assert_eq!(
        pushed.iter().map(|stats| stats.queue).collect::<Vec<_>>(),
        [queue::Queue::Launch(scene.host.id)]
    );

    let adopted = sibling.adopt(10).await;
    sibling.finish(&adopted, Outcome::Success).await;
    let job = scene.world.run_jobs(run).await.remove(0);
    assert_eq!((job.status, job.attempts), (RunJobStatus::Success, 1), "the same attempt, carried through");
    assert_eq!(scene.pass(20, &alive).await, ReaperSummary::default(), "once is enough");
}

#[tokio::test]
async fn a_silent_launcher_that_comes_back_is_live_again_and_one_that_does_not_is_retired() {
    let Some(mut scene) = Scene::new().await else { return };
    let sibling = scene.host.sibling().await;
    let mut alive = scene.others.clone();
    alive.push(sibling);
    scene.first_contact(Present).await;
    scene.pass(16, &alive).await;
    let state = async |scene: &Scene| -> String {
        scene.world.scalar("select state from launchers where id = $1", scene.host.launcher.uuid()).await
    };
    assert_eq!(state(&scene).await, "silent");
    scene.host.contact(Present).await;
    scene.pass(2, &alive).await;
    assert_eq!(state(&scene).await, "live");
    let summary = scene.pass(602, &alive).await;
    assert_eq!((summary.silenced, summary.retired), (1, 1));
    assert_eq!(state(&scene).await, "ended");
}

#[tokio::test]
async fn the_attempts_of_an_ended_launcher_are_open_at_once() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.running("{}").await;
    scene.world.execute("update launchers set state = 'ended' where host_id = (select id from hosts where name = 'alpha')").await;
    let alive = scene.others.clone();
    assert_eq!(scene.pass(2, &alive).await.orphaned, 1);
}

#[tokio::test]
async fn a_silent_host_gets_nothing_new_and_its_work_goes_elsewhere_when_its_guard_must_have_stopped_it() {
    let Some(mut scene) = Scene::new().await else { return };
    let run = scene.running("{}").await;
    let alive = scene.others.clone();
    scene.first_contact(Present).await;
    scene.pass(16, &alive).await;
    assert_eq!(scene.presence().await, "silent");
    let pinned =
        scene.world.launch(json!({ "directive": "D4", "run_jobs": [{ "job": "gpu_report" }] })).await;
    scene
        .world
        .execute("update run_jobs set spec = spec || '{\"host\": \"alpha\"}' where status = 'pending'")
        .await;
    scene.world.admit(pinned).await;
    assert_eq!(scene.world.tick().run_once().await.unwrap().placed, 0);
    assert_eq!(scene.world.run_jobs(pinned).await[0].waiting_reason.as_deref(), Some("host_silent"));

    assert_eq!(scene.pass(282, &alive).await.lost, 0, "298 s");
    let summary = scene.pass(4, &alive).await;
    assert_eq!((summary.lost, summary.marked), (1, 1));
    assert_eq!(scene.presence().await, "lost");
    let job = scene.world.run_jobs(run).await.remove(0);
    assert_eq!(job.status, RunJobStatus::Pending, "to be tried elsewhere");
    let detail: String =
        scene.world.scalar("select failure_detail from attempts where run_job_id = $1", job.id.uuid()).await;
    assert_eq!(detail, "its host was out of contact for 300 s");
    let held = scene.world.count("select open_attempts::bigint from hosts where name = 'alpha'").await;
    assert_eq!(held, 1, "nobody has seen its container gone");

    // It comes back: live, but nothing new before it has compared its containers.
    scene.host.contact(Present).await;
    assert_eq!(scene.pass(2, &alive).await.marked, 1);
    assert_eq!(scene.presence().await, "live");
    scene.world.tick().run_once().await.unwrap();
    assert_eq!(scene.world.run_jobs(pinned).await[0].waiting_reason.as_deref(), Some("host_not_reconciled"));
    scene.host.reconciled().await;
    assert_eq!(scene.world.tick().run_once().await.unwrap().placed, 1);
}

#[tokio::test]
async fn without_a_guard_or_when_told_to_wait_nothing_is_replaced() {
    for (guard, spec) in [(Absent, "{}"), (Present, "{\"on_host_lost\": \"wait\"}")] {
        let Some(mut scene) = Scene::new().await else { return };
        let run = scene.running(spec).await;
        let alive = scene.others.clone();
        scene.first_contact(guard).await;
        let summary = scene.pass(1_000, &alive).await;
        assert_eq!(summary.lost, 0, "{guard:?} {spec}");
        assert_eq!(scene.presence().await, "lost");
        assert_eq!(scene.world.run_jobs(run).await[0].status, RunJobStatus::Running);
    }
}

#[tokio::test]
async fn a_job_may_say_how_long_its_host_may_be_silent_but_not_less_than_its_guard_needs() {
    for (seconds, kept_until, lost_by) in [(600, 598, 602), (60, 58, 62), (1, 38, 42)] {
        let Some(mut scene) = Scene::new().await else { return };
        scene.running("{}").await;
        sqlx::query("update run_jobs set spec = jsonb_set(spec, '{timeouts,host_lost_seconds}', to_jsonb($1::integer))")
            .bind(seconds)
            .execute(&scene.world.pool)
            .await
            .unwrap();
        let alive = scene.others.clone();
        scene.first_contact(Present).await;
        assert_eq!(scene.pass(kept_until, &alive).await.lost, 0, "{seconds} s");
        assert_eq!(scene.pass(lost_by - kept_until, &alive).await.lost, 1, "{seconds} s");
    }
}

#[tokio::test]
async fn when_most_hosts_fall_silent_together_nobodys_work_is_taken() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.running("{}").await;
    let gamma = vec![scene.others[1].clone()];
    scene.others[0].contact(Present).await;
    scene.first_contact(Present).await;
    let summary = scene.pass(700, &gamma).await;
    assert!(summary.paused);
    assert_eq!((summary.orphaned, summary.lost, summary.silenced), (0, 0, 2));
    assert_eq!(scene.presence().await, "silent", "not given up either");

    // One of the two comes back, so it was not all of them; the other one is judged as ever.
    let alive = scene.others.clone();
    let summary = scene.pass(4, &alive).await;
    assert_eq!((summary.orphaned, summary.lost), (0, 1), "given up, not offered to a host that is lost");
    assert_eq!(scene.presence().await, "lost");
}

#[tokio::test]
async fn while_most_hosts_are_silent_a_live_host_still_takes_over_from_a_launcher_of_its_own() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.running("{}").await;
    let sibling = vec![scene.host.sibling().await];
    for host in &scene.others {
        host.contact(Present).await;
    }
    scene.first_contact(Present).await;
    let summary = scene.pass(20, &sibling).await;
    assert!(summary.paused, "beta and gamma are silent");
    assert_eq!((summary.orphaned, summary.lost), (1, 0));
}

#[tokio::test]
async fn hosts_that_were_silent_before_do_not_make_a_mass_silence() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.running("{}").await;
    for host in &scene.others {
        host.contact(Present).await;
    }
    scene.first_contact(Present).await;
    let alone = vec![scene.host.clone()];
    assert!(scene.pass(20, &alone).await.paused);
    scene.new_leader().await;
    assert!(!scene.pass(40, &alone).await.paused, "both were silent when this leader began");
    let lost = scene.pass(280, &alone).await;
    assert_eq!((lost.marked, lost.paused), (2, false), "given up in the end");

    // Those whose launchers have said goodbye don't count either.
    let Some(mut scene) = Scene::new().await else { return };
    scene.first_contact(Present).await;
    scene.world.execute("update launchers set state = 'ended' where host_id in (select id from hosts where name <> 'alpha')").await;
    let alone = vec![scene.host.clone()];
    assert!(!scene.pass(20, &alone).await.paused);
}

#[tokio::test]
async fn time_in_which_nobody_could_read_counts_for_nobody() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.running("{}").await;
    let alive = scene.others.clone();
    scene.first_contact(Present).await;
    scene.pass(10, &alive).await;
    // An hour without a database.
    scene.second += 3_600;
    assert_eq!(scene.pass(4, &alive).await, ReaperSummary::default());
    // A new leader starts at zero, and does not take the word of the old one for more than it was.
    scene.new_leader().await;
    assert_eq!(scene.pass(14, &alive).await, ReaperSummary::default());
    assert_eq!(scene.pass(2, &alive).await.silenced, 1);
    assert_eq!(scene.presence().await, "silent");
    scene.new_leader().await;
    scene.pass(8, &alive).await;
    assert_eq!(scene.presence().await, "silent", "only a contact makes it live again");
}
