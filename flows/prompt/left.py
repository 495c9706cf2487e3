"""What is left: runs, iterations, hours, how long a run takes; and what comes last."""

import math

from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.prompt.state import PromptState, duration, run_times
from wildloop.flows.protocol.plan import open_tasks
from wildloop.flows.text.plural import counted

FEW_RUNS = 3
LAST_HOUR = 1.0
SHOWN_RUNS = 6


def left_section(state: PromptState) -> str:
    """What is left to spend, what the plan still needs of it, and whether the end is near."""
    lines = [_budget(state), _time(state), _slots(state), _plan_needs(state), *_last_things(state)]
    return "\n".join(f"- {line}" for line in lines if line)


def _budget(state: PromptState) -> str:
    spec, used = state.spec, state.used
    left = state.iterations_left
    mine = " with this one" if state.kind == "iteration" else " after this call"
    parts = [f"{left} of {spec.max_iterations} iterations{mine}"]
    if state.runs_left is not None:
        parts.append(f"{state.runs_left} of {spec.budget.runs} runs")
    if state.hours_left is not None:
        parts.append(f"{state.hours_left:.2g} of {spec.budget.hours:g} hours")
    if (bound := spec.budget.cost_usd) is not None:
        parts.append(f"${max(0.0, bound - used.cost_usd):.2f} of ${bound:g}")
    if (bound := spec.budget.gpu_hours) is not None:
        parts.append(f"{max(0.0, bound - used.gpu_hours):.2g} of {bound:g} slot-hours")
    unbounded = f" ({counted(used.runs, 'run')} made, no bound)" if state.runs_left is None else ""
    return ", ".join(parts) + unbounded


def _time(state: PromptState) -> str:
    times = run_times(state.runs)
    longest = times.longest
    if longest is None:
        return "how long a run takes is not known yet"
    told = []
    if times.alone is not None:
        told.append(f"{duration(times.alone)} alone" if times.beside else duration(times.alone))
    if times.beside is not None:
        told.append(f"{duration(times.beside)} beside others")
    rounds = math.ceil(3 / max(1, state.slots))
    return f"a run takes about {', '.join(told)}; 3 seeds about {duration(rounds * longest)}"


def _slots(state: PromptState) -> str:
    running = [run for run in state.runs if run.status.is_active]
    queued = [run for run in state.runs if run.status is RunStatus.QUEUED]
    ready = [run for run in state.runs if run.status is RunStatus.READY]
    parts = [f"{state.free} of {state.slots} slots are free"]
    parts += [f"{word}: {_names(runs)}" for word, runs in (("running", running),) if runs]
    parts += [f"queued: {_names(queued)}"] if queued else []
    parts += [f"made and not started: {_names(ready)}"] if ready else []
    if len(parts) == 1:
        parts.append("nothing of this session is queued or running")
    return "; ".join(parts)


def _names(runs: list[Run]) -> str:
    more = f" and {len(runs) - SHOWN_RUNS} more" if len(runs) > SHOWN_RUNS else ""
    return ", ".join(f"{run.name} ({run.id[:8]})" for run in runs[:SHOWN_RUNS]) + more


def _plan_needs(state: PromptState) -> str:
    """What the open tasks say that they need, against what is left."""
    if state.kind == "planning":
        return ""
    left = [task for task in open_tasks(state.plan) if not task.is_gate]
    needed = sum(task.runs or 0 for task in left)
    parts = []
    if needed and state.runs_left is not None:
        spare = state.runs_left - needed
        said = f"{spare} to spare" if spare >= 0 else f"{-spare} more than are left: cut the plan"
        mine = ", this one too," if state.kind == "iteration" else ""
        parts.append(f"the open tasks{mine} ask for {needed} runs: {said}")
    if len(left) > state.iterations_left:
        parts.append(
            f"{len(left)} tasks are open for {state.iterations_left} "
            f"iteration{'' if state.iterations_left == 1 else 's'}: cancel or join "
            f"{len(left) - state.iterations_left}"
        )
    return "; ".join(parts)


def _last_things(state: PromptState) -> list[str]:
    """The last iteration, runs and hour are told before they come."""
    lines = []
    if state.record.closing is not None:
        lines.append(
            f"**This session is at its end ({state.record.closing.reason}). This is its last "
            "call: create no run, plan nothing new, weigh what there is and keep the lessons.**"
        )
        return lines
    if state.kind == "planning":
        return lines
    if state.kind == "iteration" and state.iterations_left == 1:
        sure = "" if state.runs_left == 0 else "confirm the best if it is not, "
        lines.append(
            f"**This is the last iteration**: finish what is begun, {sure}write up; a reflection "
            "follows, then the report"
        )
    elif state.iterations_left == 2:
        lines.append("one iteration comes after this one: leave the write-up for it")
    if (runs := state.runs_left) is not None and runs <= FEW_RUNS:
        lines.append(
            "**No run is left**: analyse what there is and write up; cancel what needs runs, with "
            "this reason"
            if runs == 0
            else f"**These are the last {runs} runs**: spend them on what the conclusion needs"
        )
    if (hours := state.hours_left) is not None and hours <= min(
        LAST_HOUR, (state.spec.budget.hours or 0.0) / 4
    ):
        lines.append(f"**The last {duration(3600 * hours)}**: begin nothing that cannot end in it")
    return lines
