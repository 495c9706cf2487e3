"""The table of runs: which rows, in which order, with which columns. Pure functions."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.page.render import spent_seconds, value

PAGE_ROWS = 50
MOST_COLUMNS = 8
PARAMETER, METRIC = "p:", "m:"
PLAIN: dict[str, Callable[[Run], Any]] = {
    "created": lambda run: run.created_at,
    "name": lambda run: run.name,
    "status": lambda run: run.status.value,
    "seed": lambda run: run.seed,
    "seconds": spent_seconds,
}
Order = Literal["up", "down"]


class Wanted(BaseModel):
    """What is asked of the table: the query of its address."""

    model_config = ConfigDict(frozen=True)

    session: str = Field(default="", max_length=200)
    sweep: str = Field(default="", max_length=200)
    status: RunStatus | Literal[""] = ""
    q: str = Field(default="", max_length=200)
    sort: str = Field(default="created", max_length=300)
    order: Order = "down"
    page: int = Field(default=1, ge=1, le=100_000)
    group: bool = False

    @property
    def needs_all(self) -> bool:
        """Whether the rows can be told only by looking at all of them."""
        return bool(self.q) or (self.sort, self.order) != ("created", "down")


def matching(runs: Iterable[Run], wanted: Wanted) -> list[Run]:
    """The rows that are asked for: by status, and by a text in name, command or parameters."""
    word = wanted.q.casefold()
    return [
        run
        for run in runs
        if wanted.status in ("", run.status) and (not word or word in _text(run).casefold())
    ]


def in_order(runs: Sequence[Run], sort: str, order: Order) -> list[Run]:
    """The rows by one column; those without a value come last, whichever way."""
    cell = _cell(sort)
    told = [(cell(run), run) for run in runs]
    numbers = [(at, run) for at, run in told if _is_number(at)]
    texts = [(value(at), run) for at, run in told if at is not None and not _is_number(at)]
    down = order == "down"
    numbers.sort(key=lambda one: one[0], reverse=down)
    texts.sort(key=lambda one: one[0].casefold(), reverse=down)
    return [run for _, run in numbers + texts] + [run for at, run in told if at is None]


def columns(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """The parameters and metrics that most rows have, those that vary first."""
    return (
        _names(run.parameters for run in runs),
        _names(run.metrics for run in runs),
    )


def _names(rows: Iterable[dict[str, Any]]) -> list[str]:
    counts, seen = Counter[str](), dict[str, set[str]]()
    for row in rows:
        for name, given in row.items():
            counts[name] += 1
            if len(kinds := seen.setdefault(name, set())) < 2:
                kinds.add(repr(given))
    ranked = sorted(counts, key=lambda name: (len(seen[name]) < 2, -counts[name]))
    return ranked[:MOST_COLUMNS]


def _cell(sort: str) -> Callable[[Run], Any]:
    if sort.startswith(PARAMETER):
        name = sort.removeprefix(PARAMETER)
        return lambda run: run.parameters.get(name)
    if sort.startswith(METRIC):
        name = sort.removeprefix(METRIC)
        return lambda run: run.metrics.get(name)
    return PLAIN.get(sort, PLAIN["created"])


def _text(run: Run) -> str:
    pairs = " ".join(f"{name}={value(given)}" for name, given in run.parameters.items())
    return f"{run.id} {run.name} {run.command} {pairs}"


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)
