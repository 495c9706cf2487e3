"""The page: all parts of a prompt by their template variables, within one budget of tokens."""

from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.prompt.believed import believed_section
from wildloop.flows.prompt.decides import decides_section, train_command
from wildloop.flows.prompt.evidence import evidence_section
from wildloop.flows.prompt.explore import explore_section
from wildloop.flows.prompt.kind import Kind
from wildloop.flows.prompt.known import known_section
from wildloop.flows.prompt.left import left_section
from wildloop.flows.prompt.making_runs import ANY_COMMAND, runs_section
from wildloop.flows.prompt.references import references_section
from wildloop.flows.prompt.results import NO_NEWS, results_section
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.task import task_section
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.prompt.tried import tried_section
from wildloop.flows.prompt.untold import untold
from wildloop.flows.search.summary import sweep_results, told_by
from wildloop.flows.struggle.diversity import diversity_section

BUDGET = 2500
"""Tokens of a prompt beside goal, steer and plan."""
SLACK: dict[Kind, int] = {"iteration": 40, "planning": 60, "reflection": 190}
"""For what is put in later: the user's availability, paths, the gates of a reflection."""
LEAST = 160
TRIED, MOST_TRIED = 650, 1100
"""What a long session's table takes, folded as far as it goes; and the longest."""
MOST_KNOWN = 450
RESULTS_SHARE = 0.4
UNUSED: dict[Kind, tuple[str, ...]] = {
    "iteration": (),
    "planning": ("runs_section", "diversity_section", "train_command"),
    "reflection": ("runs_section", "train_command"),
}


def page_sections(
    state: PromptState, sweep: EvoSweepRecord | None, fixed_tokens: int
) -> dict[str, str]:
    """The template variables that speak of the research, by name.

    The table of what was tried has what the other parts leave of the budget.

    Args:
        state: where the session stands.
        sweep: its evolutionary sweep, if there is one.
        fixed_tokens: of the template's own text.
    """
    sections = {
        "decides_section": decides_section(state),
        "runs_section": runs_section(state.fixed, state.spec.isolation),
        "believed_section": believed_section(state),
        "left_section": left_section(state),
        "diversity_section": _where_next(state),
        "train_command": train_command(state) or ANY_COMMAND,
    }
    if state.kind == "iteration":
        sections["task_section"] = task_section(state)
        sections["explore_section"] = explore_section(state)
    if state.kind == "planning":
        sections["references_section"] = references_section(state)
    if state.kind == "reflection":
        sections["evidence_section"] = evidence_section(state)
    counted = [text for name, text in sections.items() if name not in UNUSED[state.kind]]
    left = BUDGET - SLACK[state.kind] - fixed_tokens - sum(map(token_count, counted))
    if state.kind != "planning":
        most = max(LEAST, int(RESULTS_SHARE * left))
        sections["experiment_results"] = _results(state, sweep, most)
        left -= token_count(sections["experiment_results"])
    sections["known_section"] = known_section(state, max(LEAST, min(MOST_KNOWN, left - TRIED)))
    left -= token_count(sections["known_section"])
    sections["tried_section"] = tried_section(state, max(LEAST, min(MOST_TRIED, left)))
    return sections


def _where_next(state: PromptState) -> str:
    """Hints of what to try next, as long as anything can be tried."""
    is_iteration = state.kind == "iteration"
    is_last = state.iterations_left <= (1 if is_iteration else 0)
    if state.record.closing is not None or state.runs_left == 0 or is_last:
        return ""
    return diversity_section(state.record.iterations, state.account, asks_kind=is_iteration)


def _results(state: PromptState, sweep: EvoSweepRecord | None, most_tokens: int) -> str:
    """All runs of this iteration, what else has ended since the last call, and the sweep."""
    calls = state.calls if state.kind == "iteration" else []
    mine = {id for call in calls for id in call.run_ids}
    fresh = untold(state.record.iterations, [run for run in state.runs if state.is_mine(run)])
    news = [run for run in fresh if not told_by(sweep, run)]
    own = [run for run in state.runs if run.id in mine and not told_by(sweep, run)]
    left = [run for run in news if run.id not in mine]
    is_news = sweep is not None and (sweep.finished_at or 0.0) >= state.told_since
    if not own and not left and state.kind == "reflection":
        return sweep_results(sweep) if sweep is not None and is_news else NO_NEWS
    text = results_section(
        own,
        state.logs,
        state.account,
        new={run.id for run in news},
        left=left,
        most_tokens=most_tokens,
    )
    if sweep is None or not is_news:
        return text
    return f"{sweep_results(sweep)}\n\n{text}" if own or left else sweep_results(sweep)
