"""Edits that make results look better without being better: seeds, evaluation, data.

Heuristics on names, so they miss some edits and report harmless ones: a flag is told, never acted
upon.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

SHOWN = 3
LINE_LENGTH = 100
LIMIT_CHARACTERS = 2_000_000
_FILE = re.compile(r'^diff --git (?:"?a/.*"?) (?P<new>"?b/.*)$')
_SEED = re.compile(
    r"seed(?!\w*(?:_everything_default|ling))|random[-_]?state|manual_seed|default_rng\(|RandomState\(",
    re.IGNORECASE,
)
_EVALUATION = re.compile(
    r"\b(?:def\s+)?(?:evaluat\w*|eval_\w+|score|scorer|metric|metrics|accuracy\w*|f1_score|loss_fn|"
    r"roc_auc\w*|validat\w+|threshold)\b\s*(?:=(?!=)|\()|(?:val|test|eval)_(?:acc\w*|loss|score)",
    re.IGNORECASE,
)
_DATA = re.compile(
    r"train_test_split|test_size|val(?:idation)?_size|val(?:idation)?_(?:split|fraction)|"
    r"[KS]\w*Fold\(|n_splits|random_split|(?:test|val|valid|eval)_(?:set|data\w*|idx|indices|loader)|"
    r"\b[xXyY]_?(?:test|val|valid)\w*\b|load_dataset\(|read_(?:csv|parquet)\(|drop_duplicates|dropna",
)
_EVAL_FILE = re.compile(
    r"(?:^|[_\-.])(?:eval\w*|metrics?|scor(?:e|er|ing)|benchmark|judge)(?:$|[_\-.])"
)
_DATA_FILE = re.compile(
    r"(?:^|[_\-.])(?:data|dataset|datasets|dataloader|splits?|preprocess\w*)(?:$|[_\-.])"
)
_DATA_FOLDERS = frozenset({"data", "dataset", "datasets", "splits"})
_EVAL_FOLDERS = frozenset({"eval", "evals", "evaluation"})
_DATA_SUFFIXES = frozenset(
    {".csv", ".tsv", ".parquet", ".npy", ".npz", ".arrow", ".feather", ".h5"}
)
_PROSE = frozenset({".md", ".rst", ".txt", ".ipynb_checkpoints"})
KINDS = {
    "seed": "a changed seed is no improvement: compare over the same seeds, or over more of them",
    "evaluation": "results before and after it cannot be compared: measure the best again",
    "data": "results before and after it cannot be compared: measure the best again",
}


class Edit(NamedTuple):
    """A changed line; an empty text for a file that is changed as a whole (binary, renamed)."""

    path: str
    text: str


def flagged_edits(diff: str) -> list[str]:
    """What a diff changes of seeds, evaluation and data, one sentence for each kind.

    Args:
        diff: of git, any number of context lines; only its first 2,000,000 characters are read.
    """
    found: dict[str, list[str]] = {}
    for edit in changed_lines(diff[:LIMIT_CHARACTERS]):
        for kind in kinds_of(edit):
            place = f"{edit.path}: {_short(edit.text)}" if edit.text else edit.path
            places = found.setdefault(kind, [])
            if place not in places:
                places.append(place)
    return [_sentence(kind, found[kind]) for kind in KINDS if kind in found]


def kinds_of(edit: Edit) -> list[str]:
    """The kinds that a changed line belongs to."""
    path = PurePosixPath(edit.path.lower())
    if path.suffix in _PROSE or path.parts[:1] == (".wild",):
        return []
    text = re.sub(r"(?<!\S)(?:#|//).*", "", edit.text)
    kinds = []
    if edit.text and _SEED.search(text):
        kinds.append("seed")
    if _is_named(path, _EVAL_FILE, _EVAL_FOLDERS) or (text and _EVALUATION.search(text)):
        kinds.append("evaluation")
    if (
        path.suffix in _DATA_SUFFIXES
        or _is_named(path, _DATA_FILE, _DATA_FOLDERS)
        or (text and _DATA.search(text))
    ):
        kinds.append("data")
    return kinds


def changed_lines(diff: str) -> Iterator[Edit]:
    """The added and removed lines of a diff that are not blank; moved ones come twice."""
    path, in_hunk = "", False
    for line in diff.splitlines():
        header = _FILE.match(line)
        if header:
            path, in_hunk = _name(header["new"]), False
            yield Edit(path, "")
        elif line.startswith("@@"):
            in_hunk = True
        elif in_hunk and line[:1] in "+-" and line[1:].strip():
            yield Edit(path, line[1:].strip())


def _name(quoted: str) -> str:
    """`b/path` of a header; git quotes odd names."""
    return quoted.strip('"').removeprefix("b/")


def _is_named(path: PurePosixPath, names: re.Pattern[str], folders: frozenset[str]) -> bool:
    return bool(names.search(path.stem)) or bool(folders.intersection(path.parts[:-1]))


def _sentence(kind: str, places: list[str]) -> str:
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return f"{kind} edited ({'; '.join(places[:SHOWN])}{more}): {KINDS[kind]}"


def _short(text: str) -> str:
    return text if len(text) <= LINE_LENGTH else text[: LINE_LENGTH - 1] + "…"
