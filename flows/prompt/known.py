"""What is known: lessons with the runs that prove them, the last reflection, the last entries."""

from collections.abc import Iterator

from wildloop.flows.evidence import texts
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.text.shortened import shortened

ENTRIES = 3
ENTRY_LENGTH = 300
REFLECTION_LENGTH = 600
LESSON_LENGTH = 240
DOUBTS = 4
SHOWN_RUNS = 3
MOST_TOKENS = 450


def known_section(state: PromptState, most_tokens: int = MOST_TOKENS) -> str:
    """Lines, the surest first, as many as fit."""
    more = "More: the log `$WILDLOOP_SESSION_DIR/iteration_log.md`, lessons by `GET /memories`."
    lines, left = list[str](), most_tokens - token_count(more)
    for line in _lines(state):
        cost = token_count(line) + 1
        if cost > left:
            continue
        lines.append(f"- {line}")
        left -= cost
    return "\n".join([*(lines or ["- Nothing yet."]), more])


def _lines(state: PromptState) -> Iterator[str]:
    account, record = state.account, state.record
    reflections = [it for it in record.iterations if it.kind == "reflection"]
    if reflections:
        last = reflections[-1]
        decision = {True: "go on", False: "stop", None: "no decision"}[last.continue_session]
        said = shortened(last.reflection or last.summary, REFLECTION_LENGTH)
        yield f"Reflection after iteration {last.index} ({decision}): {said}"
    calls = [it for it in record.iterations if it.kind != "reflection" and it.summary]
    for call in calls[-ENTRIES:][::-1]:
        runs = ", ".join(id[:8] for id in call.run_ids[:SHOWN_RUNS])
        yield f"{call.label} said: {shortened(call.summary, ENTRY_LENGTH)}" + (
            f" (its runs: {runs}{' ...' if len(call.run_ids) > SHOWN_RUNS else ''})" if runs else ""
        )
    flags = record.iterations[-1].flags if record.iterations else []
    doubts = [*(f"flagged in the last change: {flag}" for flag in flags), *texts.notes(account)]
    for doubt in doubts[:DOUBTS]:
        yield f"In doubt: {doubt}"
    for lesson in state.memories:
        yield shortened(lesson, LESSON_LENGTH)
