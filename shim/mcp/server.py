"""The MCP server: tools on stdin and stdout, each a call or two of the HTTP API."""

import asyncio
import json
import logging
import sys
from dataclasses import replace

from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp.types import Tool as Listed
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from wildloop.shim.client.errors import ClientError
from wildloop.shim.mcp import runs, state
from wildloop.shim.mcp.keys import CallKeys
from wildloop.shim.mcp.tool import Desk, Tool, ToolMisused
from wildloop.shim.version import VERSION

NAME = "wildloop"
TOOLS: tuple[type[Tool], ...] = (
    runs.CreateSweep,
    runs.CreateRun,
    runs.StartRun,
    runs.StopRun,
    runs.ListRuns,
    runs.GetRun,
    runs.GetLogs,
    runs.GetMetrics,
    state.Cluster,
    state.SystemHealth,
    state.SearchSkills,
    state.ReadSkill,
    state.Events,
)
INSTRUCTIONS = (
    "Wildloop executes experiments as runs: create them here instead of running them yourself. "
    "The HTTP API of $WILDLOOP_SERVER_URL does the same and more."
)


def build_server(desk: Desk) -> Server[object]:
    """The server with all tools, for one agent."""
    by_name = {tool.tool_name(): tool for tool in TOOLS}
    keys = CallKeys()

    async def list_tools(
        context: ServerRequestContext[object], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[listed(tool) for tool in TOOLS])

    async def call_tool(
        context: ServerRequestContext[object], params: CallToolRequestParams
    ) -> CallToolResult:
        kind = by_name.get(params.name)
        if kind is None:
            return _answer(f"no tool '{params.name}': there are {', '.join(by_name)}", failed=True)
        try:
            tool = kind.model_validate(params.arguments or {})
        except ValidationError as error:
            return _answer(_faults(error), failed=True)
        try:
            # In here, since a client that gives up ends this coroutine, but not the thread.
            with keys.key(params.name, params.arguments or {}) as key:
                return _answer(await asyncio.to_thread(tool.call, replace(desk, key=key)))
        except (ClientError, ToolMisused) as error:
            return _answer(str(error), failed=True)
        except (ValidationError, json.JSONDecodeError):
            text = f"what answers at {desk.api.url} is no Wildloop server of version {VERSION}"
            return _answer(text, failed=True)

    return Server(
        NAME,
        version=VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


class _Untitled(GenerateJsonSchema):
    """Schemas without titles, which would say every name twice."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never."""
        return False


def listed(tool: type[Tool]) -> Listed:
    """A tool as clients see it."""
    schema = tool.model_json_schema(schema_generator=_Untitled)
    schema.pop("title")
    description = " ".join(str(schema.pop("description")).split())
    return Listed(
        name=tool.tool_name(),
        description=description,
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=tool is runs.StopRun,
            open_world_hint=False,
        ),
    )


async def serve() -> None:
    """Serve on stdin and stdout until stdin ends."""
    server = build_server(Desk.from_environment())
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def main() -> None:
    """Run the server; stdout is the protocol's, so that logs go to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(serve())


def _answer(text: str, *, failed: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
