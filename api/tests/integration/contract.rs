//! Every answer of these tests is held against the OpenAPI document: its status, its media type and its body.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use cyberbrain_api::{GROUPS, Route, openapi, routes};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&openapi::JSON).unwrap());
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The route of a request, if there is one.
fn route(method: &str, path: &str) -> Option<&'static Route> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let same = |(wanted, given): (&&str, &&str)| {
            wanted == given || (wanted.starts_with('{') && !given.is_empty())
        };
        wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
    };
    // A fixed word goes before a parameter.
    let mut found: Vec<_> =
        routes().filter(|route| route.method.as_str() == method && fits(route.path)).collect();
    found.sort_by_key(|route| route.path.matches('{').count());
    found.first().copied()
}

/// Compiled once per place in the document.
fn validator(pointer: &str) -> Arc<Validator> {
    let mut known = VALIDATORS.lock().unwrap();
    let compiled = known.entry(pointer.to_owned()).or_insert_with(|| {
        let schema = DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is in the document"));
        let mut schema = schema.clone();
        schema["components"] = DOCUMENT["components"].clone();
        Arc::new(jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{pointer}: {error}")))
    });
    Arc::clone(compiled)
}

/// Panics unless the document says that this request may be answered so.
pub fn hold(method: &str, path: &str, answer: &Answer) {
    let Some(route) = route(method, path) else {
        assert!(
            // The router takes an empty part of a path for a parameter.
            [303, 400, 404, 405].contains(&answer.status),
            "{method} {path} is in no table: {}",
            answer.status
        );
        return;
    };
    let told = format!("{method} {} answers {}", route.path, answer.status);
    let escaped = route.path.replace('~', "~0").replace('/', "~1");
    let place = format!("/paths/{escaped}/{}/responses/{}", method.to_lowercase(), answer.status);
    let response = DOCUMENT.pointer(&place).unwrap_or_else(|| {
        panic!("{told}, which is not documented: {}", answer.text());
    });
    let given =
        answer.headers.get("content-type").map_or("", |value| value.split(';').next().unwrap_or("").trim());
    let Some(contents) = response.get("content").and_then(Value::as_object) else {
        assert!(answer.body.is_empty(), "{told} with a body that is not documented: {}", answer.text());
        return;
    };
    assert!(contents.contains_key(given), "{told} with {given:?}, documented are {:?}", contents.keys());
    if given != "application/json" && given != "application/problem+json" {
        return;
    }
    let pointer = format!("{place}/content/{}/schema", given.replace('~', "~0").replace('/', "~1"));
    let errors: Vec<String> = validator(&pointer)
        .iter_errors(&answer.json())
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{told}, and {errors:#?} in {}", answer.text());
}

/// The committed document, from which clients are generated, is the one that is served. To write it anew:
/// `CYBERBRAIN_WRITE_OPENAPI=1 cargo test -p cyberbrain-api the_committed_document`.
#[test]
fn the_committed_document_is_the_served_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("CYBERBRAIN_WRITE_OPENAPI").is_some() {
        std::fs::write(path, openapi::JSON.as_str()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == *openapi::JSON,
        "api/openapi.json is not what is served; write it anew (see this test)"
    );
}

#[test]
fn the_document_is_whole_and_its_names_are_unique() {
    assert_eq!(DOCUMENT["openapi"], json!("3.1.0"));
    let mut names: Vec<&str> = routes().map(|route| route.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count), (count, GROUPS.iter().map(|(_, routes)| routes.len()).sum()));
    let text = openapi::JSON.as_str();
    for (at, _) in text.match_indices("\"$ref\": \"") {
        let reference = text[at + 9..].split('"').next().unwrap();
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(DOCUMENT.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// The report's schema is published by itself too: the same, in one document.
#[test]
fn the_document_holds_the_published_schema_of_reports() {
    /// `RunReportUsage` is `usage`; `None` for the whole.
    fn part(name: &str) -> Option<String> {
        let mut letters = name.strip_prefix("RunReport").expect("a part of the report").chars();
        let first = letters.next()?.to_ascii_lowercase();
        Some(std::iter::once(first).chain(letters).collect())
    }
    fn relink(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get_mut("$ref") {
                    let name = target.strip_prefix("#/components/schemas/").expect("a component");
                    *target = format!("#/$defs/{}", part(name).unwrap());
                }
                fields.values_mut().for_each(relink);
            }
            Value::Array(items) => items.iter_mut().for_each(relink),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let components = DOCUMENT["components"]["schemas"].as_object().unwrap();
    let (mut whole, mut defs) = (None, serde_json::Map::new());
    for (name, schema) in components.iter().filter(|(name, _)| name.starts_with("RunReport")) {
        let mut schema = schema.clone();
        relink(&mut schema);
        match part(name) {
            Some(part) => _ = defs.insert(part, schema),
            None => whole = Some(schema),
        }
    }
    let mut found = whole.expect("the whole is a component");
    found["$defs"] = Value::Object(defs);
    let mut published: Value = serde_json::from_str(cyberbrain_core::report::SCHEMA).unwrap();
    for own in ["$schema", "$id"] {
        assert!(published.as_object_mut().unwrap().remove(own).is_some(), "{own}");
    }
    assert_eq!(found, published);
    let answered = "/paths/~1api~1v1~1runs~1{id}~1report/get/responses/200/content/application~1json/schema";
    assert_eq!(DOCUMENT.pointer(answered), Some(&json!({ "$ref": "#/components/schemas/RunReport" })));
}
