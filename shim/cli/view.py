"""A session as a person watches it: live on a terminal, line by line in a log."""

import sys
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flows.models.session import Session, TaskProgress
from shim.cli.client import ApiClient

LOOK_SECONDS = 1.0
SHOWN_STEPS = 6


def summary_lines(session: Session) -> list[str]:
    """A session in a few lines of text."""
    runs, tasks = session.runs, session.tasks
    lines = [
        f"session {session.session_id}",
        f"  goal      {session.goal}",
        f"  status    {session.status.value} ({session.phase.value}), agent {session.agent}",
        f"  iteration {session.iteration} of at most {session.max_iterations}, "
        f"tasks {tasks.done + tasks.cancelled}/{tasks.total} closed",
        *phase_lines(tasks),
        f"  runs      {runs.total}: {runs.running + runs.launching} running, {runs.queued} queued, "
        f"{runs.ready} ready, {runs.completed} finished, {runs.failed} failed, "
        f"{runs.canceled} stopped",
        f"  best      {best_text(session)}",
    ]
    if session.error:
        lines.append(f"  error     {session.error}")
    if session.report_path:
        lines.append(f"  report    {session.report_path}")
    if session.ui_url:
        lines.append(f"  Prefect   {session.ui_url}")
    return lines


def phase_lines(tasks: TaskProgress) -> list[str]:
    """The plan's progress, a line for each phase."""
    return [
        f"    phase {one.number} {one.bar} {one.closed}/{one.total} {one.title[:60]}".rstrip()
        for one in tasks.phases
    ]


def best_text(session: Session) -> str:
    """Best against baseline."""
    if session.best is None:
        return "none yet"
    text = f"{session.best.metric} {session.best.value:.5g} ({session.best.run_name})"
    if session.baseline is not None:
        gain = session.best.value - session.baseline.value
        text += f", baseline {session.baseline.value:.5g}, difference {gain:+.5g}"
    return text


def change_line(session: Session) -> str:
    """What matters of a session in one line, for logs."""
    runs = session.runs
    best = f", best {session.best.value:.5g}" if session.best else ""
    return (
        f"{session.status.value} | {session.phase.value} | iteration {session.iteration} | tasks "
        f"{session.tasks.done}/{session.tasks.total} | runs {runs.queued} queued "
        f"{runs.launching + runs.running} running {runs.completed} finished {runs.failed} failed"
        f"{best}"
    )


def panel(session: Session) -> RenderableType:
    """The live view."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", justify="right")
    grid.add_column()
    runs = session.runs
    grid.add_row("goal", session.goal)
    grid.add_row("phase", f"{session.phase.value} ({session.status.value})")
    grid.add_row("iteration", f"{session.iteration} of at most {session.max_iterations}")
    grid.add_row(
        "tasks", f"{session.tasks.done + session.tasks.cancelled} of {session.tasks.total} closed"
    )
    grid.add_row(
        "runs",
        f"[yellow]{runs.queued} queued[/], [blue]{runs.launching + runs.running} running[/], "
        f"[green]{runs.completed} finished[/], [red]{runs.failed} failed[/]",
    )
    grid.add_row("best", best_text(session))
    steps = Text()
    for step in session.history[-SHOWN_STEPS:]:
        steps.append(f"{step.label}: ", style="bold")
        steps.append(f"{(step.summary or step.error or '')[:150]}\n")
    return Panel(Group(grid, Text(), steps), title="Wildloop", border_style="cyan")


def follow(
    client: ApiClient, session_id: str, expired: Callable[[], bool] = lambda: False
) -> Session:
    """Show a session until it ends (or `expired`); return it as it was last seen."""
    console = Console()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            return _loop(client, session_id, expired, lambda seen: live.update(panel(seen)))
    last = ""

    def print_change(seen: Session) -> None:
        nonlocal last
        line = change_line(seen)
        if line != last:
            last = line
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    return _loop(client, session_id, expired, print_change)


def _loop(
    client: ApiClient,
    session_id: str,
    expired: Callable[[], bool],
    show: Callable[[Session], None],
) -> Session:
    while True:
        session = client.session(session_id)
        show(session)
        if not session.is_active or expired():
            return session
        time.sleep(LOOK_SECONDS)
