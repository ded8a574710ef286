//! The checker of promise 3: at no instant of the recorded history do a card's leases add up to more than it has.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cyberbrain_common::db::Pool;

use crate::world::World;

/// One lease as it was recorded.
#[derive(Debug, Clone)]
pub struct Lease {
    pub gpu: String,
    pub mib: i64,
    pub from: DateTime<Utc>,
    /// `None`: it still lasts.
    pub to: Option<DateTime<Utc>>,
}

/// An instant at which too much was leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    pub gpu: String,
    pub at: DateTime<Utc>,
    pub leased_mib: i64,
    pub card_mib: i64,
}

/// All leases ever made, and what the cards have.
pub async fn read(pool: &Pool) -> (Vec<Lease>, BTreeMap<String, i64>) {
    type Row = (String, i32, DateTime<Utc>, Option<DateTime<Utc>>);
    let leases: Vec<Row> =
        sqlx::query_as("select gpu_uuid, reserved_mib, created_at, released_at from gpu_leases")
            .fetch_all(pool)
            .await
            .unwrap();
    let cards: Vec<(String, i32)> =
        sqlx::query_as("select uuid, allocatable_mib from gpus").fetch_all(pool).await.unwrap();
    let lease = |(gpu, mib, from, to): (String, i32, _, _)| Lease { gpu, mib: mib.into(), from, to };
    (
        leases.into_iter().map(lease).collect(),
        cards.into_iter().map(|(uuid, mib)| (uuid, mib.into())).collect(),
    )
}

/// The first instant of each stretch with too much, by card and time.
pub fn overlaps(leases: &[Lease], cards: &BTreeMap<String, i64>) -> Vec<Overlap> {
    // What ends at an instant has ended before what begins then.
    let mut changes: Vec<(&str, DateTime<Utc>, i64)> = Vec::new();
    for lease in leases {
        changes.push((&lease.gpu, lease.from, lease.mib));
        changes.extend(lease.to.map(|to| (lease.gpu.as_str(), to, -lease.mib)));
    }
    changes.sort();
    let mut found = Vec::new();
    let mut leased: BTreeMap<&str, i64> = BTreeMap::new();
    for (gpu, at, mib) in changes {
        let before = leased.get(gpu).copied().unwrap_or_default();
        let after = before + mib;
        leased.insert(gpu, after);
        let card_mib = cards[gpu];
        if after > card_mib && before <= card_mib {
            found.push(Overlap { gpu: gpu.to_owned(), at, leased_mib: after, card_mib });
        }
    }
    found
}

#[tokio::test]
async fn a_planted_overlap_is_found_by_the_checker_and_by_the_ledger_check() {
    let Some(world) = World::new().await else { return };
    let host = world.host("alpha", &[24_576]).await;
    let run = world.launch_gpu(&[16_000]).await;
    world.admit(run).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 1);
    let (leases, cards) = read(&world.pool).await;
    assert_eq!(overlaps(&leases, &cards), []);
    let mut check = cyberbrain_scheduler::LedgerCheck::new(world.pool.clone());
    assert_eq!(check.run_once().await.unwrap(), []);

    // Only with the ledger's trigger off can a second one be planted at all.
    let other = world.launch_cpu(1).await;
    world.admit(other).await;
    assert_eq!(world.tick().run_once().await.unwrap().placed, 1);
    let plant = "insert into gpu_leases (attempt_id, gpu_uuid, reserved_mib)
        select a.id, g.uuid, 16000 from attempts a, gpus g where a.placement = 'cpu'";
    sqlx::query(plant).execute(&world.pool).await.expect_err("the ledger refuses it");
    world.execute("alter table gpu_leases disable trigger gpu_leases_book").await;
    world.execute(plant).await;
    let (leases, cards) = read(&world.pool).await;
    let found = overlaps(&leases, &cards);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].leased_mib, found[0].card_mib), (32_000, 24_576));
    let told = check.run_once().await.unwrap();
    assert_eq!(told.iter().map(|card| card.gpu.clone()).collect::<Vec<_>>(), host.gpus);
}

#[test]
fn overlaps_are_judged_at_every_instant() {
    let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
    let lease = |mib, from, to: Option<i64>| Lease { gpu: "g".into(), mib, from: at(from), to: to.map(at) };
    let cards = BTreeMap::from([("g".to_owned(), 10)]);
    let cases: [(&[Lease], &[i64]); 6] = [
        (&[lease(6, 0, Some(5)), lease(6, 5, Some(9))], &[]),
        (&[lease(6, 0, Some(6)), lease(6, 5, Some(9))], &[5]),
        (&[lease(6, 0, None), lease(6, 7, None)], &[7]),
        (&[lease(4, 0, Some(9)), lease(4, 1, Some(3)), lease(4, 3, Some(4))], &[]),
        (&[lease(4, 0, Some(9)), lease(4, 1, Some(4)), lease(4, 3, Some(5)), lease(4, 2, Some(3))], &[2, 3]),
        (&[lease(11, 0, Some(1)), lease(5, 2, Some(9)), lease(6, 4, Some(5))], &[0, 4]),
    ];
    for (leases, expected) in cases {
        let found: Vec<i64> = overlaps(leases, &cards).iter().map(|overlap| overlap.at.timestamp()).collect();
        assert_eq!(found, expected, "{leases:?}");
    }
}
