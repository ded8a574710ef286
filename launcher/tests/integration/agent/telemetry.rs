//! What the driver tells is kept: from its C interface to the rows that reports are made of.

use cyberbrain_common::db::{gpu_history, gpus, staging};
use cyberbrain_core::{
    ids::GpuUuid,
    staging::{MAX_STAGED_SAMPLES, ThrottleReasons, XidEvent},
};
use cyberbrain_launcher::gpu::ProbeChoice;
use cyberbrain_nvml_double::{Double, Script, Xid};
use cyberbrain_testkit::wait_until;

use super::world::{PATIENCE, World};

#[tokio::test]
async fn throttling_memory_errors_and_xids_of_the_driver_are_kept() {
    let Some((mut world, _engine)) = World::simulated().await else { return };
    let mut script = Script::cards(2, 24_576);
    script.cards[0].throttle_reasons = Some(0x44);
    script.cards[0].corrected_ecc_errors = Some(12);
    script.cards[0].ecc_errors = Some(3);
    script.cards[1].throttle_reasons = None;
    script.cards[1].utilization_percent = None;
    let double = Double::install(&script).unwrap();
    world.gpus = ProbeChoice::Nvml { library: Some(double.library()) };
    let _launcher = world.launcher(&[]).await;
    type Kept = (Option<i16>, Option<i64>, Option<i64>, Option<i16>);
    let kept = async |gpu: &str| -> Option<Kept> {
        sqlx::query_as(
            "select throttle_reasons, ecc_corrected, ecc_uncorrected, utilization_percent from gpu_samples
             where gpu_uuid = $1 order by at limit 1",
        )
        .bind(gpu)
        .fetch_optional(&world.pool)
        .await
        .unwrap()
    };
    wait_until("a sample of each card", PATIENCE, async || {
        kept("GPU-double-0").await.is_some() && kept("GPU-double-1").await.is_some()
    })
    .await;
    assert_eq!(kept("GPU-double-0").await, Some((Some(0x44), Some(12), Some(3), Some(0))));
    assert_eq!(kept("GPU-double-1").await, Some((None, Some(0), Some(0), None)), "not told is not zero");

    // Whoever waits for errors registers at its own pace: repeat until one arrives.
    let told = async || -> Vec<(String, i32)> {
        sqlx::query_as("select gpu_uuid, xid from gpu_xid_events order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap()
    };
    wait_until("an error", PATIENCE, async || {
        script.xids.push(Xid { card: "GPU-double-1".into(), code: 31 });
        double.play(&script).unwrap();
        !told().await.is_empty()
    })
    .await;
    let told = told().await;
    assert!(told.iter().all(|event| *event == ("GPU-double-1".to_owned(), 31)), "{told:?}");
    assert!(told.len() <= script.xids.len(), "each is kept once");
}

#[tokio::test]
async fn a_history_is_bounded_whatever_was_kept() {
    const GPUS: i32 = 64;
    const DAY: i32 = 8_640;
    let Some((world, _engine)) = World::simulated().await else { return };
    let _launcher = world.launcher(&[]).await;
    let host = world.host().await;
    sqlx::query(
        "insert into gpus (uuid, host_id, index, model, simulated, total_mib, allocatable_mib)
         select 'GPU-' || n, $1, n, 'test', true, 81559, 81559 from generate_series(0, $2 - 1) n",
    )
    .bind(host.uuid())
    .bind(GPUS)
    .execute(&world.pool)
    .await
    .unwrap();
    // A day of samples, of which one was slowed; single peaks of memory and heat, while the card was neither idle nor most busy.
    sqlx::query(
        "insert into gpu_samples (gpu_uuid, at, used_mib, reserved_mib, foreign_mib, utilization_percent,
             temperature_celsius, throttle_reasons, ecc_corrected, ecc_uncorrected)
         select 'GPU-' || g, now() - make_interval(secs => s * 10), case s when 4321 then 81555 when 4322 then 7 else 40000 + s % 500 end,
             80000, case s when 3210 then 33333 else 1000 end, s % 101, case s when 2222 then 97 else 60 end,
             case when s = 5000 then 64 else 0 end, 7, 1
         from generate_series(0, $1 - 1) g, generate_series(1, $2) s",
    )
    .bind(GPUS)
    .bind(DAY)
    .execute(&world.pool)
    .await
    .unwrap();
    let mut connection = world.pool.acquire().await.unwrap();
    let xids: Vec<(GpuUuid, u32)> = (0..700).map(|_| (GpuUuid::new("GPU-3"), 79)).collect();
    for _ in 0..2 {
        gpus::keep_xids(&mut connection, &xids).await.unwrap();
    }
    gpus::keep_xids(&mut connection, &[(GpuUuid::new("GPU-3"), 48), (GpuUuid::new("nobody's"), 1)])
        .await
        .unwrap();

    let window = staging::window_until_now(&mut connection, chrono::TimeDelta::days(2)).await.unwrap();
    let histories = gpu_history::read(&mut connection, window).await.unwrap();
    assert_eq!(histories.len(), 64);
    let staged: usize = histories.iter().map(|gpu| gpu.samples.len()).sum();
    assert!(staged <= MAX_STAGED_SAMPLES && staged > MAX_STAGED_SAMPLES / 2, "{staged}");
    for gpu in &histories {
        assert_eq!(gpu.samples.len() as u64 + gpu.samples_left_out, DAY as u64);
        let slow =
            gpu.samples.iter().filter(|sample| sample.throttle.is_some_and(ThrottleReasons::slow)).count();
        assert_eq!(slow, 1, "the one slowed sample of {}", gpu.uuid);
        let most = gpu.samples.iter().filter_map(|sample| sample.utilization_percent).max();
        assert_eq!(most, Some(100));
        let used = || gpu.samples.iter().map(|sample| sample.used_mib);
        assert_eq!((used().min(), used().max()), (Some(7), Some(81_555)));
        assert_eq!(gpu.samples.iter().map(|sample| sample.foreign_mib).max(), Some(33_333));
        assert_eq!(gpu.samples.iter().filter_map(|sample| sample.temperature_c).max(), Some(97));
    }
    let bytes = serde_json::to_vec(&histories).unwrap().len();
    println!("{staged} samples staged of {}, {bytes} bytes", GPUS * DAY);
    assert!(bytes < 32 << 20, "{bytes} bytes");
    let errors: Vec<&XidEvent> = histories.iter().flat_map(|gpu| &gpu.xids).collect();
    assert_eq!((errors.len(), errors.last().unwrap().xid), (1_000, 48), "the newest thousand");
}
