"""Where to go on from: only where there is something to choose, with numbers of the account."""

import re

from tests.flows.tree.test_nodes import HIGH, LOW
from tests.support.changes import BASE, Night, commit_of
from tests.support.pages import model_state, rendered
from wildloop.flows.models.keep import Start
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.prompt.explore import explore_section
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tried import tried_section

NUMBER = re.compile(r"(?<![\w.-])[+-]?\d+\.\d+")


def state_of(found: Night, start: Start | None = None, **options: object) -> PromptState:
    """The next iteration of this night."""
    fields = {"goal": "g", "workdir": "/w", "keep": "better", "explore": "tree"} | options
    found.state.start = start
    record = SessionRecord(session_id="s", iterations=found.records, keep=found.state)
    return model_state(
        index=len(found.records),
        spec=SessionSpec.model_validate(fields),
        record=record,
        account=found.account,
        runs=found.runs,
        project=None,
    )


def night() -> Night:
    found = Night().iteration(LOW, BASE)
    return found.iteration((0.79, 0.80, 0.81), kind="data").iteration(HIGH).iteration((None,))


def test_branches_are_offered_with_what_the_ledger_says_of_them() -> None:
    found = night()
    text = explore_section(state_of(found))
    assert text.count("iteration-0") == 2 and "iteration-04" not in text, "it has crashed"
    assert "| start | the code that the session began with |" in text
    assert "0.8 ± 0.01 (n=3)" in text and "**the best**" in text
    assert "<start_from>" in text and "2 changes began there" in text
    account = found.account
    known = {one.score for one in account.configurations}
    gains = {f"{one.comparison.gain:+.4g}" for one in found.state.verdicts if one.comparison}
    said = {number for one in known | gains for number in NUMBER.findall(one)}
    assert set(NUMBER.findall(text)) <= said


def test_it_is_empty_where_there_is_nothing_to_choose() -> None:
    found = night()
    assert explore_section(state_of(found, explore="greedy")) == ""
    assert explore_section(state_of(found, keep="all", explore="greedy")) == ""
    assert explore_section(state_of(found, max_iterations=len(found.records))) == ""
    assert explore_section(state_of(Night().iteration(LOW, BASE))) == ""
    assert explore_section(state_of(Night())) == ""


def test_an_iteration_that_began_elsewhere_is_told_where_and_why() -> None:
    found = night()
    start = Start(iteration=5, node="iteration-02", commit=commit_of(2), why="W", made="m")
    state = state_of(found, start, explore="greedy")
    text = explore_section(state)
    assert f"The files are those of iteration-02 ({commit_of(2)[:10]}), not the best's: W." in text
    assert "<start_from>" not in text
    assert "The project holds the code of iteration-02, not the best's." in tried_section(
        state, 900
    )
    page = rendered(state)
    assert "## Where to go on from" in page
    made = start.model_copy(update={"made": None})
    assert explore_section(state_of(found, made, explore="greedy")) == "", "not brought yet"
    other = start.model_copy(update={"iteration": 4})
    assert explore_section(state_of(found, other, explore="greedy")) == ""
