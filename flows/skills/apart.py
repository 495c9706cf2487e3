"""A project's own skill rendered in a process of its own, with bounds of time and memory.

Its template is a program by whoever wrote it: one that asks for ten billion characters, or runs on
and on, must not hold up the API.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.skills.template import render

CPU_SECONDS = 5
WALL_SECONDS = 20.0
MEMORY_BYTES = 1024 * 1024 * 1024


def render_apart(id: str, template: str, variables: Mapping[str, Any]) -> str:
    """As `render`, in a child with 5 s of CPU time and 1 GiB of memory. Blocks.

    Raises:
        InvalidRequest: as `render`, and where a bound is reached.
    """
    task = json.dumps({"id": id, "template": template, "variables": dict(variables)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", __name__],
            input=task.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidRequest(_too_much(id)) from error
    if done.returncode != 0 or not done.stdout:
        raise InvalidRequest(_too_much(id))
    answer = json.loads(done.stdout)
    if "fault" in answer:
        raise InvalidRequest(answer["fault"])
    return str(answer["text"])


def main() -> None:
    """Render what stdin asks for; the answer goes to stdout."""
    task = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    # Not every system has this bound; the one of time stands.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        answer = {"text": render(task["id"], task["template"], task["variables"])}
    except InvalidRequest as error:
        answer = {"fault": str(error)}
    sys.stdout.write(json.dumps(answer))


def _too_much(id: str) -> str:
    return (
        f"skill '{id}': its template takes more than {CPU_SECONDS} s or "
        f"{MEMORY_BYTES // 1024**2} MiB: mend its SKILL.md"
    )


if __name__ == "__main__":
    main()
