//! One route as an operation of the document.

use std::collections::BTreeMap;

use utoipa::openapi::{
    Content as Media, Header, KnownFormat, ObjectBuilder, RefOr, Required, Response, ResponseBuilder, Schema,
    SchemaFormat, SecurityRequirement, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::AdditionalProperties,
};

use super::{BEARER, SESSION, Schemas, of as schema_of};
use crate::{
    layers::ProblemBody,
    problem::Kind,
    routes::{Access, Answer, Content, Form, QueryParameter, Route, Takes},
};

/// A name without separators and control characters, and not `.` or `..`.
const FILE_NAME: &str = r"^(?!\.{1,2}$)[^/\u0000-\u001f\u007f-\u009f]+$";

/// `*` or a list of entity tags.
const TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*"){0,31})$"#;
/// One line.
const TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// What can be asked for by name.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f]{1,255}$";

/// The operation; what it speaks of is added to the schemas.
pub(super) fn of(tag: &str, route: &Route, schemas: &mut Schemas) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(route.name))
        .summary(route.about.split(['.', ':']).next())
        .description(Some(route.about));
    for name in path_parameters(route.path) {
        operation = operation.parameter(path_parameter(name));
    }
    for parameter in route.query {
        operation = operation.parameter(query_parameter(parameter));
    }
    for condition in conditions(route) {
        operation = operation.parameter(condition);
    }
    operation = operation.request_body(request_body(route.takes, schemas));
    for (status, response) in responses(route, schemas) {
        operation = operation.response(status.to_string(), response);
    }
    match route.access {
        Access::Open => {}
        Access::Scope(_) => {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], _>(BEARER, []));
        }
        Access::Page => {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], _>(SESSION, []));
        }
    }
    operation.build()
}

/// The headers by which a client says which version it knows: read where the route can answer 304, needed where it
/// refuses changes without.
fn conditions(route: &Route) -> impl Iterator<Item = Parameter> {
    let read = route
        .answers
        .iter()
        .any(|answer| answer.status == 304)
        .then(|| condition("If-None-Match", "ETags that are known; 304 if one is that of now"));
    let needed = route
        .refuses
        .contains(&Kind::PreconditionRequired)
        .then(|| condition("If-Match", "ETag of the version that is to be changed; 428 without it"));
    read.into_iter().chain(needed)
}

fn condition(name: &str, about: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        // If-Match too: without it 428 is the answer, and clients may want to see that.
        .required(Required::False)
        .description(Some(about))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(TAGS))))
        .build()
}

/// Names between braces.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    let schema = match name {
        "id" => schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        "name" | "container" => schema.pattern(Some(NAME)),
        _ => schema,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(schema))
        .build()
}

fn query_parameter(parameter: &QueryParameter) -> Parameter {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let schema = match parameter.form {
        Form::Text => text().max_length(Some(1_024)).pattern(Some(TEXT)),
        Form::Cursor => text(),
        Form::OneOf(words) => text().enum_values(Some(words.iter().copied())),
        Form::FileName => text().min_length(Some(1)).max_length(Some(255)).pattern(Some(FILE_NAME)),
        Form::Number { least, most } => {
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most))
        }
        Form::Id => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        Form::Time => text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        Form::Whole { least, most, default } => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(least))
            .maximum(Some(most))
            .default(Some(default.into())),
    };
    let required = match parameter.form {
        Form::FileName => Required::True,
        Form::Text
        | Form::OneOf(_)
        | Form::Whole { .. }
        | Form::Number { .. }
        | Form::Id
        | Form::Time
        | Form::Cursor => Required::False,
    };
    ParameterBuilder::new()
        .name(parameter.name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(parameter.about))
        .schema(Some(schema))
        .build()
}

fn request_body(takes: Takes, schemas: &mut Schemas) -> Option<RequestBody> {
    match takes {
        Takes::Nothing => None,
        Takes::Json { schema, example } => {
            let mut media = Media::new(Some(schema(schemas)));
            media.example =
                Some(serde_json::from_str(example).expect("examples are JSON: a test sends them"));
            let body = RequestBodyBuilder::new().required(Some(Required::True));
            Some(body.content("application/json", media).build())
        }
        Takes::Form { fields } => {
            let form = fields.iter().fold(ObjectBuilder::new(), |form, field| {
                form.property(*field, ObjectBuilder::new().schema_type(Type::String)).required(*field)
            });
            let form = form.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
            let body = RequestBodyBuilder::new().required(Some(Required::True));
            Some(
                body.content("application/x-www-form-urlencoded", Media::new(Some(RefOr::T(form.into()))))
                    .build(),
            )
        }
        Takes::Bytes => {
            // No body is an empty file.
            let body = RequestBodyBuilder::new().required(Some(Required::False));
            Some(body.content("application/octet-stream", Media::new(Some(binary()))).build())
        }
    }
}

fn responses(route: &Route, schemas: &mut Schemas) -> BTreeMap<u16, Response> {
    let mut all = BTreeMap::new();
    for answer in route.answers {
        all.insert(answer.status, success(answer, schemas));
    }
    let mut problems: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in route.problems() {
        problems.entry(kind.status().as_u16()).or_default().push(kind);
    }
    for (status, kinds) in problems {
        all.insert(status, problem(route, status, &kinds, schemas));
    }
    if route.access == Access::Page {
        let location = ResponseBuilder::new().header("Location", Header::new(text()));
        all.insert(303, location.description("Without a session: to the login.").build());
    }
    all
}

fn success(answer: &Answer, schemas: &mut Schemas) -> Response {
    let mut response = ResponseBuilder::new().description(answer.about);
    if matches!(answer.status, 201 | 202 | 303 | 307) {
        let location = Header::new(text());
        response = response.header("Location", location);
    }
    match answer.content {
        Content::Nothing => response,
        Content::Versioned(schema) => response
            .header("ETag", Header::new(text()))
            .content("application/json", Media::new(Some(schema(schemas)))),
        Content::Json(schema) => response.content("application/json", Media::new(Some(schema(schemas)))),
        Content::Text(media_type) => response.content(media_type, Media::new(Some(text()))),
        Content::JsonOrText(schema, media_types) => {
            let json = response.content("application/json", Media::new(Some(schema(schemas))));
            media_types
                .iter()
                .fold(json, |response, media_type| response.content(*media_type, Media::new(Some(text()))))
        }
        Content::Bytes => response.content("application/octet-stream", Media::new(Some(binary()))),
        Content::Stream(media_type) => response.content(media_type, Media::new(Some(text()))),
        Content::EventStream(schema) => {
            let about = format!("{} The data of each is JSON: {}", answer.about, named(&schema(schemas)));
            response.description(about).content("text/event-stream", Media::new(None::<Schema>))
        }
    }
    .build()
}

/// What to call a schema in a sentence: where it is to be found, if it has a name.
fn named(schema: &RefOr<Schema>) -> String {
    match schema {
        RefOr::Ref(reference) => format!("`{}`.", reference.ref_location),
        RefOr::T(_) => "an object.".to_owned(),
    }
}

fn problem(route: &Route, status: u16, kinds: &[Kind], schemas: &mut Schemas) -> Response {
    let told: Vec<String> = kinds.iter().map(|kind| format!("{}: {}.", kind.slug(), kind.title())).collect();
    let body = Media::new(Some(schema_of::<ProblemBody>(schemas)));
    let mut response =
        ResponseBuilder::new().description(told.join(" ")).content("application/problem+json", body);
    if route.is_for_browsers() {
        response = response.content("text/html", Media::new(Some(text())));
    }
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_i64));
        response = response.header("Retry-After", Header::new(seconds));
    }
    if status == 401 {
        response = response.header("WWW-Authenticate", Header::new(text()));
    }
    response.build()
}

fn binary() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}
