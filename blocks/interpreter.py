"""How Wildloop starts Python processes of its own: PYTHONPATH is for what those start in turn.

A project with a `flows/`, an `httpx.py` or an `mcp.py` of its own, and `PYTHONPATH=.`, would
otherwise stand in for what our processes import. The variable stays in their environment, so that
runs, agents and set-up commands find what their user has laid out.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import wildloop


def own_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this interpreter."""
    return [*own_python(), "-m", module, *arguments]


def part_command(module: str, *arguments: str) -> list[str]:
    """The command that runs the `main` of a part of the server, which imports a great deal."""
    return own_command("wildloop.blocks.part", module, *arguments)


def own_python(environment: Mapping[str, str] | None = None) -> list[str]:
    """This interpreter; neither the folder it starts in nor PYTHONPATH is looked into.

    Unless Wildloop itself was found by PYTHONPATH, as after `pip install --target` or by an
    environment module of a cluster.
    """
    given = os.environ if environment is None else environment
    # A relative one would lead elsewhere from each folder that a process starts in.
    entries = filter(os.path.isabs, given.get("PYTHONPATH", "").split(os.pathsep))
    found_by_it = Path(wildloop.__file__).resolve().parents[1] in map(
        Path.resolve, map(Path, entries)
    )
    return [sys.executable, "-P"] if found_by_it else [sys.executable, "-P", "-E"]
