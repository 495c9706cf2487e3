"""`wildloop memories`: the lessons that prompts are given."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from wildloop.flows.models.memory import Memory, MemoryTag
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server
from wildloop.shim.cli.table import print_table

app = typer.Typer(
    name="memories", help="The lessons kept across sessions, by project.", no_args_is_help=True
)
Project = Annotated[
    Path | None, typer.Option("--workdir", help="Of this project (default: the server's).")
]
MemoryId = Annotated[str, typer.Argument(help="Memory id.")]


@app.command("list")
def list_memories(
    workdir: Annotated[Path | None, typer.Option(help="Of this project (default: all).")] = None,
    tag: Annotated[MemoryTag | None, typer.Option(help="Of this kind.")] = None,
    query: Annotated[str | None, typer.Option("-q", "--query", help="That contain this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List the memories, newest first."""
    wanted = {
        "project": str(workdir.expanduser().resolve()) if workdir else None,
        "tag": tag.value if tag else None,
        "q": query,
        "limit": limit,
    }
    params = {name: value for name, value in wanted.items() if value is not None}
    answer = server().request("GET", "/memories", params=params)
    found = TypeAdapter(list[Memory]).validate_python(answer)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.id,
            one.tag.value,
            one.source.value,
            str(one.uses),
            str(one.confirmations),
            "" if one.is_active else "off",
            one.line,
        )
        for one in found
    ]
    print_table(("id", "kind", "by", "used", "found again", "", "memory"), rows)


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="The lesson.")],
    tag: Annotated[MemoryTag, typer.Option(help="Its kind.")] = MemoryTag.LESSON,
    title: Annotated[str | None, typer.Option(help="A few words before it.")] = None,
    workdir: Project = None,
    as_json: Json = False,
) -> None:
    """Keep a lesson; the one that says the same already, if there is one."""
    body: dict[str, Any] = {"content": text, "tag": tag.value, "title": title}
    if workdir is not None:
        body["project"] = str(workdir.expanduser().resolve())
    body = {name: value for name, value in body.items() if value is not None}
    _show(server().request("POST", "/memories", json=body), as_json)


@app.command()
def edit(
    memory: MemoryId,
    text: Annotated[str | None, typer.Argument(help="The lesson in new words.")] = None,
    tag: Annotated[MemoryTag | None, typer.Option(help="Its kind.")] = None,
    title: Annotated[str | None, typer.Option(help="A few words before it.")] = None,
    active: Annotated[
        bool | None, typer.Option("--on/--off", help="Whether prompts show it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a memory; what is not given stays."""
    given = {
        "content": text,
        "tag": tag.value if tag else None,
        "title": title,
        "is_active": active,
    }
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        fail("nothing to change: give a text, --tag, --title, --on or --off", 2)
    _show(server().request("PATCH", f"/memories/{memory}", json=body), as_json)


@app.command()
def rm(memory: MemoryId, as_json: Json = False) -> None:
    """Delete a memory with its history; `edit --off` keeps it out of prompts instead."""
    server().request("DELETE", f"/memories/{memory}")
    if as_json:
        print_json({"id": memory, "deleted": True})
    else:
        typer.echo(f"deleted {memory}")


def _show(answer: Any, as_json: bool) -> None:
    memory = Memory.model_validate(answer)
    if as_json:
        print_json(memory)
    else:
        typer.echo(f"{memory.id}\n  {memory.line}")
