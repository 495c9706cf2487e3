"""What an iteration changed, as its agent declares it."""

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

_NOISE = re.compile(r"[^a-z]")


class ChangeKind(StrEnum):
    """Kinds of change; NONE is for iterations that only measure, analyse or write."""

    HYPER_PARAMETER = "hyper-parameter"
    ARCHITECTURE = "architecture"
    OPTIMISER = "optimiser"
    DATA = "data"
    REGULARISATION = "regularisation"
    SIMPLIFICATION = "simplification"
    NONE = "none"

    @classmethod
    def read(cls, text: str) -> "ChangeKind | None":
        """The kind that a word means, however it is spelled; None if none does."""
        return _WORDS.get(_NOISE.sub("", text.lower()).rstrip("s"))


_WORDS = {_NOISE.sub("", kind.value).rstrip("s"): kind for kind in ChangeKind} | {
    "hparam": ChangeKind.HYPER_PARAMETER,
    "hyperparam": ChangeKind.HYPER_PARAMETER,
    "arch": ChangeKind.ARCHITECTURE,
    "model": ChangeKind.ARCHITECTURE,
    "optimizer": ChangeKind.OPTIMISER,
    "optimisation": ChangeKind.OPTIMISER,
    "optimization": ChangeKind.OPTIMISER,
    "dataset": ChangeKind.DATA,
    "regularization": ChangeKind.REGULARISATION,
    "simplify": ChangeKind.SIMPLIFICATION,
}


class Change(BaseModel):
    """A declared change: its kind, and one line about it."""

    model_config = ConfigDict(frozen=True)

    kind: ChangeKind
    text: str = ""
