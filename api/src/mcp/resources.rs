//! Resources: what a client can attach to a conversation by its address.
//!
//! `cyberbrain://runs/{id}` is the run, `…/report` its report as Markdown, `cyberbrain://directives/{name}` a directive.

use cyberbrain_common::db::{
    library::{self, DirectiveFilter, DirectiveName},
    runs as stored,
};
use cyberbrain_core::ids::RunId;
use rmcp::{
    ErrorData,
    model::{
        CacheScope, ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    },
};
use serde::Serialize;
use serde_json::json;

use super::tools::runs::read_report;
use crate::{
    app::App,
    extract::{Cursor, encoded},
    handlers::runs::{self, PER_PAGE, next_cursor},
    problem::{Kind, Problem},
    views::DirectiveView,
};

const JSON: &str = "application/json";
const MARKDOWN: &str = "text/markdown";
/// Further ones are found by list_directives.
const MOST_DIRECTIVES: i64 = 1_000;
/// A run that goes on is another one a moment later.
const FRESH_MS: u64 = 1_000;

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Run(RunId),
    Report(RunId),
    Directive(String),
}

impl Address {
    fn parse(uri: &str) -> Option<Self> {
        let path = uri.strip_prefix("cyberbrain://")?;
        match path.split('/').collect::<Vec<_>>()[..] {
            ["runs", id] => id.parse().ok().map(Self::Run),
            ["runs", id, "report"] => id.parse().ok().map(Self::Report),
            ["directives", name] if !name.is_empty() => Some(Self::Directive(decode(name)?)),
            _ => None,
        }
    }
}

/// Percent-decoded; `None` if that is no text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The forms of address.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template = |uri, name, about, media_type| {
        ResourceTemplate::new(uri, name).with_description(about).with_mime_type(media_type)
    };
    vec![
        template("cyberbrain://runs/{id}", "run", "A run with its run jobs, as get_run shows it.", JSON),
        template(
            "cyberbrain://runs/{id}/report",
            "run report",
            "The report of a run that has ended.",
            MARKDOWN,
        ),
        template("cyberbrain://directives/{name}", "directive", "A directive with its text and rules.", JSON),
    ]
}

/// Directives on the first page, then runs, newest first.
pub(super) async fn list(app: &App, cursor: Option<String>) -> Result<ListResourcesResult, ErrorData> {
    let after = cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| ErrorData::invalid_params(format!("cursor: {error}"), None))?;
    let mut connection = app.connection().await.map_err(failed)?;
    let mut all = Vec::new();
    if after.is_none() {
        let directives =
            library::directives(&mut connection, DirectiveFilter::default(), None, MOST_DIRECTIVES).await;
        let directives = directives.map_err(|error| failed(error.into()))?;
        all.extend(directives.into_iter().map(|listed| {
            let directive = listed.directive;
            let name = &directive.snapshot.name;
            Resource::new(format!("cyberbrain://directives/{}", encoded(name)), name)
                .with_description(&directive.snapshot.description)
                .with_mime_type(JSON)
        }));
    }
    let (filter, after) = (stored::Filter::default(), after.map(|cursor| cursor.0));
    let rows = stored::list(&mut connection, &filter, after, PER_PAGE + 1).await;
    let mut rows = rows.map_err(|error| failed(error.into()))?;
    let next = next_cursor(&mut rows, PER_PAGE, |run| Cursor::new(run.created_at, run.id));
    for run in rows {
        let about = format!(
            "{} run of {}, launched {} by {}",
            run.status,
            run.directive_name,
            run.created_at.to_rfc3339(),
            run.requested_by
        );
        let uri = format!("cyberbrain://runs/{}", run.id);
        if run.status.is_terminal() {
            let report = Resource::new(format!("{uri}/report"), format!("report of run {}", run.id));
            all.push(report.with_description(format!("Report of a {about}")).with_mime_type(MARKDOWN));
        }
        all.push(Resource::new(uri, format!("run {}", run.id)).with_description(about).with_mime_type(JSON));
    }
    let mut list = ListResourcesResult::with_all_items(all);
    list.next_cursor = next;
    (list.ttl_ms, list.cache_scope) = (Some(FRESH_MS), Some(CacheScope::Private));
    Ok(list)
}

/// What is at an address.
pub(super) async fn read(app: &App, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let address = Address::parse(uri).ok_or_else(|| {
        ErrorData::resource_not_found(
            "there is no such resource; resources/templates/list has the forms of address",
            Some(json!({ "uri": uri })),
        )
    })?;
    let found = match address {
        Address::Run(id) => {
            let mut connection = app.connection().await.map_err(failed)?;
            runs::read(&mut connection, id).await.and_then(|run| text(&run)).map(|text| (text, JSON))
        }
        Address::Report(id) => read_report(app, id).await.map(|report| (report.markdown, MARKDOWN)),
        Address::Directive(name) => directive(app, &name).await.map(|text| (text, JSON)),
    };
    let (text, media_type) = found.map_err(|problem| match problem.kind {
        Kind::NotFound | Kind::RunNotFinished => {
            ErrorData::resource_not_found(problem.detail, Some(json!({ "uri": uri })))
        }
        _ => failed(problem),
    })?;
    let content = ResourceContents::text(text, uri).with_mime_type(media_type);
    Ok(ReadResourceResult::new(vec![content]).with_ttl_ms(FRESH_MS).with_cache_scope(CacheScope::Private))
}

async fn directive(app: &App, name: &str) -> Result<String, Problem> {
    let found = library::directive(&mut *app.connection().await?, &DirectiveName::of(name)).await?;
    let directive = found.ok_or_else(|| Problem::not_found("directive", name))?;
    text(&DirectiveView::from(directive))
}

fn text<T: Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string_pretty(value).map_err(|error| Problem::internal(&error))
}

fn failed(problem: Problem) -> ErrorData {
    ErrorData::internal_error(problem.detail, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_anything_else_is_none() {
        let id = RunId::from(uuid::Uuid::from_u128(7));
        for (uri, expected) in [
            (format!("cyberbrain://runs/{id}"), Some(Address::Run(id))),
            (format!("cyberbrain://runs/{id}/report"), Some(Address::Report(id))),
            ("cyberbrain://directives/D1".into(), Some(Address::Directive("D1".into()))),
            (
                format!("cyberbrain://directives/{}", encoded("a b/ü")),
                Some(Address::Directive("a b/ü".into())),
            ),
            ("cyberbrain://directives/".into(), None),
            ("cyberbrain://directives/%zz".into(), None),
            ("cyberbrain://directives/%ff".into(), None),
            ("cyberbrain://runs/7".into(), None),
            ("cyberbrain://runs/../etc".into(), None),
            ("file:///etc/passwd".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(Address::parse(&uri), expected, "{uri}");
        }
    }
}
