//! Reports of Runs: as they are stored, under the schema that is published for them.

use std::sync::LazyLock;

use cyberbrain_core::{ids::RunId, lifecycle::RunStatus, report};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::run::TokensView;

/// The report of a Run in both forms.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReportView {
    pub id: RunId,
    pub status: RunStatus,
    pub markdown: String,
    /// The same as data.
    pub report: ReportJson,
    pub tokens: TokensView,
}

/// The report of a Run as data: what was built when it ended.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct ReportJson(pub Value);

impl ToSchema for ReportJson {
    fn name() -> std::borrow::Cow<'static, str> {
        WHOLE.into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(PARTS.parts.iter().cloned());
    }
}

impl PartialSchema for ReportJson {
    fn schema() -> RefOr<Schema> {
        PARTS.whole.clone()
    }
}

/// Its name in documents that hold other schemas too.
const WHOLE: &str = "RunReport";

/// The published schema in the parts that an OpenAPI document is made of.
struct Parts {
    whole: RefOr<Schema>,
    /// By name.
    parts: Vec<(String, RefOr<Schema>)>,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let mut whole: Value = serde_json::from_str(report::SCHEMA).expect("the schema is JSON: a test reads it");
    let defs = whole.as_object_mut().and_then(|fields| {
        // What only a document of its own has.
        fields.remove("$schema");
        fields.remove("$id");
        fields.remove("$defs")
    });
    let defs = match defs {
        Some(Value::Object(defs)) => defs,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            serde_json::Map::new()
        }
    };
    let parts = defs.into_iter().map(|(name, part)| (named(&name), read(part))).collect();
    Parts { whole: read(whole), parts }
});

fn read(mut schema: Value) -> RefOr<Schema> {
    relink(&mut schema);
    serde_json::from_value(schema).expect("the schema uses what OpenAPI has too: a test compares them")
}

/// `usage` is `RunReportUsage`.
fn named(part: &str) -> String {
    let mut letters = part.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    WHOLE.chars().chain(first).chain(letters).collect()
}

/// From the definitions of a schema to the components of a document.
fn relink(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => {
                        let part = target.rsplit('/').next().unwrap_or_default();
                        *target = format!("#/components/schemas/{}", named(part));
                    }
                    other => relink(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relink),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
