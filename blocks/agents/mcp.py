"""Wildloop's MCP server, as the configuration of a coding agent names it.

The token reaches the server by the environment that the agent's process has; it stands in no
configuration and on no command line.
"""

from collections.abc import Sequence
from typing import Any

from wildloop.blocks.interpreter import own_command
from wildloop.blocks.launchers.processes import MARKER

NAME = "wildloop"
# A busy host may take long to start it, and a slow API to answer.
START_SECONDS = 60
TOOL_SECONDS = 120
VARIABLES = (
    "WILDLOOP_AUTH_TOKEN",
    "WILDLOOP_SERVER_URL",
    "WILDLOOP_SESSION_ID",
    # By it a server that outlives its agent is found and ended.
    MARKER,
)


def server_command() -> Sequence[str]:
    """The command that serves the tools, with the Python that this worker runs on."""
    return own_command("wildloop", "mcp")


def claude_configuration() -> dict[str, Any]:
    """For `claude --mcp-config`."""
    command, *arguments = server_command()
    server = {"type": "stdio", "command": command, "args": arguments}
    # Without it a call may begin before the tools are there, and end without having seen them.
    return {"mcpServers": {NAME: server | {"alwaysLoad": True}}}


def codex_configuration() -> dict[str, Any]:
    """Keys and values for `codex -c`; Codex hands a server only the variables that are named.

    Codex lays down its tools as the call begins, and one that comes later is never seen: by
    `required` it waits for the server, and the call fails should that not start.
    """
    command, *arguments = server_command()
    return {
        f"mcp_servers.{NAME}.command": command,
        f"mcp_servers.{NAME}.args": arguments,
        f"mcp_servers.{NAME}.env_vars": list(VARIABLES),
        f"mcp_servers.{NAME}.required": True,
        f"mcp_servers.{NAME}.startup_timeout_sec": START_SECONDS,
        f"mcp_servers.{NAME}.tool_timeout_sec": TOOL_SECONDS,
    }


def opencode_configuration() -> dict[str, Any]:
    """For `mcp` of OpenCode's configuration."""
    return {
        NAME: {"type": "local", "command": list(server_command()), "timeout": START_SECONDS * 1000}
    }
