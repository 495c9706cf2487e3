"""What stands behind a value: claimed, measured, confirmed."""

from typing import Any

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.confirm import candidates_to_confirm, reseeded, wanted_runs
from wildloop.flows.evidence.levels import NO_COMMAND, NO_GUARD, doubts
from wildloop.flows.evidence.own import with_own
from wildloop.flows.evidence.texts import candidate_lines, headline, notes
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.own_runs import OwnRuns, own_id, session_behind
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

PROJECT = "python3 train.py"


def doubts_of(command: str, **fields: Any) -> list[str]:
    run = made_run(0, 0.9, command=command, code="c", **fields)
    return doubts(run, PROJECT, True)


@pytest.mark.parametrize(
    "command",
    [
        "python3 train.py --seed 0",
        "python train.py --lr=0.1 --seed=3",
        "/home/me/.venv/bin/python3.11 train.py lr=0.1",
        "SEED=3 python3 train.py",
        "python3 train.py --out $WILDLOOP_RUN_DIR/model",
    ],
)
def test_the_projects_command_measures(command: str) -> None:
    assert doubts_of(command) == []


@pytest.mark.parametrize(
    ("project", "command"),
    [
        ("uv run train.py", "uv run train.py --lr 0.1 --seed 3"),
        ("uv run --extra gpu python -m lib.train", "uv run --extra gpu python -m lib.train lr=2"),
        ("conda run -n lab python train.py", "conda run -n lab python train.py --seed=3"),
        (".venv/bin/python train.py", ".venv/bin/python3 train.py --seed 3"),
        ("torchrun --nproc_per_node=2 train.py", "torchrun --nproc_per_node=2 train.py --lr 1"),
        ("make train", "make train SEED=3"),
        ("jupyter execute train.ipynb", "SEED=3 jupyter execute train.ipynb"),
    ],
)
def test_no_command_of_an_environment_is_accused(project: str, command: str) -> None:
    assert doubts(made_run(0, 0.9, command=command, code="c"), project, True) == []


@pytest.mark.parametrize(
    "command",
    [
        'printf \'{"step":1,"val_accuracy":0.95}\\n\' >> $WILDLOOP_RUN_DIR/metrics.jsonl',
        "python3 train.py --seed 0; echo '{}' >> $WILDLOOP_RUN_DIR/metrics.jsonl",
        "python3 train.py --seed 0 && cp e.py evaluate.py",
        "cp x evaluate.py; python3 train.py --seed 0",
        'python3 train.py --seed "$(cp x evaluate.py; echo 0)"',
        "python3 train.py --seed `id`",
        "cd /tmp/copy && python3 train.py --seed 0",
        "python3 other.py --seed 0",
        "python3 train.py > $WILDLOOP_RUN_DIR/metrics.jsonl",
        "python3 train.py --seed 0\nrm evaluate.py",
        "PYTHONPATH=/tmp/site python3 train.py --seed 0",
        "LD_PRELOAD=x.so python3 train.py",
        "bash -c 'python3 train.py'",
    ],
)
def test_another_command_only_claims(command: str) -> None:
    assert doubts_of(command) != []


def test_unknown_code_a_bent_environment_and_unguarded_files_only_claim() -> None:
    assert doubts_of(PROJECT, variables=["PYTHONPATH"]) == ["its request sets PYTHONPATH"]
    assert doubts_of(PROJECT, variables=["OMP_NUM_THREADS"]) == []
    assert doubts_of(PROJECT, code_note="t.py changed while it ran") != []
    run = made_run(0, 0.9, command=PROJECT, code="c", startup={"/env/better.pth": 50.0})
    assert doubts(run, PROJECT, True, begun=60.0) == []
    assert "/env/better.pth" in doubts(run, PROJECT, True, begun=40.0)[0]
    assert doubts(run, None, True) == [NO_COMMAND]
    assert doubts(run, PROJECT, False) == [NO_GUARD]
    assert doubts(run, PROJECT, True, {}) != []
    assert doubts(run, PROJECT, True, {run.id: 0.9}) == []


@pytest.mark.parametrize(
    ("command", "parameter", "found"),
    [
        ("python t.py --lr 0.1 --seed 3", None, "python t.py --lr 0.1 --seed 77"),
        ("python t.py --seed=3 --lr 1", None, "python t.py --seed=77 --lr 1"),
        ("SEED=3 python t.py", None, "SEED=77 python t.py"),
        ("python t.py train.seed=3", None, "python t.py train.seed=77"),
        ("python t.py --random-state 3", None, "python t.py --random-state 77"),
        ("python t.py --lr 0.1", "seed", "python t.py --lr 0.1 --seed=77"),
        ("python t.py --lr 0.1", None, None),
        ("python seed 3", None, None),
    ],
)
def test_a_fresh_seed_reaches_the_command(
    command: str, parameter: str | None, found: str | None
) -> None:
    assert reseeded(command, 77, parameter) == found


def group(first: int, values: list[float], own: bool = False, **fields: Any) -> list[Run]:
    return [
        made_run(
            first + n,
            value,
            command=f"{PROJECT} --lr {fields.get('lr', 1)} --seed {first + n}",
            code="c",
            chat_session_id=own_id("s", OwnRuns.CONFIRM) if own else "s",
        )
        for n, value in enumerate(values)
    ]


def account_of(runs: list[Run], **fields: Any) -> Account:
    contract = Contract(
        MetricConfig(name="score"), command=PROJECT, is_guarded=True, confirms=True, **fields
    )
    return Account(runs, contract)


BASE = group(0, [0.70, 0.72, 0.71])
GOOD = group(10, [0.80, 0.81, 0.79], lr=2)
LUCK = group(20, [0.85, 0.86, 0.87], lr=3)


def test_what_looks_better_is_measured_until_wildloop_has_run_it_again() -> None:
    found = account_of([*BASE, *GOOD])
    assert found.level is Level.MEASURED and "measured, not confirmed" in headline(found)
    assert [one.label for one in candidates_to_confirm(found)] == ["lr=2"]
    wanted = wanted_runs(found, candidates_to_confirm(found), 3, 6)
    assert [(one.configuration.label, one.runs) for one in wanted] == [("lr=1", 3), ("lr=2", 3)]
    assert wanted_runs(found, candidates_to_confirm(found), 3, 5) == []


def test_once_something_is_confirmed_only_what_is_can_be_the_best() -> None:
    again = [
        *group(100, [0.70, 0.71, 0.72], own=True),
        *group(110, [0.79, 0.80, 0.81], own=True, lr=2),
    ]
    found = account_of([*BASE, *GOOD, *LUCK, *again])
    assert found.best is not None and found.best.label == "lr=2"
    assert found.level is Level.CONFIRMED and "confirmed by 3 runs" in headline(found)
    gain = found.gain
    assert gain is not None and gain.tried == 1 and gain.ours.n == 3
    # The lucky one looks better than what is confirmed, so it is next; the good one has had its.
    assert [one.label for one in candidates_to_confirm(found)] == ["lr=3"]
    fell = [*again, *group(120, [0.70, 0.71, 0.70], own=True, lr=3)]
    found = account_of([*BASE, *GOOD, *LUCK, *fell])
    assert found.best is not None and found.best.label == "lr=2"


def test_seeds_of_wildloop_that_agree_by_chance_hide_no_gain() -> None:
    again = [
        *group(100, [0.71] * 3, own=True),
        *group(110, [0.80] * 3, own=True, lr=2),
    ]
    found = account_of([*BASE, *GOOD, *again])
    assert found.best is not None and found.best.label == "lr=2"
    # What the agent's seeds spread by is the scale: a difference within it is not shown.
    close = [*group(100, [0.71] * 3, own=True), *group(110, [0.712] * 3, own=True, lr=2)]
    found = account_of([*BASE, *GOOD, *close])
    assert found.best is found.baseline


def test_a_confirmed_configuration_is_told_by_wildloops_own_runs_alone_everywhere() -> None:
    again = [
        *group(100, [0.70, 0.71, 0.72], own=True),
        *group(110, [0.79, 0.80, 0.81], own=True, lr=2),
        *group(120, [0.70, 0.71, 0.70], own=True, lr=3),
    ]
    found = account_of([*BASE, *GOOD, *LUCK, *again])
    told = {one.label: one.estimate.text for one in view_of(found, "s").configurations}
    assert told == {
        "lr=1": "0.71 ± 0.01 (n=3)",
        "lr=2": "0.8 ± 0.01 (n=3)",
        "lr=3": "0.70333 ± 0.0058 (n=3)",
    }
    assert {one.label: one.score for one in found.configurations} == told
    assert found.best is not None and f"score {told[found.best.label]}" in headline(found)
    # Luck that did not hold is no candidate any more.
    assert found.candidates == [] and candidate_lines(found) == []


def test_a_cheating_command_is_not_run_again_and_stays_claimed() -> None:
    cheat = [
        run.model_copy(update={"command": f"{PROJECT} --seed 0; echo 1 >> m"}) for run in LUCK[:1]
    ] + [run.model_copy(update={"command": f"{PROJECT} --seed 1; echo 1 >> m"}) for run in LUCK[1:]]
    found = account_of([*BASE, *cheat])
    assert candidates_to_confirm(found) == []
    assert found.level is Level.CLAIMED and "no more than claimed" in headline(found)


def test_the_value_is_that_of_evaluate_where_there_is_one() -> None:
    told = [
        made_run(
            50,
            0.5,
            command="python evaluate.py",
            chat_session_id=own_id("s", OwnRuns.EVALUATE),
            parent_run_id=BASE[0].id,
        )
    ]
    runs, _, values = with_own(BASE, told, "score")
    assert (runs[0].metrics["score"], runs[1].metrics["score"]) == (0.5, 0.72)
    found = account_of(runs, evaluated=values)
    assert found.level_of_run(runs[0]) is Level.MEASURED
    assert found.level_of_run(runs[1]) is Level.CLAIMED
    assert session_behind(told[0].chat_session_id or "") == "s"


def labelled(first: int, values: list[float], command: str) -> list[Run]:
    return [
        made_run(first + n, value, command=command, seed=n, code="c", variables=[])
        for n, value in enumerate(values)
    ]


def test_seeds_that_are_labels_count_as_one_and_lend_no_spread() -> None:
    tiny = labelled(50, [0.900, 0.901, 0.9005], "python3 train.py --lr 5")
    found = Account([*BASE, *tiny], Contract(MetricConfig(name="score")))
    one = found.configurations[1]
    assert (one.n, one.has_label_seeds) == (1, True)
    assert found.best is found.baseline
    assert found.neighbours(set(), one) == [found.configurations[0].estimate]
    assert any("are labels" in note for note in notes(found))
    real = [run.model_copy(update={"variables": ["SEED"]}) for run in tiny]
    assert Account(real, Contract(MetricConfig(name="score"))).configurations[0].n == 3


def test_seeds_that_change_nothing_are_told() -> None:
    idle = group(60, [0.9, 0.9, 0.9], lr=7)
    found = account_of([*BASE, *idle])
    assert any("change nothing" in note for note in notes(found))
    assert not any("change nothing" in note for note in notes(account_of([*BASE, *GOOD])))
