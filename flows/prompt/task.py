"""Your task: its own text, its neighbours, and where the plan lies."""

from wildloop.flows.prompt.state import PromptState
from wildloop.flows.protocol.plan import MARKS, Task, open_tasks
from wildloop.flows.text.shortened import shortened

NEIGHBOURS = 6
NEIGHBOUR_LENGTH = 70
TASK_LENGTH = 1500
NO_TASK = (
    "No task is open. If the goal is reached or nothing is worth its cost, answer "
    "`<promise>DONE</promise>`; else add tasks to the plan (new ids) and do the first."
)
NO_RUN = (
    "No run is left, so of this task and those after it only what needs none is to be done: write "
    "up what the runs have shown."
)


def task_section(state: PromptState) -> str:
    """The task of this iteration with its neighbours."""
    task = state.task
    if task is None:
        return NO_TASK
    left = [one for one in open_tasks(state.plan) if one is not task]
    parts = [line_of(task), _standing(state)]
    if left:
        shown = "; ".join(_short(one) for one in left[:NEIGHBOURS])
        more = f"; and {len(left) - NEIGHBOURS} more" if len(left) > NEIGHBOURS else ""
        parts.append(f"After it: {shown}{more}.")
    else:
        parts.append("It is the last open task.")
    if state.runs_left == 0:
        parts.append(NO_RUN)
    if state.beside:
        parts.append(state.beside)
    return "\n\n".join(parts)


def line_of(task: Task) -> str:
    """A task as it stands in the plan."""
    id = f" [{task.id}]" if task.id else ""
    fields = [f"deliverable: {task.deliverable}"] if task.deliverable else []
    fields += [f"done-when: {task.done_when}"] if task.done_when else []
    fields += [f"runs: {task.runs}"] if task.runs is not None else []
    text = task.text if len(task.text) <= TASK_LENGTH else task.text[:TASK_LENGTH] + "..."
    return f"`- [{MARKS[task.status]}]{id} {' | '.join([text, *fields])}`"


def _standing(state: PromptState) -> str:
    """Whether this is the first call, and why there is another."""
    calls = state.calls
    if not calls:
        return "This is the first call of this iteration: no run of it exists yet."
    made = sum(len(call.run_ids) for call in calls)
    woken = f" You are called because {state.record.woken}." if state.record.woken else ""
    before = "the call before it" if len(calls) == 1 else "the calls before it"
    return (
        f"This is call {len(calls) + 1} of this iteration; {before} created "
        f"{made} runs, and waiting has cost no iteration.{woken}"
    )


def _short(task: Task) -> str:
    text = task.text.split(":")[0] if len(task.text) > NEIGHBOUR_LENGTH else task.text
    runs = f" ({task.runs} runs)" if task.runs else ""
    return f"{task.id or ''} {shortened(text, NEIGHBOUR_LENGTH)}{runs}".strip()
