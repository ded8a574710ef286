//! JSON Schemas of tools, from the types of the REST face: an OpenAPI 3.1 schema is JSON Schema 2020-12, only its
//! references lead elsewhere.

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use crate::openapi::{SchemaOf, Schemas};

/// The schema by itself, with everything that it refers to in `$defs`.
pub(super) fn whole(schema: SchemaOf) -> JsonObject {
    let mut schemas = Schemas::default();
    let root = inline(&schema(&mut schemas), &schemas);
    let mut defs: serde_json::Map<String, Value> =
        schemas.named().map(|(name, schema)| (name.to_owned(), to_json(schema))).collect();
    let mut root = to_json(&root);
    relink(&mut root);
    defs.values_mut().for_each(relink);
    let mut root = object(root);
    if !defs.is_empty() {
        root.insert("$defs".into(), Value::Object(defs));
    }
    root.entry("type").or_insert_with(|| json!("object"));
    root
}

/// A tool's schema is an object at its top, never a reference.
fn inline(schema: &RefOr<Schema>, schemas: &Schemas) -> RefOr<Schema> {
    match schema {
        RefOr::T(_) => schema.clone(),
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            let named = schemas.named().find(|(known, _)| *known == name);
            named.map_or_else(|| schema.clone(), |(_, schema)| schema.clone())
        }
    }
}

fn to_json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).expect("a schema of texts and numbers serializes")
}

/// The fields of a value that is an object.
pub(super) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            JsonObject::new()
        }
    }
}

/// From the components of a document to the definitions of a schema.
fn relink(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => {
                        *target = target.replace("#/components/schemas/", "#/$defs/");
                    }
                    other => relink(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relink),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
