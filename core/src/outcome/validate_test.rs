use serde_json::json;

use super::{super::*, validate};

fn parse(value: serde_json::Value) -> Result<JobResult, serde_json::Error> {
    serde_json::from_value(value)
}

fn custom(key: &str, value: impl Into<serde_json::Value>) -> JobResult {
    parse(json!({"kind": "custom", "values": {key: value.into()}})).unwrap()
}

fn map_with(host: &str, edge_to: u32) -> JobResult {
    parse(json!({
        "kind": "service_map", "taken_at": "2026-01-01T00:00:00Z", "host": host,
        "services": [{
            "id": "0123456789ab", "name": "web", "image": "nginx:1", "state": "running", "health": "none",
            "restart_count": 0, "networks": 1, "published_ports": 0, "mounts": 0,
        }],
        "services_left_out": 0,
        "edges": [{"from": 0, "to": edge_to, "kind": "network", "network": "back"}],
        "edges_left_out": 0, "networks": 1,
    }))
    .unwrap()
}

#[test]
fn takes_what_keeps_the_limits() {
    for value in [json!(true), json!(-3), json!(2.5), json!("done_with-warnings"), json!("a".repeat(64))] {
        assert_eq!(validate(&custom("items_seen", value.clone())), Ok(()), "for {value}");
    }
    assert_eq!(validate(&map_with(&"ü".repeat(200), 0)), Ok(()));
}

#[test]
fn refuses_prose_in_custom_values() {
    let not_a_name = Err(Problem::NotAName { field: "values", at: Some(0) });
    assert_eq!(validate(&custom("answer", json!("the model said so"))), not_a_name);
    assert_eq!(validate(&custom("answer", json!(""))), not_a_name);
    assert_eq!(validate(&custom("The answer is", json!(1))), not_a_name);
    assert_eq!(validate(&custom("", json!(1))), not_a_name);
    let too_long = Problem::TooLong { field: "values", at: Some(0), length: 65, limit: 64 };
    assert_eq!(validate(&custom("answer", json!("a".repeat(65)))), Err(too_long.clone()));
    assert_eq!(validate(&custom(&"a".repeat(65), json!(1))), Err(too_long));
}

#[test]
fn refuses_texts_and_lists_beyond_their_limits() {
    assert_eq!(
        validate(&map_with(&"x".repeat(201), 0)),
        Err(Problem::TooLong { field: "host", at: None, length: 201, limit: 200 })
    );
    assert_eq!(validate(&map_with("a\u{202e}b", 0)), Err(Problem::Unprintable { field: "host", at: None }));
    assert_eq!(validate(&map_with("a", 1)), Err(Problem::NoSuchService { at: 0, service: 1 }));

    let values: serde_json::Map<_, _> = (0..201).map(|n| (format!("v{n}"), json!(n))).collect();
    let many = parse(json!({"kind": "custom", "values": values})).unwrap();
    assert_eq!(validate(&many), Err(Problem::TooMany { field: "values", length: 201, limit: 200 }));

    let infinite = JobResult::Custom(CustomResult {
        values: [("ratio".to_owned(), CustomValue::Number(f64::INFINITY))].into(),
    });
    assert_eq!(validate(&infinite), Err(Problem::NotFinite { field: "values", at: Some(0) }));
}

#[test]
fn the_form_is_closed() {
    for refused in [
        json!({"kind": "poem", "values": {}}),
        json!({"values": {}}),
        json!({"kind": "custom", "values": {}, "comment": "x"}),
        json!({"kind": "custom", "values": {"nested": {"a": 1}}}),
        json!({"kind": "custom", "values": {"list": [1]}}),
        json!({"kind": "custom", "values": {"nothing": null}}),
    ] {
        assert!(parse(refused.clone()).is_err(), "was taken: {refused}");
    }
}

#[test]
fn the_tag_comes_first_and_the_kinds_have_their_names() {
    let text = serde_json::to_string(&custom("n", json!(1))).unwrap();
    assert_eq!(text, r#"{"kind":"custom","values":{"n":1}}"#);
}
