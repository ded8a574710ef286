//! Known samples and leases give known figures.

use chrono::TimeDelta;
use cyberbrain_core::{
    ids::GpuUuid,
    outcome::{GpuReport, JobResult, MemorySpread, Throttled, UtilizationSpread},
    staging::{
        GPU_FILE, GpuHistory, GpuOrigin, GpuSample, GpuWindow, LeaseSpan, Thinner, ThrottleReasons, Window,
        XidEvent,
    },
};
use cyberbrain_worker::{Error, Job};

use crate::staged::{Left, Worker, at, start};

/// One sample a minute: used, reserved, foreign, utilization, temperature.
type Row = (u32, u32, u32, u8, Option<u32>);

fn gpu(index: u32, total_mib: u32, rows: &[Row], leases: Vec<LeaseSpan>) -> GpuHistory {
    let sample = |(minute, row): (usize, &Row)| GpuSample {
        at: start() + TimeDelta::minutes(minute as i64),
        used_mib: row.0,
        reserved_mib: row.1,
        foreign_mib: row.2,
        utilization_percent: Some(row.3),
        temperature_c: row.4,
        throttle: None,
        ecc_corrected: None,
        ecc_uncorrected: None,
    };
    GpuHistory {
        uuid: GpuUuid::new(format!("GPU-SIM-alpha-{index}")),
        index,
        host: "alpha".to_owned(),
        model: "Simulated 24G".to_owned(),
        total_mib,
        origin: GpuOrigin::Simulated,
        samples: rows.iter().enumerate().map(sample).collect(),
        samples_left_out: 0,
        xids: Vec::new(),
        leases,
    }
}

fn lease(run_job: u8, from_minute: i64, to_minute: Option<i64>, reserved_mib: u32) -> LeaseSpan {
    LeaseSpan {
        run_job_id: format!("01938000-0000-7000-8000-0000000000{run_job:02x}").parse().unwrap(),
        from: start() + TimeDelta::minutes(from_minute),
        to: to_minute.map(|minute| start() + TimeDelta::minutes(minute)),
        reserved_mib,
    }
}

fn window() -> Window {
    Window { from: start(), to: start() + TimeDelta::minutes(10) }
}

fn run(gpus: Vec<GpuHistory>) -> (Worker, Left, GpuReport) {
    let worker = Worker::of("gpu_report");
    worker.stage(GPU_FILE, &GpuWindow { window: window(), gpus });
    let left = worker.run(Job::GpuReport).unwrap();
    let JobResult::GpuReport(report) = left.result.clone() else { panic!("{:?}", left.result) };
    (worker, left, report)
}

fn two_known_gpus() -> Vec<GpuHistory> {
    let busy = [
        (1_000, 8_000, 500, 0, Some(41)),
        (9_000, 8_000, 1_000, 85, Some(70)),
        (9_000, 8_000, 1_000, 95, Some(83)),
        (9_001, 8_000, 1_000, 90, Some(79)),
        (2_000, 0, 500, 4, None),
    ];
    let calm =
        [(0, 24_576, 0, 0, None), (0, 24_576, 0, 2, None), (12_288, 24_576, 0, 60, None), (0, 0, 0, 0, None)];
    vec![
        gpu(1, 24_576, &calm, vec![lease(7, 0, Some(3), 24_576)]),
        gpu(0, 24_576, &busy, vec![lease(5, -5, Some(4), 8_000), lease(6, 4, None, 8_000)]),
    ]
}

#[test]
fn two_simulated_gpus_are_told_with_their_values() {
    let (worker, left, report) = run(two_known_gpus());
    let [busy, calm] = report.gpus.as_slice() else { panic!("{:#?}", report.gpus) };

    assert_eq!((busy.index, busy.total_mib, busy.samples, busy.origin), (0, 24_576, 5, GpuOrigin::Simulated));
    assert_eq!(busy.used_mib, Some(MemorySpread { min: 1_000, mean: 6_000.2, max: 9_001 }));
    assert_eq!(busy.reserved_mib, Some(MemorySpread { min: 0, mean: 6_400.0, max: 8_000 }));
    assert_eq!(busy.foreign_mib, Some(MemorySpread { min: 500, mean: 800.0, max: 1_000 }));
    assert_eq!(busy.utilization_percent, Some(UtilizationSpread { mean: 54.8, p50: 85, p95: 95, max: 95 }));
    assert_eq!((busy.hot_samples, busy.temperature_max_c, busy.leases), (3, Some(83), 2));
    // Reserved all ten minutes; idle in the first, and in the one after the last sample.
    assert_eq!((busy.reserved_seconds, busy.idle_reserved_seconds), (600, 120));
    assert_eq!(busy.unknown_reserved_seconds, 300, "the last five minutes were not observed");
    let run_jobs: Vec<String> = busy.run_jobs.iter().map(ToString::to_string).collect();
    assert_eq!(run_jobs, ["01938000-0000-7000-8000-000000000005", "01938000-0000-7000-8000-000000000006"]);

    assert_eq!(calm.used_mib, Some(MemorySpread { min: 0, mean: 3_072.0, max: 12_288 }));
    assert_eq!(calm.utilization_percent, Some(UtilizationSpread { mean: 15.5, p50: 0, p95: 60, max: 60 }));
    assert_eq!((calm.hot_samples, calm.temperature_max_c), (0, None));
    assert_eq!((calm.reserved_seconds, calm.idle_reserved_seconds), (180, 120));

    assert_eq!(report.overlaps, []);
    if let Ok(folder) = std::env::var("CYBERBRAIN_KEEP_REPORTS") {
        std::fs::write(format!("{folder}/gpu.md"), &left.report).unwrap();
        std::fs::write(format!("{folder}/gpu-chart.svg"), worker.artifact("gpu-chart.svg")).unwrap();
    }
    for told in [
        "**2 GPUs** on 1 host, all simulated",
        "1,000 · 6,000 · 9,001",
        "0 · 3,072 · 12,288",
        "54.8 %",
        "83 °C",
        "01938000-0000-7000-8000-000000000007",
        "At no instant did leases add up to more than a card has.",
        "| alpha / GPU 0 | 2026-11-01 10:01:00 – 10:04:00 UTC | 3 min | 3 | 95 % |",
        "- 4 min of 13 min reserved card time saw a utilization below 5 % (30 %).",
        "- 1 GPU was above 80 % at some time.",
        "| 24,576 | 1,000 · 6,000 · 9,001 | 0 · 6,400 · 8,000 | 500 · 800 · 1,000 | 5 |",
        "| alpha / GPU 0 | 54.8 % | 85 % | 95 % | 95 % | 0 of 5 | 3 | 83 °C | 10 min | 2 min | 5 min | 2 |",
        "| alpha / GPU 1 | 15.5 % | 0 % | 60 % | 60 % | 0 of 4 | 0 | – | 3 min | 2 min | 0 s | 1 |",
        "| 2026-11-01 09:55:00 UTC | 2026-11-01 10:04:00 UTC | 4 min | 8,000 |",
        "| 2026-11-01 10:04:00 UTC | still held | 6 min | 8,000 |",
    ] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
    let chart = worker.artifact("gpu-chart.svg");
    assert!(chart.contains("alpha / GPU 0 · Simulated 24G · 24576 MiB (simulated)"), "{chart}");
    assert_eq!(chart.matches("<path").count(), 8, "four lines per GPU");
}

#[test]
fn an_untold_utilization_is_unknown_and_never_idle() {
    let mut card = gpu(
        0,
        24_576,
        &[
            (1_000, 8_000, 0, 2, None),
            (1_000, 8_000, 0, 90, None),
            (1_000, 8_000, 0, 0, None),
            (1_000, 8_000, 0, 0, None),
        ],
        vec![lease(1, 0, Some(4), 8_000)],
    );
    card.samples[2].utilization_percent = None;
    card.samples[3].utilization_percent = None;
    let (_, left, report) = run(vec![card]);
    let seen = &report.gpus[0];
    assert_eq!((seen.samples, seen.utilization_unknown, seen.hot_samples), (4, 2, 1));
    assert_eq!(seen.utilization_percent, Some(UtilizationSpread { mean: 46.0, p50: 2, p95: 90, max: 90 }));
    assert_eq!(
        (seen.reserved_seconds, seen.idle_reserved_seconds, seen.unknown_reserved_seconds),
        (240, 60, 120)
    );
    for told in ["unknown for 2 of 4 samples", "For 2 min of it the utilization is unknown", "| 2 of 4 |"] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
}

#[test]
fn throttling_ecc_and_xids_are_told_with_their_numbers() {
    let row = |_| (1_000, 0, 0, 99, Some(80));
    let mut card = gpu(0, 24_576, &[0; 6].map(row), Vec::new());
    // Idle and chosen clocks (0x3) slow nothing; 0x4 is power, 0x48 heat by hardware, 0x90 power brake and group.
    for (sample, (bits, corrected, uncorrected)) in card.samples.iter_mut().zip([
        (0x3, 5, 1),
        (0x4, 5, 1),
        (0x48, 9, 1),
        (0x90, 9, 1),
        (0x0, 2, 0),
        (0x4, 3, 2),
    ]) {
        sample.throttle = Some(ThrottleReasons::from_bits(bits));
        sample.ecc_corrected = Some(corrected);
        sample.ecc_uncorrected = Some(uncorrected);
    }
    let xid = |minute, xid| XidEvent { at: start() + TimeDelta::minutes(minute), xid };
    card.xids = vec![xid(3, 79), xid(1, 31)];
    let quiet = gpu(1, 24_576, &[(0, 0, 0, 0, None)], Vec::new());
    let (worker, left, report) = run(vec![card, quiet]);
    let [seen, quiet] = report.gpus.as_slice() else { panic!("{:#?}", report.gpus) };
    let expected = Throttled { samples: 4, power: 3, heat: 1, hardware: 2, sync_boost: 1 };
    assert_eq!(seen.throttled, Some(expected));
    // 5 to 9, then 2 of a new driver, then one more; 1, then 0 of a new driver, then 2.
    assert_eq!((seen.ecc_corrected, seen.ecc_uncorrected), (Some(7), Some(2)));
    assert_eq!((seen.xids, seen.hardware_xids), (2, 1));
    assert_eq!((quiet.throttled, quiet.ecc_corrected, quiet.xids), (None, None, 0), "unknown, not none");
    for told in [
        "| alpha / GPU 0 | 4 | 3 | 1 | 2 | 1 | 7 | 2 | 2 | 1 |",
        "| alpha / GPU 1 | – | – | – | – | – | – | – | 0 | 0 |",
        "| alpha / GPU 0 | 2026-11-01 10:01:00 UTC | 31 | a program |",
        "| alpha / GPU 0 | 2026-11-01 10:03:00 UTC | 79 | the card |",
        "**1 GPU had an error of its hardware.**",
        "**1 GPU had memory errors that could not be corrected.**",
        "1 GPU was slowed down",
        "[gpu-chart.svg](gpu-chart.svg)",
    ] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
    let chart = worker.artifact("gpu-chart.svg");
    for told in
        ["24.0 GiB", "100 %", "2026-11-01 10:00 UTC", "<title>XID 79 at 2026-11-01 10:03:00 UTC</title>"]
    {
        assert!(chart.contains(told), "{told:?} is not in\n{chart}");
    }
}

#[test]
fn samples_that_were_not_staged_are_told() {
    let mut card = gpu(0, 24_576, &[(1, 1, 1, 9, None)], Vec::new());
    card.samples_left_out = 8_639;
    let (_, left, report) = run(vec![card]);
    assert_eq!((report.gpus[0].samples, report.gpus[0].samples_left_out), (1, 8_639));
    assert!(left.report.contains("Of 8,640 kept samples 8,639 are not looked at"), "{}", left.report);
}

#[test]
fn times_of_a_thinned_day_stay_near_the_truth() {
    let mut card = gpu(0, 24_576, &[], vec![lease(1, 0, None, 24_576)]);
    // Idle for a quarter of each four hours; 10 s apart.
    let mut thinner = Thinner::new(8_640, 1_875);
    let day = (0..8_640_i64).map(|at| GpuSample {
        at: start() + TimeDelta::seconds(at * 10),
        used_mib: 1_000,
        reserved_mib: 24_576,
        foreign_mib: 0,
        utilization_percent: Some(if at % 1_440 < 360 { 0 } else { 40 + (at % 7) as u8 }),
        temperature_c: None,
        throttle: None,
        ecc_corrected: None,
        ecc_uncorrected: None,
    });
    day.for_each(|sample| thinner.push(sample));
    (card.samples, card.samples_left_out) = thinner.finish();
    let worker = Worker::of("gpu_report");
    let window = Window { from: start(), to: start() + TimeDelta::hours(24) };
    worker.stage(GPU_FILE, &GpuWindow { window, gpus: vec![card] });
    let JobResult::GpuReport(report) = worker.run(Job::GpuReport).unwrap().result else { panic!() };
    let seen = &report.gpus[0];
    assert_eq!(seen.reserved_seconds, 86_400);
    assert!(seen.samples_left_out > 6_000 && seen.unknown_reserved_seconds < 600, "{seen:?}");
    let truth = 86_400 / 4;
    assert!(seen.idle_reserved_seconds.abs_diff(truth) < truth / 20, "{}", seen.idle_reserved_seconds);
}

#[test]
fn a_window_that_is_none_is_refused_by_name() {
    let worker = Worker::of("gpu_report");
    worker.stage(GPU_FILE, &GpuWindow { window: window(), gpus: Vec::new() });
    for bad in ["0", "-1", "745", "\"a day\""] {
        let bad: serde_json::Value = serde_json::from_str(bad).unwrap();
        worker.edit_job(|job| job["params"] = serde_json::json!({"window_hours": bad}));
        let error = worker.run(Job::GpuReport).unwrap_err();
        let Error::Params { source, .. } = &error else { panic!("{error:?}") };
        if bad.is_number() {
            assert!(source.to_string().contains("at most 744"), "{source}");
        }
    }
    worker.edit_job(|job| job["params"] = serde_json::json!({"window_hours": 744, "scope": "all"}));
    worker.run(Job::GpuReport).unwrap();
}

#[test]
fn a_double_booking_is_told_loudly() {
    let leases = vec![lease(1, 0, Some(5), 16_000), lease(2, 3, Some(8), 16_000)];
    let (_, left, report) = run(vec![gpu(0, 24_576, &[], leases)]);
    let [overlap] = report.overlaps.as_slice() else { panic!("{:#?}", report.overlaps) };
    assert_eq!(
        (overlap.from, overlap.to, overlap.reserved_mib),
        (at("2026-11-01T10:03:00Z"), Some(at("2026-11-01T10:05:00Z")), 32_000)
    );
    assert!(left.report.contains("## Double bookings"), "{}", left.report);
}

#[test]
fn without_a_gpu_it_says_so_and_succeeds() {
    let (worker, left, report) = run(Vec::new());
    assert_eq!(report.gpus, []);
    assert!(left.report.contains("There is no GPU"), "{}", left.report);
    assert!(!worker.out("gpu-chart.svg").exists());
}

#[test]
fn a_gpu_without_samples_has_no_figures() {
    let (_, left, report) = run(vec![gpu(0, 24_576, &[], Vec::new())]);
    assert_eq!(
        (report.gpus[0].samples, report.gpus[0].used_mib, report.gpus[0].utilization_percent),
        (0, None, None)
    );
    assert!(left.report.contains("No RunJob held a GPU"), "{}", left.report);
}

#[test]
fn what_was_not_staged_is_no_missing_gpu() {
    let worker = Worker::of("gpu_report");
    let error = worker.run(Job::GpuReport).unwrap_err();
    assert!(matches!(&error, Error::Input { path, .. } if path.ends_with(GPU_FILE)), "{error:?}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn many_gpus_with_long_names_stay_within_the_limits() {
    let gpus = (0..300).map(|index| {
        let mut gpu = gpu(index, 24_576, &[(1, 1, 1, 99, None)], vec![lease(1, 0, None, 30_000)]);
        gpu.host = format!("{}\n{index}", "😀\u{202e}".repeat(500));
        gpu.uuid = GpuUuid::new(format!("{index}-{}", "😀".repeat(300)));
        gpu.model = "|<&😀\"".repeat(100);
        gpu
    });
    let (_, _, report) = run(gpus.collect());
    assert!(report.gpus.len() < 100, "the names are too long for the usual number of GPUs");
    assert_eq!(report.gpus.len() as u64 + report.gpus_left_out, 300);
    assert_eq!(report.overlaps.len() as u64 + report.overlaps_left_out, 300);
}
