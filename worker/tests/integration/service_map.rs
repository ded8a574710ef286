//! Services and edges from a known inventory.

use std::collections::BTreeSet;

use cyberbrain_core::{
    outcome::{EdgeKind, JobResult, ServiceMap},
    staging::{INVENTORY_FILE, Inventory},
};
use cyberbrain_worker::{Error, Job};
use serde_json::{Value, json};

use crate::staged::{Left, Worker};

fn container(name: &str, networks: &[&str], more: &Value) -> Value {
    let mut container = json!({
        "id": format!("{name:0>64}"), "name": name, "image": format!("{name}:1"), "image_id": "sha256:0",
        "state": "running", "health": "none", "created_at": "2026-10-01T00:00:00Z", "restart_count": 0,
        "networks": networks.iter().map(|name| json!({"name": name, "ip": null})).collect::<Vec<_>>(),
        "ports": [], "mounts": [], "labels": {}, "references": [],
    });
    for (key, value) in more.as_object().unwrap() {
        container[key] = value.clone();
    }
    container
}

fn compose(project: &str, service: &str) -> Value {
    json!({"com.docker.compose.project": project, "com.docker.compose.service": service})
}

fn run(containers: &[Value]) -> (Worker, Left, ServiceMap) {
    run_after(containers, "all", None)
}

fn run_after(containers: &[Value], scope: &str, previous: Option<&ServiceMap>) -> (Worker, Left, ServiceMap) {
    let worker = Worker::of("service_map");
    if let Some(previous) = previous {
        worker.previous(&JobResult::ServiceMap(previous.clone()));
    }
    let not_shown = if scope == "all" { 0 } else { 3 };
    let inventory = json!({
        "taken_at": "2026-11-01T10:00:00Z", "host": "alpha", "scope": scope, "not_shown": not_shown,
        "containers": containers,
    });
    let typed: Inventory = serde_json::from_value(inventory).unwrap();
    worker.stage(INVENTORY_FILE, &typed);
    let left = worker.run(Job::ServiceMap).unwrap();
    let JobResult::ServiceMap(map) = left.result.clone() else { panic!("{:?}", left.result) };
    (worker, left, map)
}

/// Edges by name: `web -> db` for a reference, `db -- web on back` for a network.
fn edges(map: &ServiceMap) -> BTreeSet<String> {
    let name = |at: u32| map.services[at as usize].name.as_str();
    map.edges
        .iter()
        .map(|edge| match (edge.kind, &edge.network) {
            (EdgeKind::Reference, None) => format!("{} -> {}", name(edge.from), name(edge.to)),
            (EdgeKind::Network, Some(network)) => {
                format!("{} -- {} on {network}", name(edge.from), name(edge.to))
            }
            (EdgeKind::Link, None) => format!("{} => {}", name(edge.from), name(edge.to)),
            (EdgeKind::Port, None) => {
                format!("{} :{} {}", name(edge.from), edge.port.unwrap(), name(edge.to))
            }
            (EdgeKind::Reference | EdgeKind::Link | EdgeKind::Port, Some(_)) | (EdgeKind::Network, None) => {
                panic!("{edge:?}")
            }
        })
        .collect()
}

fn shop() -> Vec<Value> {
    vec![
        container(
            "shop-web-1",
            &["front", "back"],
            &json!({
                "labels": compose("shop", "web"), "references": ["db", "mailer", "shop-web-1"],
                "health": "healthy",
                "ports": [{"container_port": 80, "protocol": "tcp", "host_ip": "0.0.0.0", "host_port": 8080}],
                "mounts": [{"kind": "bind", "source": "/srv/www", "destination": "/www", "access": "read_only"}],
            }),
        ),
        container(
            "shop-db-1",
            &["back"],
            &json!({
                "labels": compose("shop", "db"), "health": "unhealthy", "restart_count": 4,
                "ports": [{"container_port": 5432, "protocol": "tcp", "host_ip": null, "host_port": null}],
                "mounts": [{"kind": "volume", "source": "pg", "destination": "/var/lib/postgresql", "access": "read_write"}],
            }),
        ),
        container("blog-db-1", &["blog"], &json!({"labels": compose("blog", "db"), "state": "exited"})),
        container(
            "proxy",
            &["front", "bridge"],
            &json!({"labels": {"com.docker.compose.depends_on": "web:service_started:false,shop-web-1:service_healthy:true"}}),
        ),
        container(
            "tool",
            &["bridge", "none"],
            &json!({"references": ["db"], "links": ["proxy", "gone"], "host_ports": [8080, 9999]}),
        ),
    ]
}

#[test]
fn services_and_edges_of_a_known_inventory() {
    let (worker, left, map) = run(&shop());
    let expected = [
        "shop-web-1 -> shop-db-1", // the service `db` of its own project
        "proxy -> shop-web-1",     // by service name, the only one; and by container name, told once
        "shop-db-1 -- shop-web-1 on back",
        "proxy -- shop-web-1 on front",
        "tool => proxy",         // a link; the other one's container is not there
        "tool :8080 shop-web-1", // which publishes that port; 9999 is nobody's
    ];
    assert_eq!(edges(&map), expected.map(str::to_owned).into());
    assert_eq!((map.networks, map.edges_left_out, map.services_left_out), (3, 0, 0));

    let web = map.services.iter().find(|service| service.name == "shop-web-1").unwrap();
    assert_eq!((web.compose_project.as_deref(), web.compose_service.as_deref()), (Some("shop"), Some("web")));
    assert_eq!((web.id.len(), web.networks, web.published_ports, web.mounts), (12, 2, 1, 1));
    let db = map.services.iter().find(|service| service.name == "shop-db-1").unwrap();
    assert_eq!((db.published_ports, db.restart_count), (0, 4), "an exposed port is not a published one");

    if let Ok(folder) = std::env::var("CYBERBRAIN_KEEP_REPORTS") {
        std::fs::write(format!("{folder}/services.md"), &left.report).unwrap();
        std::fs::write(format!("{folder}/service-map.svg"), worker.artifact("service-map.svg")).unwrap();
    }
    for told in [
        "**5 containers** on alpha, 4 running",
        "`shop-db-1` fails its health check.",
        "`shop-db-1` was restarted 4 times.",
        "`shop-web-1` names `mailer`; no container",
        "`tool` names `db`; no container", // two services are called so
        "0.0.0.0:8080 → 80/tcp",
        "3 user-defined networks, 4 dependencies between services",
        "| `shop-db-1` | `shop-db-1:1` | running | unhealthy | 4 | back | 5432/tcp | 1 (1 writable) | shop / db |",
        "| `shop-web-1` | `shop-web-1:1` | running | healthy | 0 | front, back | 0.0.0.0:8080 → 80/tcp | 1 | shop / web |",
        "| `blog-db-1` | `blog-db-1:1` | exited | – | 0 | blog | – | 0 | blog / db |",
        "| front | 2 | `proxy`, `shop-web-1` |",
        "```mermaid\nflowchart LR\n",
        "subgraph p2[\"shop\"]",
        "-->|names|",
        "-->|links|",
        "-->|port 8080|",
        "[service-map.svg](service-map.svg)",
        "There is no earlier map of this host",
        "([\"front\"]):::network",
    ] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
    let graph: Value = serde_json::from_str(&worker.artifact("graph.json")).unwrap();
    assert_eq!(graph["references"].as_array().unwrap().len(), 2);
    assert_eq!(graph["links"], json!([{"from": "tool", "to": "proxy"}]));
    assert_eq!(graph["port_uses"], json!([{"from": "tool", "to": "shop-web-1", "port": 8080}]));
    assert_eq!(
        (&graph["scope"], &graph["services"][2]["ports"][0]["container_port"]),
        (&json!("all"), &json!(5432))
    );
    assert_eq!(graph["networks"][0], json!({"name": "back", "services": ["shop-db-1", "shop-web-1"]}));
}

#[test]
fn what_changed_since_the_last_map_is_told() {
    let made = |name: &str, id: char, image: &str, restarts: u32| {
        container(
            name,
            &[],
            &json!({"id": id.to_string().repeat(64), "image_id": image, "restart_count": restarts}),
        )
    };
    let before = [
        made("gone", '1', "sha256:a", 0),
        made("image", '2', "sha256:a", 5),
        made("recreated", '3', "sha256:a", 5),
        made("restarted", '4', "sha256:a", 5),
        made("same", '5', "sha256:a", 5),
    ];
    let now = [
        made("image", '6', "sha256:b", 1),
        made("new", '7', "sha256:a", 9),
        made("recreated", '8', "sha256:a", 0),
        made("restarted", '4', "sha256:a", 8),
        made("same", '5', "sha256:a", 5),
    ];
    let (_, _, first) = run(&before);
    assert_eq!((first.compared_with, first.changes.len()), (None, 0));
    let (worker, left, map) = run_after(&now, "all", Some(&first));
    let told: Vec<(&str, &str, u32)> = map
        .changes
        .iter()
        .map(|change| (change.name.as_str(), change.kind.as_str(), change.restarts))
        .collect();
    let expected = [
        ("gone", "gone", 0),
        ("image", "image", 0),
        ("image", "restarted", 1),
        ("new", "new", 0),
        ("recreated", "recreated", 0),
        ("restarted", "restarted", 3),
    ];
    assert_eq!(told, expected);
    assert_eq!(map.compared_with.unwrap().to_string(), "01938000-0000-7000-8000-00000000000f");
    for told in [
        "1 new, 1 gone, 1 on another image, 1 recreated, 2 restarted.",
        "| `restarted` | restarted 3 times |",
        "| `image` | on another image |",
        "| `gone` | gone |",
    ] {
        assert!(left.report.contains(told), "{told:?} is not in\n{}", left.report);
    }
    let graph: Value = serde_json::from_str(&worker.artifact("graph.json")).unwrap();
    assert_eq!(graph["changes"].as_array().unwrap().len(), expected.len());

    let (_, left, map) = run_after(&now, "all", Some(&map));
    assert_eq!(map.changes, [], "{}", left.report);
    assert!(left.report.contains("): none."), "{}", left.report);
    let (_, left, map) = run_after(&now, "allowlist", Some(&map));
    assert_eq!((map.changes.len(), map.compared_with), (0, None), "another scope is no change");
    assert!(left.report.contains("was made with another scope"), "{}", left.report);
    let told = "3 containers of this host are not on the allowlist and not shown";
    assert!(left.report.contains(told), "{}", left.report);
    // What an earlier result could not list is not said to be new.
    let mut partial = first;
    partial.services.truncate(2);
    partial.services_left_out = 3;
    let (_, left, map) = run_after(&now, "all", Some(&partial));
    assert!(map.changes.iter().all(|change| change.name.as_str() <= "image"), "{:?}", map.changes);
    assert!(left.report.contains("could not list all its services"), "{}", left.report);
}

#[test]
fn a_scope_that_is_none_is_refused_by_name() {
    let worker = Worker::of("service_map");
    worker.stage(
        INVENTORY_FILE,
        &json!({"taken_at": "2026-11-01T10:00:00Z", "host": "alpha", "containers": []}),
    );
    worker.edit_job(|job| job["params"] = json!({"scope": "everything", "window_hours": 3}));
    let error = worker.run(Job::ServiceMap).unwrap_err();
    let Error::Params { source, .. } = &error else { panic!("{error:?}") };
    let told = source.to_string();
    assert!(told.contains("everything") && told.contains("allowlist") && told.contains("all"), "{told}");
    worker.edit_job(|job| job["params"] = json!({"scope": "all", "window_hours": 3}));
    worker.run(Job::ServiceMap).unwrap();
}

/// Left, top, right and bottom of every text, as wide as a monospaced font makes it.
fn boxes(svg: &str) -> Vec<(f64, f64, f64, f64, String)> {
    let number = |line: &str, name: &str| -> f64 {
        line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    svg.lines()
        .filter(|line| line.starts_with("<text"))
        .map(|line| {
            let told = line.split('>').nth(1).unwrap().trim_end_matches("</text").to_owned();
            let shown =
                told.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "x");
            let columns: usize = shown.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            let (x, y, width) = (number(line, "x"), number(line, "y"), columns as f64 * 6.7);
            let left = if line.contains("text-anchor=\"end\"") { x - width } else { x };
            (left, y - 11.0, left + width, y + 3.0, told)
        })
        .collect()
}

#[test]
fn no_text_of_the_picture_covers_another_and_it_is_always_the_same() {
    let names = [
        "plain",
        "a-very-long-name-that-goes-on-and-on-and-on-for-ever",
        "名前名前名前名前名前名前名前名前名前名前",
        "<&\">",
    ];
    let containers: Vec<Value> = (0..40)
        .map(|n| {
            let ports: Vec<Value> = (0..9)
                .map(|port| json!({"container_port": 80, "protocol": "tcp", "host_ip": null, "host_port": 9_000 + n * 10 + port}))
                .collect();
            container(
                &format!("{}-{n:02}", names[n % 4]),
                &[["front", "back", "a-network-with-quite-a-long-name-indeed"][n % 3], &format!("own-{n}")],
                &json!({
                    "labels": if n % 5 == 0 { json!({}) } else { compose(names[n % 3], "svc") },
                    "health": "unhealthy", "ports": ports,
                    "links": [format!("{}-{:02}", names[(n + 7) % 4], (n + 7) % 40)],
                }),
            )
        })
        .collect();
    let (worker, left, _) = run(&containers);
    let svg = worker.artifact("service-map.svg");
    let all = boxes(&svg);
    assert!(all.len() > 40 * 4 + 43, "{}", all.len());
    for (at, a) in all.iter().enumerate() {
        assert!(a.0 >= 0.0 && a.2 <= 960.0, "{a:?}");
        for b in &all[at + 1..] {
            let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
            assert!(apart, "{a:?} covers {b:?}");
        }
    }
    let (again, same, _) = run(&containers);
    assert_eq!((again.artifact("service-map.svg"), same.report), (svg, left.report));
}

#[test]
fn an_empty_host_is_told_so() {
    let (_, left, map) = run(&[]);
    assert_eq!((map.services.len(), map.edges.len()), (0, 0));
    assert!(left.report.contains("There is no container"), "{}", left.report);
}

#[test]
fn a_large_host_stays_within_the_limits() {
    let containers: Vec<Value> =
        (0..600).map(|n| container(&format!("{n:03}-{}", "😀".repeat(150)), &["all"], &json!({}))).collect();
    let (_, left, map) = run(&containers);
    assert!(map.services.len() < 250, "the names are too long for the usual number of services");
    assert_eq!(map.services.len() as u64 + map.services_left_out, 600);
    assert_eq!(map.edges.len() as u64 + map.edges_left_out, 600 * 599 / 2);
    assert!(left.report.matches(" --- n0").count() <= 400);
}

#[test]
fn names_can_not_leave_the_drawing() {
    let name = "a\"]; click s0 \"javascript:x\"\n```\n<b>|x`y";
    let (_, left, _) = run(&[container(name, &["n\"e`t"], &json!({"image": "<script>alert(1)</script>"}))]);
    let drawing = left.report.split("```mermaid").nth(1).unwrap().split("```").next().unwrap();
    assert!(drawing.contains("s0[\"a#34;#93;#59; click s0 #34;javascript#58;x#34;"), "{drawing}");
    assert!(!drawing.contains("<script>") && drawing.contains("classDef unhealthy"), "{drawing}");
}
