//! Tools about directives.

use cyberbrain_common::db::library::{self, DirectiveName};
use rmcp::model::JsonObject;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Call, Reply, parse};
use crate::{
    problem::{Kind, Problem},
    views::{DirectiveList, DirectiveView},
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

pub(crate) async fn directives(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let Nothing {} = parse(arguments)?;
    let directives = library::directives(&mut *call.app.connection().await?).await?;
    let names: Vec<&str> = directives.iter().map(|directive| directive.snapshot.name.as_str()).collect();
    let said = format!("{} directives: {}.", names.len(), names.join(", "));
    Reply::new(&DirectiveList { directives: directives.into_iter().map(Into::into).collect() }, said)
}

pub(crate) async fn directive(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let DirectiveReference { name } = parse(arguments)?;
    let found = library::directive(&mut *call.app.connection().await?, &DirectiveName::of(&name)).await?;
    let directive = found.ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("there is no directive {name}; list_directives names them"))
    })?;
    let said = format!("{}: {}", directive.snapshot.name, directive.snapshot.description);
    Reply::new(&DirectiveView::from(directive), said)
}
