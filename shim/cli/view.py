"""A session as a person watches it: live on a terminal, line by line in a log."""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.session import Session, TaskProgress
from wildloop.shim.cli.curves import Curves
from wildloop.shim.cli.table import is_narrow
from wildloop.shim.client.api import ApiClient

LOOK_SECONDS = 1.0
LOOKS_AT_ACTIVITY = 2
SHOWN_STEPS = 6
SHOWN_ACTIVITY = 12
RECENT_BYTES = 4096
BREACH_LENGTH = 200
# Rows without which curves would push out what the agent does; columns for two of them.
ROOMY, FEW, ROOM_FOR_TWO = 34, 3, 100


def summary_lines(session: Session) -> list[str]:
    """A session in a few lines of text."""
    runs, tasks = session.runs, session.tasks
    lines = [
        f"session {session.session_id}",
        *([f"  verdict   {session.verdict}"] if session.verdict else []),
        *([f"  target    {session.target}"] if session.target else []),
        f"  goal      {session.goal}",
        f"  status    {session.status.value} ({session.phase.value}), agent {session.agent}",
        f"  iteration {session.iteration} of at most {session.max_iterations}, "
        f"tasks {tasks.done + tasks.cancelled}/{tasks.total} closed",
        *phase_lines(tasks),
        f"  runs      {runs.total}: {runs.running + runs.launching} running, {runs.queued} queued, "
        f"{runs.ready} ready, {runs.completed} finished, {runs.failed} failed, "
        f"{runs.canceled} stopped"
        + (f"; {session.own_runs} more by Wildloop itself" if session.own_runs else ""),
        *(f"  decides   {text}" for text in session.decides),
        f"  best      {best_text(session)}",
        *(f"  hold-out  {text}" for text in sealed_lines(session)),
        *(f"  candidate {text}" for text in session.candidates),
        *([f"  unmeasured {session.unmeasured}"] if session.unmeasured else []),
    ]
    if text := usage_text(session):
        lines.append(f"  agent     {text}")
    if text := budget_text(session):
        lines.append(f"  budget    {text}")
    if session.breaches:
        text = session.last_breach
        said = text if len(text) <= BREACH_LENGTH else f"{text[:BREACH_LENGTH]}..."
        lines.append(f"  breaches  {session.breaches} of the rules; the last, in {said}")
    if session.note:
        lines.append(f"  note      {session.note}")
    if session.error:
        lines.append(f"  error     {session.error}")
    if session.report_path:
        lines.append(f"  report    {session.report_path}")
    if session.ui_url:
        lines.append(f"  Prefect   {session.ui_url}")
    return lines


def sealed_lines(session: Session) -> list[str]:
    """What the hold-out has said, once the session is over."""
    if session.sealed is None:
        return []
    return session.sealed.lines(session.contract.metric or "value")


def usage_text(session: Session) -> str:
    """Tokens and cost of all calls; empty where the agent tells neither."""
    usage, spent = session.usage, session.spent
    parts = [usage.text] if usage != Usage() else []
    if any(step.cost_usd is not None for step in session.history):
        parts.append(f"${spent.cost_usd:.2f}" + " (estimate)" * spent.cost_is_estimate)
    return ", ".join(parts)


def budget_text(session: Session) -> str:
    """What is used of each bound; empty without a budget."""
    used = session.spent.model_dump()
    bounds = session.budget.model_dump(exclude_none=True)
    return ", ".join(f"{name} {used[name]:.3g} of {bound:g}" for name, bound in bounds.items())


def phase_lines(tasks: TaskProgress) -> list[str]:
    """The plan's progress, a line for each phase."""
    return [
        f"    phase {one.number} {one.bar} {one.closed}/{one.total} {one.title[:60]}".rstrip()
        for one in tasks.phases
    ]


def best_text(session: Session) -> str:
    """What the session has shown, as the report has it."""
    return session.headline or "none yet"


def change_line(session: Session) -> str:
    """What matters of a session in one line, for logs."""
    runs = session.runs
    best = f", best {session.best.value:.5g}" if session.best else ""
    return (
        f"{session.status.value} | {session.phase.value} | iteration {session.iteration} | tasks "
        f"{session.tasks.done}/{session.tasks.total} | runs {runs.queued} queued "
        f"{runs.launching + runs.running} running {runs.completed} finished {runs.failed} failed"
        f"{best}" + (f" | {session.note}" if session.note else "")
    )


def panel(
    session: Session, activity: Sequence[str] = (), curves: RenderableType | None = None
) -> RenderableType:
    """The live view: progress, curves, the last steps, the last lines of what the agent does."""
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
    more = {
        "agent": usage_text(session),
        "budget": budget_text(session),
        "note": session.note,
        "unmeasured": session.unmeasured,
    }
    for name, text in more.items():
        if text:
            grid.add_row(name, Text(text))
    steps = Text()
    for step in session.history[-SHOWN_STEPS:]:
        steps.append(f"{step.label}: ", style="bold")
        steps.append(f"{(step.summary or step.error or '')[:150]}\n")
    lines = Text("\n".join(activity), style="dim", no_wrap=True, overflow="ellipsis")
    drawn = [curves, Text()] if curves is not None else []
    return Panel(Group(grid, Text(), *drawn, steps, lines), title="Wildloop", border_style="cyan")


def follow(
    client: ApiClient,
    session_id: str,
    expired: Callable[[], bool] = lambda: False,
    *,
    with_activity: bool = False,
) -> Session:
    """Show a session until it ends (or `expired`); return it as it was last seen.

    `with_activity`: what its agent does is shown too, in short lines.
    """
    console = Console()
    activity = Activity(client, session_id) if with_activity else None
    if console.is_terminal and not is_narrow():
        with Live(console=console, refresh_per_second=4) as live:
            shown: deque[str] = deque(maxlen=SHOWN_ACTIVITY)
            curves = Curves(client)

            def update(seen: Session, lines: list[str]) -> None:
                shown.extend(lines)
                # Two beside one another within the frame, where there is room for both.
                width = console.width - 6
                drawn = None
                if console.height >= ROOMY:
                    drawn = curves.picture(seen, width // 2 - 1 if width >= ROOM_FOR_TWO else width)
                room = console.height - ROOMY if drawn is not None else SHOWN_ACTIVITY
                live.update(panel(seen, list(shown)[-max(FEW, room) :], drawn))

            return _loop(client, session_id, expired, activity, update)
    last = ""

    def print_change(seen: Session, lines: list[str]) -> None:
        nonlocal last
        line = change_line(seen)
        text = "".join(f"{one}\n" for one in ([line] if line != last else []) + lines)
        last = line
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()

    return _loop(client, session_id, expired, activity, print_change)


class Activity:
    """The lines of a session's activity that have come since they were last asked for."""

    def __init__(self, client: ApiClient, session_id: str) -> None:
        self._client = client
        self._session_id = session_id
        self._offset = -RECENT_BYTES

    def lines(self) -> list[str]:
        """What is new, at most about 64 kB of it."""
        part = self._client.activity(self._session_id, self._offset)
        self._offset = part.next_offset
        return part.content.splitlines()


def _loop(
    client: ApiClient,
    session_id: str,
    expired: Callable[[], bool],
    activity: Activity | None,
    show: Callable[[Session, list[str]], None],
) -> Session:
    while True:
        session = client.session(session_id)
        # Read after the session: of one that has ended, no line is missed.
        show(session, activity.lines() if activity is not None else [])
        if not session.is_active or expired():
            return session
        for _ in range(LOOKS_AT_ACTIVITY - 1 if activity is not None else 0):
            time.sleep(LOOK_SECONDS / LOOKS_AT_ACTIVITY)
            show(session, activity.lines() if activity is not None else [])
        time.sleep(LOOK_SECONDS / LOOKS_AT_ACTIVITY if activity is not None else LOOK_SECONDS)
