"""Speaks MCP with an installation through the official client, in both protocols.

Usage: mcp_client.py URL OTHER_URL, of two apis of one installation, with the keys CYBERBRAIN_OPERATOR and CYBERBRAIN_VIEWER in the environment.
Prints one JSON object: which checks were made, and what failed. Ends within LIMIT seconds.
"""

import json
import os
import sys
import traceback
import uuid
from typing import Any, Literal

import anyio
from mcp import Client, MCPError
from mcp.client.extension import ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, Request, RequestParams, Result

NEW, OLD = "2026-07-28", "2025-11-25"
LIMIT = 240
CALL_LIMIT = 90

URL, OTHER_URL = sys.argv[1:]
OPERATOR = os.environ["CYBERBRAIN_OPERATOR"]
VIEWER = os.environ["CYBERBRAIN_VIEWER"]


def connect(version, key, **options):
    """A client that is not connected yet; without a key it sends none."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    http = create_mcp_http_client(headers=headers)
    if statuses := options.pop("statuses", None):
        http.event_hooks["response"].append(statuses)
    mode = "legacy" if version == OLD else "auto"
    url = options.pop("url", URL)
    return Client(streamable_http_client(url, http_client=http), mode=mode, read_timeout_seconds=CALL_LIMIT, **options)


async def done(client, tool, arguments, **options):
    """The structured content of a call that must succeed."""
    result = await client.call_tool(tool, arguments, **options)
    assert not result.is_error, result.content[0].text
    assert len(result.content[0].text) > 0 and result.structured_content, result
    return result.structured_content


async def ended(client, run):
    """The run, once it has ended."""
    while True:
        found = await done(client, "get_run", {"id": run})
        if found["status"] in ("success", "failed", "cancelled"):
            return found
        await anyio.sleep(0.2)


async def refused(client, tool, arguments, *words):
    """A refusal is a result that the model can read, not an error of the protocol."""
    result = await client.call_tool(tool, arguments)
    said = result.content[0].text
    assert result.is_error and result.structured_content is None, result
    for word in words:
        assert word in said, said


async def handshake(version):
    async with connect(version, OPERATOR) as client:
        assert client.protocol_version == version, client.protocol_version
        assert client.server_info.name == "cyberbrain", client.server_info
        capabilities = client.server_capabilities
        assert capabilities.tools and capabilities.resources and capabilities.prompts, capabilities
        assert "launch_run" in client.instructions, client.instructions


async def lists_tools(version):
    async with connect(version, VIEWER) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    for name in ("launch_run", "list_runs", "get_run", "get_run_report", "cancel_run", "list_directives"):
        tool = tools[name]
        assert tool.description and tool.input_schema["type"] == "object" and tool.output_schema, name
        assert tool.annotations.read_only_hint is (name not in ("launch_run", "cancel_run")), name
    assert tools["cancel_run"].annotations.destructive_hint is True


async def launches_once(version):
    once = str(uuid.uuid4())
    arguments = {"jobs": ["gpu_report"], "tags": [once], "idempotency_key": once}
    async with connect(version, OPERATOR) as client:
        first = await done(client, "launch_run", arguments)
        again = await done(client, "launch_run", arguments)
        assert first["id"] == again["id"], (first["id"], again["id"])
        await refused(client, "launch_run", arguments | {"jobs": ["service_map"]}, "idempotency")
        found = await done(client, "list_runs", {"tag": once})
        assert [run["id"] for run in found["runs"]] == [first["id"]], found
        assert (await ended(client, first["id"]))["status"] == "success"


async def waits_with_progress(version):
    told = []

    async def progress(now, total, message):
        told.append((now, total, message))

    async with connect(version, OPERATOR) as client:
        arguments = {"jobs": ["gpu_report"], "wait_seconds": 80}
        run = await done(client, "launch_run", arguments, progress_callback=progress)
        assert run["status"] == "success", run
        steps = [now for now, _, _ in told]
        assert steps and steps == sorted(steps) and steps[0] == 0, told
        assert all(total == 1 and message for _, total, message in told), told
        assert (await done(client, "get_run", {"id": run["id"]})) == run


async def reads_reports(version):
    async with connect(version, OPERATOR) as client:
        run = await done(client, "launch_run", {"jobs": ["gpu_report"], "wait_seconds": 80})
        report = await done(client, "get_run_report", {"id": run["id"]})
        assert report["status"] == "success" and report["markdown"].startswith("#"), report
        uri = f"cyberbrain://runs/{run['id']}"
        content = (await client.read_resource(f"{uri}/report")).contents[0]
        assert (content.mime_type, content.text) == ("text/markdown", report["markdown"]), content
        assert json.loads((await client.read_resource(uri)).contents[0].text)["id"] == run["id"]
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert {uri, f"{uri}/report"} <= listed, listed
        for missing in ("cyberbrain://runs/7", f"cyberbrain://runs/{uuid.uuid4()}/report"):
            try:
                await client.read_resource(missing)
            except MCPError as error:
                assert error.message, missing
            else:
                raise AssertionError(f"{missing} was read")


async def lists_templates_and_prompts(version):
    async with connect(version, VIEWER) as client:
        templates = {each.uri_template for each in (await client.list_resource_templates()).resource_templates}
        assert "cyberbrain://runs/{id}/report" in templates, templates
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert prompts == ["log_triage", "gpu_report", "service_map"], prompts
        for name in prompts:
            text = (await client.get_prompt(name, {"focus": "db-1"})).messages[0].content.text
            assert "launch_run" in text and name in text and "db-1" in text, text


async def refuses_what_a_directive_does_not_allow(version):
    async with connect(version, OPERATOR) as client:
        await refused(client, "launch_run", {"directive": "D2", "jobs": ["log_triage"]}, "log_triage", "/jobs/0")
        await refused(client, "get_run", {"id": str(uuid.uuid4())}, "there is no run")
        try:
            await client.call_tool("rm", {})
        except MCPError as error:
            assert "launch_run" in error.message, error
        else:
            raise AssertionError("a tool that is not there was called")


async def asks_for_a_key_that_may(version):
    async with connect(version, VIEWER) as client:
        await refused(client, "launch_run", {"jobs": ["gpu_report"]}, "viewer", "operator")
        await done(client, "list_runs", {})
    for key in (None, "cb_nobody_nothing"):
        statuses = []

        async def note(response):
            statuses.append(response.status_code)

        try:
            async with connect(version, key, statuses=note) as client:
                await client.list_tools()
        except Exception:
            assert statuses and set(statuses) == {401}, statuses
        else:
            raise AssertionError(f"{key} got in")


class TaskParams(RequestParams):
    task_id: str


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    name_param = "taskId"
    method: Literal["tasks/get"] = "tasks/get"


class CancelTask(Request[TaskParams, Literal["tasks/cancel"]]):
    name_param = "taskId"
    method: Literal["tasks/cancel"] = "tasks/cancel"


class Task(Result):
    task_id: str
    status: str
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class CreatedTask(Task):
    result_type: Literal["task"] = "task"


class Tasks(ClientExtension):
    """What a client does that takes a task for an answer: it asks until the task has ended."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self):
        self.created = []

    def claims(self):
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.resolve)]

    async def resolve(self, created, context):
        self.created.append(created)
        task = await self.ended(context.session, created.task_id)
        assert task.status == "completed", task
        return CallToolResult.model_validate(task.result)

    async def ended(self, session, task_id):
        while True:
            task = await session.send_request(GetTask(params=TaskParams(task_id=task_id)), Task)
            if task.status in ("completed", "failed", "cancelled"):
                return task
            assert task.status == "working", task
            await anyio.sleep(task.poll_interval_ms / 1000)


async def launches_as_a_task(version):
    tasks = Tasks()
    async with connect(version, OPERATOR, extensions=[tasks]) as client:
        if version == OLD:
            # Its own kind of tasks is not served, so a launch is answered with the run.
            assert not (client.server_capabilities.extensions or client.server_capabilities.tasks)
            await done(client, "launch_run", {"jobs": ["gpu_report"]})
            assert not tasks.created
            return
        assert tasks.identifier in client.server_capabilities.extensions, client.server_capabilities
        run = await done(client, "launch_run", {"jobs": ["gpu_report"]})
        assert run["status"] == "success" and tasks.created[0].task_id == run["id"], (tasks.created, run)
        await done(client, "launch_run", {"jobs": ["gpu_report"], "wait_seconds": 0})
        assert len(tasks.created) == 1, "who does not want to wait gets no task"

        arguments = {"run_jobs": [{"job": "gpu_report", "gpu": {"policy": "require", "min_vram_mib": 2_000_000}}]}
        stuck = await client.session.call_tool("launch_run", arguments, allow_claimed=True)
        assert isinstance(stuck, CreatedTask) and stuck.status == "working", stuck
    async with connect(version, OPERATOR, extensions=[tasks], url=OTHER_URL) as other:
        asked = await other.session.send_request(GetTask(params=TaskParams(task_id=stuck.task_id)), Task)
        assert asked.status == "working", asked
        await other.session.send_request(CancelTask(params=TaskParams(task_id=stuck.task_id)), Result)
        assert (await tasks.ended(other.session, stuck.task_id)).status == "cancelled"


def everything(error):
    """An error with those in it, as one text."""
    return "".join(traceback.format_exception(error))


CHECKS = [
    handshake,
    lists_tools,
    launches_once,
    waits_with_progress,
    reads_reports,
    lists_templates_and_prompts,
    refuses_what_a_directive_does_not_allow,
    asks_for_a_key_that_may,
    launches_as_a_task,
]


async def main():
    made, failed = [], {}
    with anyio.move_on_after(LIMIT) as limit:
        for version in (NEW, OLD):
            for check in CHECKS:
                name = f"{version} {check.__name__}"
                try:
                    await check(version)
                    made.append(name)
                except Exception as error:
                    failed[name] = everything(error)
    if limit.cancelled_caught:
        failed["limit"] = f"not done in {LIMIT} s"
    print(json.dumps({"made": made, "failed": failed}))


anyio.run(main)
