"""What a run tries, read from its command and its parameters."""

from typing import Any

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.settings import (
    differences,
    identity,
    label_of,
    program_of,
    seed_of,
    settings_of,
    title_of,
)


@pytest.mark.parametrize(
    ("command", "fields", "seed", "title"),
    [
        ("python t.py --seed=3", {}, "3", "python t.py"),
        ("python t.py --seed 3 --lr=1", {}, "3", "python t.py [lr=1]"),
        ("python t.py -seed 3", {}, "3", "python t.py"),
        ("SEED=4 python t.py", {}, "4", "python t.py"),
        ("python t.py trainer.seed=5 trainer.lr=0.1", {}, "5", "python t.py [trainer.lr=0.1]"),
        ("python t.py ++data/seed=5", {}, "5", "python t.py"),
        ("python t.py --random-state '6'", {}, "6", "python t.py"),
        ("python t.py --np_seed 6", {}, "6", "python t.py"),
        ("cd a && python t.py --seed 6; rm b", {}, "6", "cd a && python t.py ; rm b"),
        ("python t.py", {"seed": 7}, "7", "python t.py"),
        ("python t.py", {"parameters": {"random_seed": 8, "lr": 0.1}}, "8", "python t.py [lr=0.1]"),
        ("python t.py --lr=0.1", {"parameters": {"lr": 0.1}}, None, "python t.py [lr=0.1]"),
        ("python seed.py --seeds 3", {}, None, "python seed.py [seeds=3]"),
        ("python t.py --speed 3", {}, None, "python t.py [speed=3]"),
        ("python t.py --note 'it' 's", {}, None, "python t.py 's [note='it']"),
    ],
)
def test_seed_and_title(command: str, fields: dict[str, Any], seed: str | None, title: str) -> None:
    run = made_run(1, 0.5, command=command, **fields)
    assert (seed_of(run), title_of(run)) == (seed, title)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("train.py --seed 1", "train.py --seed 2", True),
        ("train.py --seed=1 --lr 0.1", "train.py --lr 0.10 --seed 7", True),
        ("SEED=1 train.py", "SEED=2 train.py", True),
        ("train.py --random-state 1", "train.py --random-state 2", True),
        ("train.py --lr 0.1 --depth 2", "train.py --depth=2 --lr=1e-1", True),
        ("train.py --weight-decay 1", "train.py --weight_decay 1", True),
        ("CUDA_VISIBLE_DEVICES=0 train.py", "CUDA_VISIBLE_DEVICES=1 train.py", True),
        ("train.py --out runs/1 --log-dir a", "train.py --out runs/2 --log-dir b", True),
        ("train.py --run-name a", "train.py --run-name b", True),
        ("train.py --lr 0.1", "train.py --lr 0.2", False),
        ("train.py --lr -0.1", "train.py --lr 0.1", False),
        ("train.py --speed 1", "train.py --speed 2", False),
        ("train.py --model-name vgg", "train.py --model-name resnet", False),
        ("train.py --data-dir a", "train.py --data-dir b", False),
        ("train.py --drop-out 0.1", "train.py --drop-out 0.5", False),
        ("train.py lr=0.1", "train.py lr=0.2", False),
        ("train.py --amp", "train.py", False),
        ("python -u a.py", "python -u b.py", False),
        ("python -m a", "python -m b", False),
    ],
)
def test_commands_are_compared_without_their_seed_and_where_they_write_to(
    one: str, other: str, same: bool
) -> None:
    assert (
        identity(made_run(1, 0.1, command=one)) == identity(made_run(2, 0.1, command=other))
    ) is same


def test_parameters_and_the_command_that_was_made_of_them_are_told_once() -> None:
    run = made_run(
        1,
        0.1,
        command="python -u t.py --learning-rate=0.1 --layers '[2, 3]' --amp --seed 2 --extra x",
        parameters={"learning_rate": 0.1, "layers": [2, 3], "amp": True, "seed": 2},
    )
    assert settings_of(run) == {
        "extra": "x",
        "learning_rate": 0.1,
        "layers": [2, 3],
        "amp": True,
    }
    assert program_of(run) == "python -u t.py"
    assert label_of(run) == "extra=x, learning_rate=0.1, layers=[2, 3], amp=true"


def test_differences_are_by_value() -> None:
    assert differences({"a": 1, "b": "x", "c": 2}, {"a": 1.0, "b": "y", "d": None}) == {
        "b": ("x", "y"),
        "c": (2, None),
    }


def test_labels_are_short() -> None:
    assert len(label_of(made_run(1, 0.1, parameters={"x": "y" * 500}))) == 120
