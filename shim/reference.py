"""The generated parts of the docs: `python -m wildloop.shim.reference` writes them anew.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from wildloop.flows.prompt.catalog import AGENTS as MARK
from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app
from wildloop.shim.described import agents_table, commands_table, toml_tables
from wildloop.shim.limits import BODY_VARIABLE, QUEUE_VARIABLE, RATE_VARIABLE, Limits
from wildloop.shim.mcp.server import TOOLS, listed
from wildloop.shim.openapi import ERRORS, TAGS, operations

DOCS = Path(__file__).parent.parent / "docs"
PAGES = tuple(DOCS / f"{name}.md" for name in ("api", "commands", "projects", "agents"))
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The text with its generated parts as they are now.

    Raises:
        KeyError: a part has an unknown name.
    """
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def operations_table() -> str:
    """Every operation, by tag; marked are those that need no token, or are open to agents."""
    settings = Settings(home=Path("/"), server_url="", token=SecretStr("x" * 8), workdir=Path("/"))
    schema = create_app(settings).openapi()
    rows = ["| | | |", "| --- | --- | --- |"]
    for tag in TAGS:
        rows.append(f"| **{tag['name']}** | {tag['description']} | |")
        rows += [
            f"| `{method.upper()} {path}` | {operation['summary']} | {_notes(operation)} |"
            for method, path, operation in operations(schema)
            if tag["name"] in operation["tags"]
        ]
    return "\n".join(rows)


def _notes(operation: dict[str, Any]) -> str:
    headers = {one["name"].lower() for one in operation.get("parameters", ())}
    notes = [
        "no token" if not operation["security"] else _for_agents(operation),
        "Idempotency-Key" if "idempotency-key" in headers else "",
        "limited" if "429" in operation["responses"] else "",
    ]
    return ", ".join(note for note in notes if note)


def _for_agents(operation: dict[str, Any]) -> str:
    return {"read": "agents", "own": "agents: own session"}.get(operation.get(MARK, ""), "")


def errors_table() -> str:
    """Every error status and what it means."""
    rows = [f"| {status} | {meaning} |" for status, (meaning, _) in ERRORS.items()]
    return "\n".join(["| status | meaning |", "| --- | --- |", *rows])


def limits_table() -> str:
    """Every limit, its variable and its default."""
    limits = Limits()
    rows = [
        f"| size of a body | `{BODY_VARIABLE}` | {limits.max_body_bytes:,} bytes |",
        f"| requests a minute, a session, that create runs | `{RATE_VARIABLE}` "
        f"| {limits.runs_per_minute} |",
        f"| runs that wait | `{QUEUE_VARIABLE}` | {limits.max_queued_runs:,} |",
    ]
    return "\n".join(["| limit | variable | default |", "| --- | --- | --- |", *rows])


def tools_table() -> str:
    """Every tool of `wildloop mcp`."""
    tools = (listed(tool) for tool in TOOLS)
    rows = [f"| `{tool.name}` | {' '.join((tool.description or '').split())} |" for tool in tools]
    return "\n".join(["| tool | what it does |", "| --- | --- |", *rows])


PARTS: dict[str, Callable[[], str]] = {
    "operations": operations_table,
    "errors": errors_table,
    "limits": limits_table,
    "tools": tools_table,
    "commands": commands_table,
    "toml": toml_tables,
    "agents": agents_table,
}


def main() -> int:
    """Write the pages anew."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
