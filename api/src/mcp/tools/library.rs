//! Tools about directives.

use cyberbrain_common::db::library::DirectiveFilter;
use cyberbrain_core::spec::DirectiveType;
use rmcp::model::JsonObject;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Call, Reply, page, parse};
use crate::{
    handlers::directives::{self, MOST_PER_PAGE, PER_PAGE},
    problem::{Kind, Problem},
    views::DirectiveView,
};

/// No arguments.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NoArguments)]
pub(crate) struct Nothing {}

/// Which directive.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectiveReference {
    /// Its name, or a type: D1, D2, D3 or D4 for the built-in one.
    #[schema(max_length = 255)]
    name: String,
}

/// Which directives; what is left out does not filter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDirectives {
    /// Only those that launches may name, or only the others.
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    r#type: Option<DirectiveType>,
    /// Directives of a page at most; 100 without it.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// next_cursor of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

pub(crate) async fn list_directives(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let wanted: ListDirectives = parse(arguments)?;
    let (limit, cursor) = page(wanted.limit, (MOST_PER_PAGE, PER_PAGE), wanted.cursor.as_deref())?;
    let filter = DirectiveFilter { active: wanted.active, kind: wanted.r#type };
    let page = directives::page(&mut *call.app.connection().await?, filter, cursor, limit).await?;
    let names: Vec<&str> = page.directives.iter().map(DirectiveView::name).collect();
    let more = if page.next_cursor.is_some() { "; next_cursor leads to more" } else { "" };
    let said = format!("{} directives: {}{more}.", names.len(), names.join(", "));
    Reply::new(&page, said)
}

pub(crate) async fn directive(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let DirectiveReference { name } = parse(arguments)?;
    // The database has no text with this character, so it can't be asked for it.
    let found = if name.contains('\0') {
        Err(Problem::not_found("directive", format!("{name:?}")))
    } else {
        directives::read(&mut *call.app.connection().await?, &name).await
    };
    let directive = found.map_err(|problem| match problem.kind {
        Kind::NotFound => {
            Problem::new(Kind::NotFound, format!("{}; list_directives names them", problem.detail))
        }
        _ => problem,
    })?;
    let said = format!("{}: {}", directive.snapshot.name, directive.snapshot.description);
    Reply::new(&DirectiveView::from(directive), said)
}
