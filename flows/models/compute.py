"""Compute blocks: what each offers, and which of them can serve a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.models.body import Body

LOCAL, SLURM, KUBERNETES = "local", "slurm", "kubernetes"
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")


class Wish(Protocol):
    """What a run asks for of the compute."""

    @property
    def gpus(self) -> int:
        """Slots, and devices where there are any."""

    @property
    def compute(self) -> str | None:
        """Where; None: anywhere."""

    @property
    def gpu_type(self) -> str | None:
        """Of which type; None: any."""

    @property
    def gpu_memory_gb(self) -> float | None:
        """How much each has at least; None: any."""


class ComputeWish(Body):
    """The fields by which a run, or all runs of a sweep, choose their compute."""

    compute: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The compute to run on, as `GET /cluster` names them (default: any).",
    )
    gpu_type: str | None = Field(
        default=None,
        max_length=100,
        pattern=r"[A-Za-z0-9]",
        description="Type of the GPUs, as 'A100' (default: any).",
    )
    gpu_memory_gb: float | None = Field(
        default=None, gt=0, le=10_000, description="Least memory of each of the GPUs."
    )


WISHES = tuple(ComputeWish.model_fields)


def wish_of(source: object) -> dict[str, Any]:
    """The fields of `ComputeWish` that something has."""
    return {name: getattr(source, name) for name in WISHES}


def check_wish(wish: Wish) -> None:
    """Refuse a type of GPU where none is asked for.

    Raises:
        ValueError: with the field and the mend.
    """
    for name in ("gpu_type", "gpu_memory_gb") if wish.gpus == 0 else ():
        if getattr(wish, name) is not None:
            raise ValueError(f"{name}: a run without a GPU (gpus: 0) has none: leave it out")


@dataclass(frozen=True)
class Asked:
    """A wish by itself."""

    gpus: int
    compute: str | None = None
    gpu_type: str | None = None
    gpu_memory_gb: float | None = None


class GpuKind(BaseModel):
    """GPUs of one type; `memory_gb` of each, where it is known."""

    model_config = ConfigDict(frozen=True)

    type: str
    count: int
    memory_gb: float | None = None

    def serves(self, wish: Wish) -> bool:
        """Whether they have the type and the memory that a run asks for."""
        if wish.gpu_type is not None and not is_type(self.type, wish.gpu_type):
            return False
        return wish.gpu_memory_gb is None or (self.memory_gb or 0.0) >= wish.gpu_memory_gb

    @property
    def text(self) -> str:
        """As people are told of it."""
        memory = f" of {self.memory_gb:.0f} GB" if self.memory_gb else ""
        return f"{self.count} {self.type}{memory}"


class ComputeOffer(BaseModel):
    """What one compute of a host offers.

    Attributes:
        name: `local`, `slurm`, or the name of its block.
        kind: `local`, `slurm` or `kubernetes`.
        slots: runs of one GPU at once.
        largest: the most GPUs of one run.
        places: runs without a GPU at once; None: not known.
        kinds: its GPUs by type; none where that is not known.
        shared: the cluster that it is a part of, where other hosts may submit to it too.
        pool: the partitions of that cluster whose GPUs are counted; None: they are its own.
        pool_type: the type of GPU that is counted of them; None: all.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str = LOCAL
    slots: int
    largest: int
    places: int | None = None
    kinds: list[GpuKind] = Field(default_factory=list)
    shared: str | None = None
    pool: str | None = None
    pool_type: str | None = None

    def most(self, wish: Wish) -> int:
        """How many GPUs of those that a run asks for it can have here; 0: none."""
        if wish.gpu_type is None and wish.gpu_memory_gb is None:
            return self.largest
        return min(self.largest, sum(kind.count for kind in self.kinds if kind.serves(wish)))

    def serves(self, wish: Wish) -> bool:
        """Whether a run can go here, now or later."""
        if wish.compute not in (None, self.name):
            return False
        return wish.gpus == 0 or 0 < wish.gpus <= self.most(wish)

    def own_type(self, gpu_type: str | None) -> str | None:
        """What this compute calls a GPU type; None where it has no such."""
        if gpu_type is None:
            return None
        return next((kind.type for kind in self.kinds if is_type(kind.type, gpu_type)), None)

    @property
    def text(self) -> str:
        """As people are told of it."""
        told = ", ".join(kind.text for kind in self.kinds) or f"{self.slots} slots, type unknown"
        return f"'{self.name}' ({told})"


def is_type(there: str, wanted: str) -> bool:
    """Whether a GPU's name holds all words of a type: `A100` is `NVIDIA A100-SXM4-80GB`."""
    return set(_words(wanted)) <= set(_words(there))


def _words(text: str) -> list[str]:
    return [word for word in _BETWEEN_WORDS.split(text.lower()) if word]


def is_particular(wish: Wish) -> bool:
    """Whether a run does not take any compute."""
    return not (wish.compute is None and wish.gpu_type is None and wish.gpu_memory_gb is None)


def why_unserved(offers: Sequence[ComputeOffer], wish: Wish) -> str | None:
    """Which field no compute satisfies, and what there is; None where one can serve the run."""
    if not offers or any(offer.serves(wish) for offer in offers):
        return None
    there = "; ".join(sorted({offer.text for offer in offers}))
    named = [offer for offer in offers if wish.compute in (None, offer.name)]
    if not named:
        return f"compute: no host that is online has '{wish.compute}': there is {there}"
    if wish.gpu_type is None and wish.gpu_memory_gb is None:
        most = max(offer.largest for offer in named)
        where = f"'{wish.compute}'" if wish.compute else "no host"
        has = "has no" if wish.compute else "has"
        return f"gpus: {wish.gpus} are asked for, {where} {has} more than {most}: ask for fewer"
    types = [kind for offer in named for kind in offer.kinds]
    of_type = [one for one in types if wish.gpu_type is None or is_type(one.type, wish.gpu_type)]
    if not of_type:
        return f"gpu_type: there is no '{wish.gpu_type}'{_at(wish)}: there is {there}"
    if not any(one.serves(wish) for one in of_type):
        return (
            f"gpu_memory_gb: no GPU{_of(wish)}{_at(wish)} is known to have "
            f"{wish.gpu_memory_gb:g} GB: there is {there}"
        )
    most = max(offer.most(wish) for offer in named)
    return (
        f"gpus: {wish.gpus} are asked for, at most {most} such are in one place: there is {there}"
    )


def _at(wish: Wish) -> str:
    return f" at compute '{wish.compute}'" if wish.compute else ""


def _of(wish: Wish) -> str:
    return f" of type '{wish.gpu_type}'" if wish.gpu_type else ""
