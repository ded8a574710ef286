//! The protocol's requests, answered from the tables of tools, resources and prompts.

use cyberbrain_common::keys::{Principal, Scope};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
        GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult, Implementation,
        InitializeRequestParams, InitializeResult, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion,
        ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, UpdateTaskParams,
    },
    service::RequestContext,
};

use super::{
    prompts, resources,
    table::{self, TOOLS, Tool},
    tasks::{self, Tasks},
    tools::{Call, Reply},
};
use crate::{
    app::App,
    auth::Caller,
    problem::{Kind, Problem},
};

/// What the lists of this release hold does not change while it runs.
const LISTS_FRESH_MS: u64 = 3_600_000;

const INSTRUCTIONS: &str = "A durable job queue on machines with GPUs. launch_run starts a run of jobs such as \
    log_triage, gpu_report and service_map; get_run tells how it goes; get_run_report has its report once it has \
    ended. A run job that waits or failed says why. Nothing is lost when you stop asking: take it up again with the \
    run's id.";

/// Answers one request.
#[derive(Clone)]
pub(crate) struct Server {
    app: App,
}

impl Server {
    pub(super) const fn new(app: App) -> Self {
        Self { app }
    }
}

/// Who asks: proved by the layer in front, which lets nobody else through.
pub(super) fn caller(context: &RequestContext<RoleServer>) -> Result<&Principal, ErrorData> {
    let parts = context.extensions.get::<axum::http::request::Parts>();
    let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
    caller.map(|caller| &caller.0).ok_or_else(|| ErrorData::internal_error("the caller is not known", None))
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().enable_tasks();
        ServerConfig::new(capabilities.build())
            .with_protocol_version(ProtocolVersion::V_2026_07_28)
            .with_server_info(Implementation::new("cyberbrain", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    /// Tasks are an extension of the protocols without a handshake; what older ones call so is not served.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut answer = self.negotiate_initialize(&request)?;
        answer.capabilities.extensions = None;
        context.peer.set_peer_info(request);
        Ok(answer)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(TOOLS.iter().map(Tool::listed).collect());
        (list.ttl_ms, list.cache_scope) = (Some(LISTS_FRESH_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = table::find(&request.name).ok_or_else(|| {
            let known: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
            ErrorData::invalid_params(
                format!("there is no tool {}; there are {}", request.name, known.join(", ")),
                None,
            )
        })?;
        let caller = caller(&context)?;
        let call = Call {
            app: &self.app,
            caller,
            peer: &context.peer,
            progress: context.meta.get_progress_token(),
            cancelled: &context.ct,
            tasks: Tasks::of(&context),
        };
        let outcome = if caller.scope.covers(tool.scope) {
            (tool.run)(&call, request.arguments.unwrap_or_default()).await
        } else {
            let detail = format!(
                "key {} has the scope {}; {} needs {}: ask an admin for another key",
                caller.name, caller.scope, tool.name, tool.scope
            );
            Err(Problem::new(Kind::Forbidden, detail))
        };
        Ok(match outcome {
            Ok(Reply { task: Some(task), .. }) => CallToolResponse::Task(*task),
            Ok(reply) => success(reply).into(),
            Err(problem) => refusal(&problem).into(),
        })
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        tasks::check_scope(&context, Scope::Viewer)?;
        tasks::get(&self.app, &request.task_id).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        tasks::check_scope(&context, Scope::Operator)?;
        tasks::update(&self.app, &request.task_id).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = tasks::check_scope(&context, Scope::Operator)?;
        tasks::cancel(&self.app, caller, &request.task_id).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        caller(&context)?;
        resources::list(&self.app, request.and_then(|page| page.cursor)).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut list = ListResourceTemplatesResult::with_all_items(resources::templates());
        (list.ttl_ms, list.cache_scope) = (Some(LISTS_FRESH_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        caller(&context)?;
        Ok(resources::read(&self.app, &request.uri).await?.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut list = ListPromptsResult::with_all_items(prompts::all());
        (list.ttl_ms, list.cache_scope) = (Some(LISTS_FRESH_MS), Some(CacheScope::Public));
        Ok(list)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Ok(prompts::get(&request.name, request.arguments.unwrap_or_default())?.into())
    }
}

pub(super) fn success(reply: Reply) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(reply.said)]);
    result.structured_content = Some(reply.content);
    result
}

/// What the model can do something about: the sentence, and each place that is wrong.
fn refusal(problem: &Problem) -> CallToolResult {
    let places =
        problem.errors.iter().filter(|error| error.detail != problem.detail || !error.pointer.is_empty());
    let places: Vec<String> = places
        .map(|error| {
            let place = if error.pointer.is_empty() { "the arguments" } else { &error.pointer };
            format!("{place}: {}", error.detail)
        })
        .collect();
    let said = match &places[..] {
        [] => format!("{}: {}.", problem.kind.title(), problem.detail),
        places => format!("{}: {}.", problem.kind.title(), places.join("; ")),
    };
    CallToolResult::error(vec![ContentBlock::text(said)])
}
