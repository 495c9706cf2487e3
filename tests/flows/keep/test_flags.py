"""Edits to seeds, evaluation and data are seen in a diff."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.keep.flags import flagged_edits


def diff(path: str, *lines: str) -> str:
    body = "\n".join(lines)
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n{body}\n"


@pytest.mark.parametrize(
    ("path", "line", "kinds"),
    [
        ("train.py", "-    seed = 0", ["seed"]),
        ("train.py", "+rng = np.random.default_rng(7)", ["seed"]),
        ("train.py", "+model = Tree(random_state=3)", ["seed"]),
        ("conf/base.yaml", "+seed: 4", ["seed"]),
        ("train.py", "+torch.manual_seed(11)", ["seed"]),
        ("train.py", "-def evaluate(model):", ["evaluation"]),
        ("train.py", "+accuracy = 1.0", ["evaluation"]),
        ("train.py", "+val_acc = max(history)", ["evaluation"]),
        ("eval.py", "+x = 1", ["evaluation"]),
        ("evaluation/run.py", "+x = 1", ["evaluation"]),
        ("src/metrics.py", "+x = 1", ["evaluation"]),
        ("train.py", "+a, b = train_test_split(x, test_size=0.01)", ["data"]),
        ("train.py", "+X_test = X_train", ["data"]),
        ("data/train.csv", "+1,2,3", ["data"]),
        ("data_loader.py", "+x = 1", ["data"]),
        ("splits/fold1.json", "+[1]", ["data"]),
        ("train.py", "+train_test_split(x, random_state=2)", ["seed", "data"]),
        ("train.py", "+lr = 0.3", []),
        ("train.py", "+hidden = 64  # keep the seed as it is", []),
        ("train.py", "+seedling = plant()", []),
        ("model.py", "-class Encoder(nn.Module):", []),
        ("README.md", "+The seed is 3 and the test split is new.", []),
        (".wild/sessions/x/tasks.md", "+seed = 1", []),
        ("exp/p2/results.csv", "+1,2", []),
        ("database.py", "+x = 1", []),
        ("medieval.py", "+x = 1", []),
    ],
)
def test_kinds_of_edits(path: str, line: str, kinds: list[str]) -> None:
    assert [flag.split(" ")[0] for flag in flagged_edits(diff(path, line))] == kinds


def test_a_flag_names_the_places_and_what_follows() -> None:
    many = "".join(diff(f"{name}.py", "+seed = 1") for name in "abcde")
    (flag,) = flagged_edits(many)
    assert "a.py: seed = 1; b.py: seed = 1; c.py: seed = 1 and 2 more" in flag
    assert "no improvement" in flag


def test_binary_data_is_seen_and_context_is_not() -> None:
    text = (
        "diff --git a/x/data.npz b/x/data.npz\nBinary files differ\n"
        "diff --git a/train.py b/train.py\n@@ -1,3 +1,3 @@\n seed = 1\n-lr = 1\n+lr = 2\n"
    )
    assert [flag.split(" ")[0] for flag in flagged_edits(text)] == ["data"]


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    flagged_edits(text)
    flagged_edits(diff("a.py", *text.splitlines()))
