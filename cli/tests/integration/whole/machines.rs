//! What the service map and the GPU report tell, held against the engine and the rows of the samples.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    landscape::{Landscape, inspect},
    markdown::{number, table},
    outcome::{Outcome, count},
};
use crate::support::Installation;

/// Every number of the map.
pub async fn map_holds(outcome: &Outcome, planted: &Landscape) {
    let result = outcome.result("service_map").await;
    let own = outcome.artifact("service_map", "report.md").await;
    let services = result["services"].as_array().unwrap();
    let rows = table(&own, "## Services");
    let names: Vec<&str> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, planted.names());
    assert_eq!(rows.len(), names.len());
    let mut running = 0;
    for (service, row) in services.iter().zip(&rows) {
        let truly = inspect(service["name"].as_str().unwrap());
        let networks = truly["NetworkSettings"]["Networks"].as_object().unwrap();
        let mounts = truly["Mounts"].as_array().unwrap().len() as u64;
        let published = truly["NetworkSettings"]["Ports"].as_object().unwrap();
        let published = published.values().filter_map(Value::as_array).map(Vec::len).sum::<usize>() as u64;
        let labels = &truly["Config"]["Labels"];
        assert_eq!(service["id"].as_str().unwrap(), &truly["Id"].as_str().unwrap()[..12]);
        assert_eq!(service["image_id"], truly["Image"]);
        assert_eq!(service["image"], planted.image());
        assert_eq!(service["state"], truly["State"]["Status"]);
        assert_eq!(service["restart_count"], truly["RestartCount"]);
        assert_eq!(count(&service["networks"]), networks.len() as u64);
        assert_eq!(count(&service["published_ports"]), published);
        assert_eq!(count(&service["mounts"]), mounts);
        assert_eq!(service["compose_project"], labels["com.docker.compose.project"]);
        assert_eq!(service["compose_service"], labels["com.docker.compose.service"]);
        assert_eq!(row["Service"], service["name"].as_str().unwrap());
        assert_eq!(number(&row["Restarts"]), count(&truly["RestartCount"]));
        assert_eq!(number(&row["Mounts"]), mounts);
        running += u64::from(truly["State"]["Running"] == true);
    }
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
    let edges: BTreeSet<String> = result["edges"].as_array().unwrap().iter().map(edge).collect();
    let (database, web) = (place(&planted.database), place(&planted.web));
    let expected = [
        format!("{web} -> {database} reference"),
        format!("{database} -> {web} network {}", planted.network),
    ];
    assert_eq!(edges, BTreeSet::from(expected));
    let networks = table(&own, "## Networks");
    assert_eq!((networks.len(), number(&networks[0]["Services"])), (1, 2));
    let headline = &outcome.job("service_map")["headline"];
    for (key, expected) in [
        ("services", 4),
        ("running", running),
        ("unhealthy", 0),
        ("edges", 2),
        ("networks", 1),
        ("changes", 0),
    ] {
        assert_eq!(count(&headline[key]), expected, "{key} of {headline}");
    }
    assert_eq!(running, 2);
    let sentence = "4 services (2 running, 0 unhealthy), 2 connections, 1 network";
    assert!(outcome.markdown.contains(sentence), "{}", outcome.markdown);
    assert!(own.contains("was restarted 5 times"), "{own}");
}

fn edge(edge: &Value) -> String {
    let network = edge["network"].as_str().map_or_else(String::new, |name| format!(" {name}"));
    format!("{} -> {} {}{network}", edge["from"], edge["to"], edge["kind"].as_str().unwrap())
}

/// One row of samples within a window.
#[derive(sqlx::FromRow)]
struct Samples {
    samples: i64,
    used_min: i32,
    used_mean: f64,
    used_max: i32,
    reserved_min: i32,
    reserved_mean: f64,
    reserved_max: i32,
    busiest: i16,
    hottest: i16,
}

/// Every number of the one simulated card.
pub async fn card_holds(outcome: &Outcome, up: &Installation) {
    let result = outcome.result("gpu_report").await;
    let own = outcome.artifact("gpu_report", "report.md").await;
    let at = |key: &str| -> DateTime<Utc> { result["window"][key].as_str().unwrap().parse().unwrap() };
    let (from, to) = (at("from"), at("to"));
    let truly: Samples = sqlx::query_as(
        "select count(*) as samples, min(used_mib) as used_min, avg(used_mib)::float8 as used_mean, max(used_mib) as used_max, \
                min(reserved_mib) as reserved_min, avg(reserved_mib)::float8 as reserved_mean, \
                max(reserved_mib) as reserved_max, max(utilization_percent) as busiest, \
                max(temperature_celsius) as hottest \
         from gpu_samples where at >= $1 and at < $2",
    )
    .bind(from)
    .bind(to)
    .fetch_one(&up.pool())
    .await
    .unwrap();
    let (leases, reserved): (i64, f64) = sqlx::query_as(
        "select count(*), coalesce(sum(extract(epoch from least(released_at, $2) - greatest(created_at, $1)))::float8, 0) \
         from gpu_leases where created_at < $2 and coalesce(released_at, 'infinity') > $1",
    )
    .bind(from)
    .bind(to)
    .fetch_one(&up.pool())
    .await
    .unwrap();
    assert!(truly.samples > 0 && leases == 1, "{} samples, {leases} leases", truly.samples);
    let gpus = result["gpus"].as_array().unwrap();
    assert_eq!(gpus.len(), 1);
    let gpu = &gpus[0];
    assert_eq!(gpu["samples"], truly.samples);
    assert_eq!(gpu["total_mib"], 8_192);
    assert_eq!(
        (&gpu["used_mib"]["min"], &gpu["used_mib"]["max"]),
        (&truly.used_min.into(), &truly.used_max.into())
    );
    let reserved_mib = (&gpu["reserved_mib"]["min"], &gpu["reserved_mib"]["max"]);
    assert_eq!(reserved_mib, (&truly.reserved_min.into(), &truly.reserved_max.into()));
    let is_mean = |told: &Value, truly: f64| (told.as_f64().unwrap() - truly).abs() < 0.01;
    assert!(is_mean(&gpu["used_mib"]["mean"], truly.used_mean), "{gpu}");
    assert!(is_mean(&gpu["reserved_mib"]["mean"], truly.reserved_mean), "{gpu}");
    assert_eq!(gpu["utilization_percent"]["max"], truly.busiest);
    assert_eq!(gpu["temperature_max_c"], truly.hottest);
    assert_eq!((&gpu["leases"], gpu["run_jobs"].as_array().unwrap().len()), (&1.into(), 1));
    let seconds = gpu["reserved_seconds"].as_f64().unwrap();
    assert!((seconds - reserved).abs() <= 1.0, "{seconds} s told, {reserved} s true");
    let memory = &table(&own, "## Memory")[0];
    assert_eq!(number(&memory["Samples"]), u64::try_from(truly.samples).unwrap());
    assert_eq!(
        memory["Used: min · mean · max"],
        format!("{} · {:.0} · {}", truly.used_min, truly.used_mean, truly.used_max)
    );
    let load = &table(&own, "## Load")[0];
    assert_eq!(load["max"], format!("{} %", truly.busiest));
    assert_eq!((number(&load["Leases"]), table(&own, "## Who held which GPU").len()), (1, 1));
    let headline = &outcome.job("gpu_report")["headline"];
    let expected: BTreeMap<&str, u64> = BTreeMap::from([
        ("gpus", 1),
        ("samples", u64::try_from(truly.samples).unwrap()),
        ("leases", 1),
        ("overlaps", 0),
        ("xids", 0),
        ("reserved_seconds", count(&gpu["reserved_seconds"])),
        ("idle_reserved_seconds", count(&gpu["idle_reserved_seconds"])),
    ]);
    for (key, expected) in expected {
        assert_eq!(count(&headline[key]), expected, "{key} of {headline}");
    }
}
