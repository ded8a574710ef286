//! Tools about machines.

use cyberbrain_common::db::overview;
use rmcp::model::JsonObject;

use super::{Call, Reply, library::Nothing, parse};
use crate::{problem::Problem, views::GpuList};

pub(crate) async fn gpus(call: &Call<'_>, arguments: JsonObject) -> Result<Reply, Problem> {
    let Nothing {} = parse(arguments)?;
    let gpus = overview::gpus(&mut *call.app.connection().await?, None).await?;
    let said = match gpus.len() {
        0 => "No GPU is known: jobs run on the CPU.".to_owned(),
        count => format!("{count} GPUs; the one with the lowest score is the idlest."),
    };
    Reply::new(&GpuList { gpus: gpus.into_iter().map(Into::into).collect() }, said)
}
