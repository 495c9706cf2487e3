"""Reflection gates: a gate that comes up is one call, the reflection itself."""

from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.protocol.gates import name_of, next_gate, with_ticked
from wildloop.flows.protocol.plan import Task, closed_gates
from wildloop.flows.session.position import Position
from wildloop.flows.turn.turn import Turn


def due_gates(position: Position) -> list[str]:
    """Gates to be reflected upon: closed ones that were not yet, and one that is the next task.

    While runs are waited for, the task before the gate is not over.
    """
    record, plan = position.record, position.plan()
    gates = [gate for gate in closed_gates(plan) if gate not in record.reflected_gates]
    coming = next_gate(plan, is_passed=bool(record.desks))
    if coming is not None and not record.awaiting_turn and not record.pending_runs:
        gates.append(name_of(coming))
    return [gate for gate in gates if gate not in record.reflected_gates]


def tick(position: Position, gates: list[str]) -> None:
    """Close the gates that are reflected upon now, so that no iteration is spent on them."""
    before = position.plan_text()
    text = with_ticked(before, gates)
    if text != before:
        position.paths.tasks.write_text(text, encoding="utf-8")


def gate_section(position: Position, gates: list[str]) -> str:
    """What the reflection's prompt says of the gates that led to it; empty without any."""
    tasks = position.plan().tasks
    return told_gates([task for task in tasks if task.is_gate and name_of(task) in gates])


def told_gates(gates: Sequence[Task]) -> str:
    """The same of these tasks."""
    if not gates:
        return ""
    lines = [
        f"- {name_of(task)}: {task.text}"
        + (f" (into `{task.deliverable}`)" if task.deliverable else "")
        for task in gates
    ]
    told = "\n".join(lines)
    return (
        f"This is the reflection that the plan asks for:\n\n{told}\n\nIts box is ticked and its "
        "deliverable written from your `<reflection>`: do neither yourself.\n"
    )


def deliver(position: Position, gates: list[str], call: Turn) -> None:
    """Write the deliverables of these gates from the reply, where the agent has not."""
    said = call.tags.reflection
    if not said:
        return
    decision = {True: "continue", False: "stop", None: "none"}[call.tags.continue_session]
    for task in position.plan().tasks:
        path = _path(position.workdir, task)
        if name_of(task) in gates and task.is_gate and path is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = f"# {name_of(task)}: {task.text}\n\n{said}\n\nDecision: {decision}.\n"
            path.write_text(text, encoding="utf-8")


def _path(workdir: Path, task: Task) -> Path | None:
    """Where a gate's deliverable lies; None where it names no file inside the project."""
    name = (task.deliverable or "").strip("`*\"' ")
    if not name or any(mark in name for mark in " *?<>|"):
        return None
    root = workdir.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) and path != root and not path.is_dir() else None
