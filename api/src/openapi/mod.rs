//! The OpenAPI 3.1 document, made of the route table and the types that the handlers read and write.
//!
//! Guarantees that every route is in it with everything that it takes and answers; that the answers keep to it is held
//! by the tests, which look each of theirs up here. Deliberately absent: annotations on handlers, which would be a second table.

mod operation;
mod schema;

use std::sync::LazyLock;

use utoipa::openapi::{
    ComponentsBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use crate::routes::{GROUPS, Method};

pub use schema::{SchemaOf, Schemas, any_object, of};

/// Name of the way to prove who one is.
const BEARER: &str = "api_key";

/// Name of the way in which browsers prove it.
const SESSION: &str = "session";

/// The document as JSON.
pub static JSON: LazyLock<String> = LazyLock::new(|| {
    let mut text = document().to_pretty_json().expect("a document of texts and numbers serializes");
    text.push('\n');
    text
});

/// Makes the document.
#[must_use]
pub fn document() -> OpenApi {
    let mut schemas = Schemas::default();
    let mut paths = Paths::new();
    for (tag, routes) in GROUPS {
        for route in *routes {
            let method = match route.method {
                Method::Get => HttpMethod::Get,
                Method::Post => HttpMethod::Post,
                Method::Patch => HttpMethod::Patch,
                Method::Delete => HttpMethod::Delete,
            };
            let item = PathItem::new(method, operation::of(tag, route, &mut schemas));
            paths.paths.entry(route.path.to_owned()).or_default().merge_operations(item);
        }
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("cb_<prefix>_<secret>")
        .description(Some(
            "An API key. Its scope is viewer, operator or admin; each includes the ones before it.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        "cyberbrain_session",
        "The session of a browser; POST /login opens it.",
    );
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.0)
        .security_scheme(BEARER, SecurityScheme::Http(key))
        .security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Cyberbrain Orchestrator")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("A durable job queue for people who own GPUs."))
                .license(Some(
                    LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .tags(Some(GROUPS.iter().map(|(name, _)| TagBuilder::new().name(*name).build())))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}
