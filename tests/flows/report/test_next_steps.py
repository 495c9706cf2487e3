"""What the report tells a person to do next: true of each way in which a session may end."""

from dataclasses import replace

from tests.support.reporting import make_facts, make_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.target import Target
from wildloop.flows.evidence.texts import headline
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.document import document
from wildloop.flows.report.facts import ReportFacts

METRIC = MetricConfig(name="val_accuracy")
BASE, GOOD = [0.90, 0.91, 0.92], [0.97, 0.975, 0.98]


def group(first: int, lr: float, values: list[float], **fields: object) -> list[Run]:
    return [
        make_run(first + seed, value, parameters={"lr": lr}, seed=seed, **fields)
        for seed, value in enumerate(values)
    ]


def steps(facts: ReportFacts) -> str:
    """The section, the first after the verdict."""
    before, _, text = document(facts).partition("\n## What next\n")
    assert "\n## " not in before
    return text.partition("\n## ")[0].replace("\\", "").strip()


def test_nothing_measured() -> None:
    assert steps(make_facts([])) == "- **Start again**: no run was made."
    stopped = make_run(1, status=RunStatus.STOPPED)
    assert steps(make_facts([stopped])).startswith("- **Start again**: no run has come so far")
    failed = make_run(1, status=RunStatus.FAILED, error="boom")
    assert steps(make_facts([failed])).startswith("- **Mend the runs**")


def test_no_metric() -> None:
    text = steps(make_facts([make_run(1, 0.9)], metric=None))
    assert text == "- **Name the metric** (`[metric] name` in wildloop.toml), and start again."


def test_a_baseline_without_a_value() -> None:
    runs = [make_run(1, status=RunStatus.FAILED, error="boom", parameters={"lr": 0.1}, seed=0)]
    facts = make_facts([*runs, *group(9, 0.3, GOOD)])
    assert facts.account.baseline is not None and facts.account.baseline.mean is None
    text = steps(facts)
    assert text.startswith("- **Mend the baseline**: its command `python train.py --lr=0.1 --seed=")
    assert "Keep" not in text


def test_nothing_better() -> None:
    text = steps(make_facts(group(1, 0.1, BASE) + group(9, 0.3, [0.8, 0.81, 0.805])))
    assert text == "- **Keep the baseline**: nothing that was tried is shown to be better."


def test_a_gain_that_only_its_runs_tell_of() -> None:
    runs = group(1, 0.1, BASE) + group(9, 0.3, GOOD, git_commit="c0ffee" * 6)
    doubt, where, *more = steps(make_facts(runs)).splitlines()
    assert doubt.startswith("- **Check it before you keep it**, it is no more than claimed: ")
    assert (
        where == "- **To have it**: `python train.py --lr=0.3 --seed=1` on commit `c0ffeec0ffee`."
    )
    assert not more


def guarded(*runs: Run) -> ReportFacts:
    """Facts of a project that names its command and protects its files."""
    facts = make_facts(list(runs), session={"branch": "wild/session-1"})
    contract = Contract(METRIC, {"lr": 0.1}, command="python train.py", is_guarded=True)
    facts.account, facts.is_at_head = Account(list(runs), contract), True
    return facts


def test_what_was_measured_is_kept_where_the_branch_holds_it_and_confirmed() -> None:
    facts = guarded(*group(1, 0.1, BASE, code="c"), *group(9, 0.3, GOOD, code="c"))
    keep, confirm, *more = steps(facts).splitlines()
    merged = "`git merge wild/session-1`, then `python train.py --lr=0.3 --seed=1`"
    assert keep == f"- **Keep it**: {merged}."
    assert confirm.startswith("- **Confirm it**: `wildloop verify session-1` runs it and the base")
    assert not more


def test_what_a_keeping_session_has_kept_can_be_taken_home_for_review() -> None:
    facts = guarded(*group(1, 0.1, BASE, code="c"), *group(9, 0.3, GOOD, code="c"))
    facts.session = replace(facts.session, keeps=True)
    assert "\n- **Have it reviewed**: `wildloop take session-1` makes a branch" in steps(facts)


def test_what_was_confirmed_is_kept() -> None:
    own = {"code": "c", "chat_session_id": "session-1:confirm"}
    mine = group(1, 0.1, BASE, code="c") + group(11, 0.3, GOOD, code="c")
    again = group(1001, 0.1, BASE, **own) + group(1011, 0.3, GOOD, **own)
    (keep,) = steps(guarded(*mine, *again)).splitlines()
    assert keep.startswith("- **Keep it**: ")


def test_where_the_goal_is_undecided_so_many_seeds_would_tell() -> None:
    own = {"code": "c", "chat_session_id": "session-1:confirm"}
    mine = group(1, 0.1, BASE, code="c") + group(11, 0.3, GOOD, code="c")
    again = group(1001, 0.1, BASE, **own) + group(1011, 0.3, GOOD, **own)
    facts = guarded(*mine, *again)
    facts.account.contract.target = Target(value=0.97, direction="max")
    _, decide = steps(facts).splitlines()
    assert decide.startswith("- **Decide the goal**: the goal's number lies in the 95 % interval")
    more = facts.account.seeds_for_target
    assert more and f"`wildloop verify session-1 --seeds {more}`" in decide


def test_a_candidate_says_what_would_decide() -> None:
    facts = guarded(*group(1, 0.1, BASE, code="c"), *group(9, 0.3, [0.93], code="c"))
    kept, decide = steps(facts).splitlines()
    assert "Keep the baseline" in kept
    assert decide.startswith("- **Decide** lr=0.3: 0.93")
    assert f"`wildloop verify {facts.runs[-1].id[:8]}" in decide


def test_the_last_reflection_is_quoted() -> None:
    one = IterationRecord(index=2, kind="reflection", started_at=1.0, summary="Try *wider* next")
    text = steps(make_facts(group(1, 0.1, BASE), session={"iterations": [one]}))
    assert "**The last reflection** ([reflection-02](<#reflection-02>)): Try *wider* next" in text


def test_a_reflection_that_tells_the_result_again_is_left_out() -> None:
    runs = group(1, 0.1, BASE)
    said = f"So: {headline(make_facts(runs).account)}. That is all."
    one = IterationRecord(index=2, kind="reflection", started_at=1.0, summary=said)
    assert "reflection" not in steps(make_facts(runs, session={"iterations": [one]}))


def test_the_first_screen_tells_the_price_and_ids_come_last() -> None:
    text = document(make_facts(group(1, 0.1, BASE)))
    assert "It took 3 runs, 1 iteration, 16.7 min; cost not told by the agent." in text
    assert text.index("It took") < text.index("## What next") < text.index("- session: ")
    assert text.rpartition("\n## ")[2].startswith("Session\n")
