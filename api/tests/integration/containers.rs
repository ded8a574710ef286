//! The container inventory: as launchers recorded it, marked by the allowlist.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cyberbrain_common::db::{inventory, staging::AllowedContainer};
use cyberbrain_core::{
    ids::HostId,
    staging::{
        ContainerState, Health, InventoryContainer, Mount, MountAccess, MountKind, NetworkAttachment,
        PortProtocol, PublishedPort,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Api;

fn container(id: &str, name: &str) -> InventoryContainer {
    InventoryContainer {
        id: id.into(),
        name: name.into(),
        image: "postgres:15".into(),
        image_id: "sha256:1".into(),
        state: ContainerState::Running,
        health: Health::Healthy,
        created_at: DateTime::<Utc>::UNIX_EPOCH,
        restart_count: 2,
        last_exit: None,
        networks: vec![NetworkAttachment { name: "shop".into(), ip: Some("10.0.0.7".parse().unwrap()) }],
        ports: vec![PublishedPort {
            container_port: 5432,
            protocol: PortProtocol::Tcp,
            host_ip: Some("127.0.0.1".parse().unwrap()),
            host_port: Some(15432),
        }],
        mounts: vec![Mount {
            kind: MountKind::Volume,
            source: Some("data".into()),
            destination: "/var/lib".into(),
            access: MountAccess::ReadWrite,
        }],
        labels: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        references: vec!["web".into()],
        links: Vec::new(),
        host_ports: Vec::new(),
    }
}

/// One more host; its id.
async fn host(api: &Api, name: &str) -> HostId {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into hosts (id, engine_id, machine_id, name, boot_id, runtime, cpu_millis, memory_mib)
         values ($1, $2, 'machine', $2, 'boot', 'docker', 1, 1)",
    )
    .bind(id)
    .bind(name)
    .execute(&mut api.db.connect().await)
    .await
    .unwrap();
    id.into()
}

/// What a launcher of the host does each minute.
async fn look(api: &Api, host: HostId, containers: &[InventoryContainer]) {
    inventory::record(&mut api.db.connect().await, host, None, containers).await.unwrap();
}

fn names(page: &Value) -> Vec<&str> {
    page["containers"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_newest_snapshot_of_each_container_is_listed_as_it_was_recorded() {
    let Some(api) = Api::start().await else { return };
    assert_eq!(api.get("/api/v1/containers").await.json(), json!({ "containers": [], "next_cursor": null }));
    let (box_a, box_b) = (host(&api, "box-a").await, host(&api, "box-b").await);
    look(&api, box_a, &[container("c1", "db"), container("c2", "web")]).await;
    look(&api, box_b, &[container("c3", "proxy")]).await;
    let exited = InventoryContainer { state: ContainerState::Exited, ..container("c1", "db") };
    look(&api, box_a, &[exited]).await;
    let page = api.get("/api/v1/containers").await.json();
    assert_eq!(names(&page), ["db", "web", "proxy"]);
    let db = &page["containers"][0];
    assert_eq!(
        (&db["state"], &db["current"], &db["host"]),
        (&json!("exited"), &json!(true), &json!("box-a"))
    );
    assert_eq!((&db["ports"][0]["host_port"], &db["networks"][0]["ip"]), (&json!(15432), &json!("10.0.0.7")));
    assert_eq!((&db["mounts"][0]["kind"], &db["labels"]["team"]), (&json!("volume"), &json!("shop")));
    assert_eq!(
        (&db["health"], &db["restart_count"], &db["references"]),
        (&json!("healthy"), &json!(2), &json!(["web"]))
    );
    assert_eq!(page["containers"][1]["current"], false, "the last look did not see it");
    assert_eq!(names(&api.get("/api/v1/containers?host=box-b").await.json()), ["proxy"]);
    assert_eq!(names(&api.get("/api/v1/containers?host=nowhere").await.json()), [""; 0]);
    for query in ["scope=some", "host=%00", "cursor=x", "limit=0", "name=a"] {
        assert_eq!(
            api.get(&format!("/api/v1/containers?{query}")).await.problem(),
            "invalid-query",
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_of_the_inventory_hold_while_launchers_look_again() {
    let Some(api) = Api::start().await else { return };
    let box_a = host(&api, "box-a").await;
    let all: Vec<InventoryContainer> =
        (0..7).map(|n| container(&format!("c{n}"), &format!("name-{n}"))).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        look(&api, box_a, &all).await;
        let answer = api.get(&format!("/api/v1/containers?limit=3{cursor}")).await;
        let page = answer.json();
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert!(answer.headers["link"].contains(next), "{:?}", answer.headers);
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<String> = all.iter().map(|container| container.name.clone()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_marked_is_what_a_launcher_would_read() {
    let Some(api) = Api::start().await else { return };
    let box_a = host(&api, "box-a").await;
    let id = "0123456789abcdef0123456789abcdef";
    let all = [container(id, "db"), container("fedcba9876543210", "web"), container("c3", "proxy")];
    look(&api, box_a, &all).await;
    // id, name, host, enabled
    let entries = [
        (id, "", "*", true),
        (&id[..12], "", "box-a", true),
        (&id[..11], "", "*", true),
        ("web", "", "*", true),
        ("gone", "web", "*", true),
        ("gone", "we", "*", true),
        ("c3", "", "box-b", true),
        ("c3", "", "*", false),
        ("c3", "", "*", true),
    ];
    for (entry, name, on, enabled) in entries {
        api.execute("delete from container_allowlist").await;
        sqlx::query(
            "insert into container_allowlist (container_id, container_name, host, enabled) values ($1, $2, $3, $4)",
        )
        .bind(entry)
        .bind(name)
        .bind(on)
        .bind(enabled)
        .execute(&mut api.db.connect().await)
        .await
        .unwrap();
        let allowed = AllowedContainer { id: entry.into(), name: name.into() };
        let here = enabled && on != "box-b";
        let covered: BTreeSet<&str> = all
            .iter()
            .filter(|container| here && allowed.covers(&container.id, &container.name))
            .map(|container| container.name.as_str())
            .collect();
        let page = api.get("/api/v1/containers").await.json();
        assert_eq!(names(&page).len(), 3);
        let rows = page["containers"].as_array().unwrap();
        let marked: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row["allowlisted"] == true)
            .map(|row| row["name"].as_str().unwrap())
            .collect();
        assert_eq!(marked, covered, "{entry} {name} {on} {enabled}");
        let scoped = api.get("/api/v1/containers?scope=allowlist").await.json();
        assert_eq!(names(&scoped).into_iter().collect::<BTreeSet<_>>(), covered, "{entry} {name} {on}");
        for row in rows {
            let path = format!("/api/v1/containers/{}/history", row["container_id"].as_str().unwrap());
            assert_eq!(api.get(&path).await.json()["containers"][0], *row, "{path}");
        }
    }
}

#[tokio::test]
async fn the_history_of_a_container_has_every_snapshot_newest_first() {
    let Some(api) = Api::start().await else { return };
    let box_a = host(&api, "box-a").await;
    for restart_count in 0..5 {
        let db = InventoryContainer { restart_count, ..container("c1", "db") };
        look(&api, box_a, &[db, container("other", "web")]).await;
    }
    look(&api, box_a, &[container("c9", "db")]).await;
    let counts = |page: &Value| -> Vec<u64> {
        page["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["restart_count"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(counts(&api.get("/api/v1/containers/c1/history").await.json()), [4, 3, 2, 1, 0]);
    let by_name = api.get("/api/v1/containers/db/history").await.json();
    assert_eq!(counts(&by_name), [2, 4, 3, 2, 1, 0], "also of the one that was made anew");
    assert_eq!(
        (&by_name["containers"][0]["current"], &by_name["containers"][1]["current"]),
        (&json!(true), &json!(false))
    );
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/v1/containers/c1/history?limit=2{cursor}")).await.json();
        seen.extend(counts(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [4, 3, 2, 1, 0]);
    assert_eq!(api.get("/api/v1/containers/nobody/history").await.problem(), "not-found");
    assert_eq!(api.get("/api/v1/containers/a%00/history").await.problem(), "invalid-path");
}
