//! GPUs through NVIDIA's C interface: the real wrapper loads a double of the library.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cyberbrain_core::{
    ids::GpuUuid,
    staging::{GpuOrigin, ThrottleReason, ThrottleReasons},
};
use cyberbrain_launcher::{
    gpu::{
        GpuHealth, GpuKind, GpuMonitor, GpuProbe, GpuSample, Inventory, Latest, NvmlProbe, ProbeChoice,
        ProbeStatus, Reading, XidSeverity, container_of, describe, xid_severity,
    },
    runtime::WorkerRuntime,
};
use cyberbrain_nvml_double::{CardState, Double, Init, Process, Script, Slice, Xid};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(50);

fn probe(double: &Double) -> NvmlProbe {
    NvmlProbe::new(Some(double.library()))
}

fn looked(script: &Script) -> (Double, NvmlProbe, Inventory) {
    let double = Double::install(script).unwrap();
    let mut probe = probe(&double);
    let inventory = probe.inventory();
    (double, probe, inventory)
}

fn only(samples: Vec<GpuSample>) -> GpuSample {
    let [sample] = samples.try_into().unwrap();
    sample
}

#[test]
fn two_gpus_are_read() {
    let mut script = Script::cards(2, 24_576);
    script.cards[1].used_mib = 6_144;
    script.cards[1].utilization_percent = Some(20);
    script.cards[1].ecc_errors = Some(3);
    script.cards[1].corrected_ecc_errors = Some(12);
    script.cards[1].throttle_reasons = Some(0x44);
    let (_double, mut probe, inventory) = looked(&script);
    assert_eq!(inventory.status, ProbeStatus::Ready { driver_version: "550.54.15".into() });
    let seen: Vec<_> = inventory
        .gpus
        .iter()
        .map(|gpu| (gpu.uuid.as_str(), gpu.index, gpu.total_mib, gpu.allocatable_mib, &gpu.kind, gpu.origin))
        .collect();
    assert_eq!(
        seen,
        [
            ("GPU-double-0", 0, 24_576, 24_064, &GpuKind::Card, GpuOrigin::Real),
            ("GPU-double-1", 1, 24_576, 24_064, &GpuKind::Card, GpuOrigin::Real),
        ]
    );
    let samples = probe.sample().unwrap();
    assert_eq!(samples[0].used_mib, Some(0));
    let busy = &samples[1];
    assert_eq!(busy.health, GpuHealth::Healthy);
    assert_eq!((busy.used_mib, busy.utilization_percent), (Some(6_144), Some(20)));
    assert_eq!((busy.temperature_celsius, busy.power_milliwatts), (Some(40), Some(50_000)));
    assert_eq!((busy.corrected_ecc_errors, busy.uncorrected_ecc_errors), (Some(12), Some(3)));
    let reasons: Vec<_> = busy.throttle.unwrap().iter().map(ThrottleReason::as_str).collect();
    assert_eq!(reasons, ["power_cap", "hardware_thermal_slowdown"]);
    assert_eq!(samples[0].throttle, Some(ThrottleReasons::default()), "told, and none");
    assert_eq!(busy.processes, Some(Vec::new()));
}

#[test]
fn what_a_card_does_not_tell_is_unknown_and_never_zero() {
    let mut script = Script::cards(1, 24_576);
    let card = &mut script.cards[0];
    card.utilization_percent = None;
    card.temperature_celsius = None;
    card.power_milliwatts = None;
    card.ecc_errors = None;
    card.corrected_ecc_errors = None;
    card.throttle_reasons = None;
    let (_double, mut probe, _) = looked(&script);
    let sample = only(probe.sample().unwrap());
    assert_eq!(sample.health, GpuHealth::Healthy);
    assert_eq!(sample.utilization_percent, None);
    assert_eq!(sample.temperature_celsius, None);
    assert_eq!(sample.power_milliwatts, None);
    assert_eq!((sample.corrected_ecc_errors, sample.uncorrected_ecc_errors), (None, None));
    assert_eq!(sample.throttle, None);
    assert_eq!(sample.used_mib, Some(0), "what it does tell is there");
}

#[test]
fn a_card_that_is_lost_mid_run_stays_known_and_says_so() {
    let mut script = Script::cards(2, 24_576);
    let (double, mut probe, before) = looked(&script);
    for (state, health) in
        [(CardState::Lost, GpuHealth::Lost), (CardState::ResetRequired, GpuHealth::ResetRequired)]
    {
        script.cards[0].state = state;
        double.play(&script).unwrap();
        let samples = probe.sample().unwrap();
        assert_eq!(samples[0].health, health);
        assert_eq!((samples[0].used_mib, samples[0].utilization_percent), (None, None), "not idle: unknown");
        assert_eq!(samples[1].health, GpuHealth::Healthy, "its neighbour is not touched");
        assert_eq!(probe.inventory(), before, "it is remembered");
    }
    script.cards[0].state = CardState::Ok;
    double.play(&script).unwrap();
    assert_eq!(probe.sample().unwrap()[0].health, GpuHealth::Healthy, "and comes back by itself");
}

#[test]
fn without_a_driver_there_is_an_empty_inventory_and_a_reason() {
    let mut missing = NvmlProbe::new(Some(PathBuf::from("/nowhere/libnvidia-ml.so.1")));
    let inventory = missing.inventory();
    assert_eq!((inventory.status, inventory.gpus), (ProbeStatus::NoLibrary, Vec::new()));
    assert_eq!(missing.sample(), Ok(Vec::new()));

    let mut script = Script::cards(1, 24_576);
    for (init, status) in [
        (Init::DriverNotLoaded, ProbeStatus::DriverNotLoaded),
        (Init::VersionMismatch, ProbeStatus::VersionMismatch),
        (Init::NoPermission, ProbeStatus::NoPermission),
    ] {
        script.init = init;
        let (_double, _, inventory) = looked(&script);
        assert_eq!((inventory.status, inventory.gpus), (status, Vec::new()));
    }
}

#[test]
fn a_driver_that_is_upgraded_mid_run_is_told_and_found_again() {
    let mut script = Script::cards(1, 24_576);
    let (double, mut probe, before) = looked(&script);
    script.init = Init::VersionMismatch;
    double.play(&script).unwrap();
    assert_eq!(probe.sample(), Err(ProbeStatus::VersionMismatch));
    let during = probe.inventory();
    assert_eq!(during.status, ProbeStatus::VersionMismatch);
    assert_eq!(during.gpus, before.gpus, "the cards are not unmade by it");
    script.init = Init::Ok;
    script.driver_version = "555.1".into();
    double.play(&script).unwrap();
    let after = probe.inventory();
    assert_eq!(after.status, ProbeStatus::Ready { driver_version: "555.1".into() });
    assert_eq!(probe.sample().unwrap().len(), 1);
}

#[test]
fn a_card_without_memory_of_its_own_shows_the_machines() {
    let mut script = Script::cards(1, 1);
    script.cards[0].state = CardState::Unified;
    let (_double, mut probe, inventory) = looked(&script);
    assert_eq!(inventory.gpus[0].kind, GpuKind::UnifiedMemory);
    assert!(inventory.gpus[0].total_mib > 256, "{inventory:?}");
    let sample = only(probe.sample().unwrap());
    assert!(sample.used_mib.unwrap() > 0 && sample.used_mib.unwrap() < inventory.gpus[0].total_mib);
}

#[test]
fn a_partitioned_card_is_its_slices() {
    let mut script = Script::cards(2, 81_920);
    script.cards[0].state = CardState::Mig;
    script.slices = ["MIG-a", "MIG-b"]
        .map(|uuid| Slice {
            parent: "GPU-double-0".into(),
            uuid: uuid.into(),
            total_mib: 20_096,
            reserved_mib: 63,
            used_mib: 13,
        })
        .to_vec();
    let (_double, mut probe, inventory) = looked(&script);
    let seen: Vec<_> = inventory.gpus.iter().map(|gpu| (gpu.uuid.as_str(), gpu.index)).collect();
    assert_eq!(seen, [("GPU-double-1", 1), ("MIG-a", 100), ("MIG-b", 101)]);
    assert_eq!(inventory.gpus[1].kind, GpuKind::MigSlice { parent: GpuUuid::new("GPU-double-0") });
    let samples = probe.sample().unwrap();
    assert_eq!((samples[1].used_mib, samples[1].utilization_percent), (Some(13), None));
    assert_eq!(samples[1].health, GpuHealth::Healthy);
    assert_eq!(samples[0].utilization_percent, Some(0), "a whole card beside it is as ever");
}

#[test]
fn processes_come_with_their_memory_or_without() {
    let mut script = Script::cards(1, 24_576);
    let card = script.cards[0].uuid.clone();
    let own = std::process::id();
    script.processes = vec![
        Process { card: card.clone(), pid: own, used_mib: Some(700) },
        Process { card, pid: u32::MAX - 1, used_mib: None },
    ];
    let (_double, mut probe, _) = looked(&script);
    let processes = only(probe.sample().unwrap()).processes.unwrap();
    let seen: Vec<_> = processes.iter().map(|process| (process.pid, process.used_mib)).collect();
    assert_eq!(seen, [(Some(own), Some(700)), (Some(u32::MAX - 1), None)]);
}

#[test]
fn critical_errors_are_told_once_and_to_the_right_card() {
    let mut script = Script::cards(2, 24_576);
    let (double, mut probe, _) = looked(&script);
    let card = script.cards[1].uuid.clone();
    let pause = || {
        let (_sender, nothing) = std::sync::mpsc::channel::<()>();
        let _ = nothing.recv_timeout(PERIOD);
    };
    // The thread that waits for them registers at its own pace: repeat until one arrives.
    let deadline = std::time::Instant::now() + LONG;
    loop {
        script.xids.push(Xid { card: card.clone(), code: 79 });
        double.play(&script).unwrap();
        pause();
        let samples = probe.sample().unwrap();
        assert!(samples[0].xids.is_empty());
        if let [first, ..] = samples[1].xids[..] {
            assert_eq!(first, 79);
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no error was told");
    }
    // Another one comes after all of those, and nothing comes after it.
    script.xids.push(Xid { card, code: 48 });
    double.play(&script).unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&48) {
        pause();
        told.extend(probe.sample().unwrap()[1].xids.iter().copied());
        assert!(std::time::Instant::now() < deadline, "{told:?}");
    }
    assert!(told.len() <= script.xids.len());
    pause();
    assert!(probe.sample().unwrap()[1].xids.is_empty(), "told once");
    assert_eq!(xid_severity(79), XidSeverity::Hardware);
    assert_eq!(xid_severity(31), XidSeverity::Application);
}

#[test]
fn a_description_is_one_json_object() {
    let (_double, mut probe, _) = looked(&Script::cards(2, 24_576));
    let text = serde_json::to_value(describe(&mut probe)).unwrap();
    assert_eq!(text["status"]["state"], "ready");
    assert_eq!(text["gpus"][1]["uuid"], "GPU-double-1");
    assert_eq!(text["gpus"][1]["origin"], "real");
    assert_eq!(text["samples"][1]["used_mib"], 0);
    let none = serde_json::to_value(describe(ProbeChoice::None.open().as_mut())).unwrap();
    assert_eq!(none, serde_json::json!({"status": {"state": "off"}, "gpus": [], "samples": []}));
}

/// The next reading that is as wanted.
async fn until(monitor: &mut GpuMonitor, wanted: impl Fn(&Reading) -> bool) -> Arc<Reading> {
    let found = async {
        loop {
            let reading = monitor.next().await.expect("the probe goes on");
            if wanted(&reading) {
                return reading;
            }
        }
    };
    timeout(LONG, found).await.expect("it is seen in time")
}

fn monitor(double: &Double) -> GpuMonitor {
    let choice = ProbeChoice::Nvml { library: Some(double.library()) };
    GpuMonitor::start(|| choice.open(), PERIOD).unwrap()
}

#[tokio::test]
async fn a_monitor_follows_what_happens() {
    let mut script = Script::cards(2, 24_576);
    let double = Double::install(&script).unwrap();
    let mut monitor = monitor(&double);
    let first = until(&mut monitor, |reading| reading.samples.len() == 2).await;
    script.cards[0].used_mib = 1_000;
    double.play(&script).unwrap();
    let later = until(&mut monitor, |reading| reading.samples[0].used_mib == Some(1_000)).await;
    assert!(later.sequence > first.sequence);
    script.init = Init::DriverNotLoaded;
    double.play(&script).unwrap();
    let gone = until(&mut monitor, |reading| !reading.status.is_ready()).await;
    assert_eq!((gone.gpus.len(), gone.samples.len()), (2, 0));
    script.init = Init::Ok;
    double.play(&script).unwrap();
    until(&mut monitor, |reading| reading.samples.len() == 2).await;
}

#[tokio::test]
async fn a_hung_driver_yields_no_reading_and_the_age_shows_it() {
    let mut script = Script::cards(2, 24_576);
    let double = Double::install(&script).unwrap();
    let mut monitor = monitor(&double);
    until(&mut monitor, |reading| reading.samples.len() == 2).await;
    assert!(matches!(monitor.latest(), Latest::Fresh(_)));
    script.cards[1].state = CardState::Hung;
    double.play(&script).unwrap();
    // No reading for ten periods, once the ones under way have arrived.
    while timeout(PERIOD * 10, monitor.next()).await.is_ok() {}
    let Latest::Stale { last: Some(last), silent_for } = monitor.latest() else { panic!("it is not stale") };
    assert!(silent_for >= PERIOD * 10);
    assert_eq!(last.samples.len(), 2, "what was seen last is still there");
    script.cards[1].state = CardState::Ok;
    double.play(&script).unwrap();
    let next = until(&mut monitor, |_| true).await;
    assert_eq!(next.sequence, last.sequence + 1);
    assert!(matches!(monitor.latest(), Latest::Fresh(_)));
}

#[tokio::test]
async fn a_machine_without_a_driver_is_no_error_loop() {
    let choice = ProbeChoice::Nvml { library: Some("/nowhere.so".into()) };
    let mut monitor = GpuMonitor::start(|| choice.open(), PERIOD).unwrap();
    let reading = until(&mut monitor, |_| true).await;
    assert_eq!((&reading.status, reading.gpus.len()), (&ProbeStatus::NoLibrary, 0));
    assert!(matches!(monitor.latest(), Latest::Fresh(_)), "it is known that there is nothing");
}

#[tokio::test]
async fn a_containers_process_is_known_by_its_cgroup() {
    let Some(engine) = crate::docker::engine().await else { return };
    let shell = crate::docker::shell_image(&engine).await;
    let instance = uuid::Uuid::now_v7().into();
    let mark = uuid::Uuid::now_v7().to_string();
    let plan = crate::docker_engine::helper(instance, &shell.id, &format!("echo {mark}; sleep 600"));
    let id = engine.create(&plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    // Whatever of this machine's processes is found to be the container's must be its shell, its sleep or
    // the engine's init.
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let inside: Vec<String> = pids
        .filter_map(|name| name.parse().ok())
        .filter(|pid| container_of("/proc".as_ref(), *pid).as_ref() == Some(&id))
        .filter_map(|pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok())
        .collect();
    engine.kill(&plan.name).await.unwrap();
    engine.wait(&plan.name).await;
    engine.remove(&plan.name).await.unwrap();
    assert!(inside.iter().any(|command| command.contains(&mark)), "{inside:?}");
    assert!(inside.len() <= 3, "{inside:?}");
    assert_eq!(container_of("/proc".as_ref(), std::process::id()), None, "this test runs in none");
}
