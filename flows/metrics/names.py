"""Names as people mean them: `val_acc`, `val/accuracy` and `Validation accuracy` are one metric."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from wildloop.flows.metrics.lines.words import MODIFIERS, SPLITS, tokens, word_set

_SAME = {
    "acc": ("accuracy",),
    "accuracies": ("accuracy",),
    "top1": ("accuracy",),
    "losses": ("loss",),
    "ppl": ("perplexity",),
    "err": ("error",),
    "errors": ("error",),
    "auc": ("auroc",),
    "roc": (),
    "avg": ("mean",),
    "average": ("mean",),
    "rewards": ("reward",),
    "rew": ("reward",),
    "returns": ("return",),
    "ret": ("return",),
    "scores": ("score",),
    "bits": ("b",),
    "prec": ("precision",),
    "rec": ("recall",),
    "kldiv": ("kl",),
}
_FILLERS = frozenset({"metrics", "metric", "the", "set", "dataset", "value", "b", "epoch", "m"})
_SOFT = MODIFIERS - word_set(
    "min max median weighted cross binary squared absolute root log negative smoothed top global"
)
SHOWN = 5


class Meaning(NamedTuple):
    """A name taken apart: the part of the data, what is measured, and what only says which value.

    `split` is 'train', 'val', 'test' or empty.
    """

    split: str
    measure: tuple[str, ...]
    soft: frozenset[str]


class Match(NamedTuple):
    """What was taken for a wanted name; `others` might be meant, where nothing was."""

    found: str | None
    others: tuple[str, ...] = ()


@lru_cache(maxsize=8192)
def plain_name(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]+", "", name.lower())


@lru_cache(maxsize=8192)
def meaning_of(name: str) -> Meaning:
    """Take a name apart."""
    split, soft = "", set[str]()
    measure: list[str] = []
    given = [one.lower() for one in _numbered(tokens(name))]
    for place, word in enumerate(given):
        if word in SPLITS and not split and (len(given) > 1 or place):
            split = SPLITS[word]
        elif word in _SOFT:
            soft.add(word)
        elif word not in _FILLERS or len(given) == 1:
            measure += _SAME.get(word, (word,))
    return Meaning(split, tuple(sorted(measure)), frozenset(soft - {"set", "epoch"}))


def _numbered(words: Sequence[str]) -> list[str]:
    """Put a single 1 of acc@1 and top-1 to its word; 'top1 acc' is accuracy once."""
    joined = list(words)
    for place in range(len(joined) - 1, 0, -1):
        if joined[place] == "1" and joined[place - 1] in ("acc", "accuracy", "top", "prec"):
            del joined[place]
            joined[place - 1] = "acc" if joined[place - 1] != "top" else "top1"
    if "top1" in joined and any(one in joined for one in ("acc", "accuracy")):
        joined.remove("top1")
    return joined


def match(wanted: str, names: Iterable[str]) -> Match:
    """Which of `names` is meant by `wanted`: never one of train for one of val or test.

    The same name first, then the same but for case and signs, then the same meaning, then the
    same but for words as 'best' and 'final'; last, where `wanted` names no part of the data, the
    only one of validation or test that there is. Two that might be meant are none.
    """
    known = list(dict.fromkeys(names))
    if wanted in known:
        return Match(wanted)
    plain = [name for name in known if plain_name(name) == plain_name(wanted)]
    if plain:
        return Match(plain[0])
    meant = meaning_of(wanted)
    alike = [name for name in known if meaning_of(name).measure == meant.measure]
    same = [name for name in alike if meaning_of(name).split == meant.split]
    exact = [name for name in same if meaning_of(name).soft == meant.soft]
    for found in (exact, same):
        if len(found) == 1:
            return Match(found[0])
        if found:
            return Match(None, tuple(found[:SHOWN]))
    if not meant.split:
        told = [name for name in alike if meaning_of(name).split in ("val", "test")]
        if len(told) == 1 and not meant.soft - meaning_of(told[0]).soft:
            return Match(told[0])
    return Match(None, tuple(alike[:SHOWN]))
