//! The table of tools: what there is, who may use it, and what it does to the installation. Listing, calling and the
//! tests are all made of it.

use std::{pin::Pin, sync::Arc};

use cyberbrain_common::keys::Scope;
use rmcp::model::{JsonObject, Tool as Listed, ToolAnnotations};

use super::{
    schema,
    tools::{Call, Reply, allowlist, library, machines, runs},
};
use crate::{
    openapi::{SchemaOf, of},
    problem::Problem,
    views::{DirectivePage, DirectiveView, ExplainView, GpuList, ReportView, RunPage, RunView},
};

/// What a tool does to the installation; told to clients as annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Looks only.
    Reads,
    /// Makes something new; with an idempotency key, once.
    Makes,
    /// Sets a state; repeating it changes nothing more.
    Sets,
    /// Sets a state in place of the one before, which can take away what was there; repeating it changes nothing more.
    Replaces,
    /// Ends work that can't be taken up again; repeating it changes nothing more.
    Ends,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send + 'a>>;

/// One row of the table.
pub struct Tool {
    pub name: &'static str,
    pub scope: Scope,
    pub effect: Effect,
    /// Written for the model to read.
    pub about: &'static str,
    pub(super) input: SchemaOf,
    pub(super) output: SchemaOf,
    pub(super) run: for<'a> fn(&'a Call<'a>, JsonObject) -> Running<'a>,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.scope)
    }
}

impl Tool {
    /// As clients see it.
    pub(super) fn listed(&self) -> Listed {
        let hints = ToolAnnotations::new().open_world(false);
        let hints = match self.effect {
            Effect::Reads => hints.read_only(true).destructive(false).idempotent(true),
            Effect::Makes => hints.read_only(false).destructive(false).idempotent(false),
            Effect::Sets => hints.read_only(false).destructive(false).idempotent(true),
            Effect::Replaces | Effect::Ends => hints.read_only(false).destructive(true).idempotent(true),
        };
        let mut listed = Listed::new(self.name, self.about, Arc::new(schema::whole(self.input)));
        listed.output_schema = Some(Arc::new(schema::whole(self.output)));
        listed.annotations = Some(hints);
        listed
    }
}

/// The tool of this name.
pub(super) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Every tool.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "launch_run",
        scope: Scope::Operator,
        effect: Effect::Makes,
        about: "Launch a run of one or more jobs. Give jobs (keys, see list_directives for what a directive allows) or \
                run_jobs with settings of their own. Send an idempotency_key to be able to repeat the call safely. With \
                wait_seconds it waits for the end and tells progress meanwhile; if the run has not ended by then, the \
                answer is the run as it is: ask again with get_run.",
        input: runs::launch_input,
        output: of::<RunView>,
        run: |call, arguments| Box::pin(runs::launch(call, arguments)),
    },
    Tool {
        name: "list_runs",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "List runs, newest first, one page at a time. Without arguments: the newest fifty.",
        input: of::<runs::ListRuns>,
        output: of::<RunPage>,
        run: |call, arguments| Box::pin(runs::list(call, arguments)),
    },
    Tool {
        name: "get_run",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "Show a run with its run jobs: status, place, why there, why it waits or failed, progress, tokens.",
        input: of::<runs::RunReference>,
        output: of::<RunView>,
        run: |call, arguments| Box::pin(runs::get(call, arguments)),
    },
    Tool {
        name: "get_run_report",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "The report of a run that has ended, as Markdown and as JSON, with token counts.",
        input: of::<runs::RunReference>,
        output: of::<ReportView>,
        run: |call, arguments| Box::pin(runs::report(call, arguments)),
    },
    Tool {
        name: "cancel_run",
        scope: Scope::Operator,
        effect: Effect::Ends,
        about: "Cancel a run: what waits ends at once, workers are stopped. Nothing happens to a run that has ended.",
        input: of::<runs::RunReference>,
        output: of::<RunView>,
        run: |call, arguments| Box::pin(runs::cancel(call, arguments)),
    },
    Tool {
        name: "approve_run",
        scope: Scope::Admin,
        effect: Effect::Ends,
        about: "Approve or deny a run that waits for approval (hold awaiting_approval): it is admitted or cancelled. A \
                decision stays.",
        input: of::<runs::ApproveRun>,
        output: of::<RunView>,
        run: |call, arguments| Box::pin(runs::approve(call, arguments)),
    },
    Tool {
        name: "list_directives",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "List directives: what each is for, which jobs it allows, and whether its runs need approval. One page at a \
                time, active and inactive ones unless active says which.",
        input: of::<library::ListDirectives>,
        output: of::<DirectivePage>,
        run: |call, arguments| Box::pin(library::list_directives(call, arguments)),
    },
    Tool {
        name: "get_directive",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "Show one directive by its name, or the built-in one of a type (D1 to D4).",
        input: of::<library::DirectiveReference>,
        output: of::<DirectiveView>,
        run: |call, arguments| Box::pin(library::directive(call, arguments)),
    },
    Tool {
        name: "get_allowlist",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "Show what is allowed: the containers whose logs jobs may read, and the images that workers may be made of. One \
                page of each, or of the list that is named.",
        input: of::<allowlist::GetAllowlist>,
        output: of::<allowlist::AllowlistView>,
        run: |call, arguments| Box::pin(allowlist::get(call, arguments)),
    },
    Tool {
        name: "set_allowlist",
        scope: Scope::Admin,
        effect: Effect::Replaces,
        about: "Allow a container's logs to be read, or an image to be used by workers, or switch that off. Give exactly one of \
                container and image. What is there is changed, what is not is added; repeating it changes nothing more. \
                Switching off an image refuses launches that need it; workers that run go on.",
        input: allowlist::set_input,
        output: of::<allowlist::AllowlistEntry>,
        run: |call, arguments| Box::pin(allowlist::set(call, arguments)),
    },
    Tool {
        name: "list_gpus",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "List GPUs: memory reserved and seen, utilization, and the score by which they are chosen (lower is idler).",
        input: of::<library::Nothing>,
        output: of::<GpuList>,
        run: |call, arguments| Box::pin(machines::gpus(call, arguments)),
    },
    Tool {
        name: "explain_run_job",
        scope: Scope::Viewer,
        effect: Effect::Reads,
        about: "Tell why a run job is where it is: its place in line and what every card and host has against it, or where it runs \
                and why there; its attempts and audit trail.",
        input: of::<runs::RunJobReference>,
        output: of::<ExplainView>,
        run: |call, arguments| Box::pin(runs::explain(call, arguments)),
    },
];
