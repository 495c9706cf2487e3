"""Puts the series of a run's sources together, and finds among them what was asked for."""

import os
from collections import Counter
from collections.abc import Container, Sequence

from wildloop.flows.metrics import mlflow
from wildloop.flows.metrics.names import match, plain_name
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.series import GrowingSeries, Sample
from wildloop.flows.metrics.walk import Located
from wildloop.flows.models.metrics import MetricSource, RunMetrics, SourceKind, TakenMetric
from wildloop.flows.models.run import MetricPoint

SERIES_POINTS = 20_000
RUN_POINTS = 1_000_000
NAMES = 2_000


class Source:
    """One reader and what it has read so far; `wanted` plain names are kept however many come."""

    def __init__(self, reader: MetricReader, wanted: Container[str] = (), label: str = "") -> None:
        self.reader = reader
        self.label = label
        self.series: dict[str, GrowingSeries] = {}
        self.points = 0
        self.dropped: set[str] = set()
        self._wanted = wanted
        self._restarts = 0
        self._limit = SERIES_POINTS

    def advance(self) -> None:
        """Read what has come since the last time."""
        for sample in self.reader.read():
            self._notice_restart()
            self.points += 1
            grown = self.series.get(sample.name)
            if grown is None:
                if len(self.series) >= NAMES and plain_name(sample.name) not in self._wanted:
                    if len(self.dropped) < RUN_POINTS:
                        self.dropped.add(sample.name)
                    continue
                grown = self._new(sample.name)
            grown.add(sample)
        self._notice_restart()

    def _notice_restart(self) -> None:
        if self.reader.restarts != self._restarts:
            self._restarts = self.reader.restarts
            self.series, self.points, self.dropped = {}, 0, set()

    def _new(self, name: str) -> GrowingSeries:
        grown = self.series[name] = GrowingSeries(self._limit)
        if len(self.series) * self._limit > RUN_POINTS:
            self._limit //= 2
            for one in self.series.values():
                one.shrink(self._limit)
        return grown

    def names(self) -> list[str]:
        """The metrics of the source, each once."""
        return [*self.series, *(name for name in self.reader.finals if name not in self.series)]

    def has_anything(self) -> bool:
        """Whether there is anything to say of the source."""
        reader = self.reader
        return bool(self.points or reader.finals or reader.broken or reader.problem)

    def told(self) -> MetricSource:
        """What is to be said of it."""
        reader = self.reader
        return MetricSource(
            kind=reader.kind,
            path=str(reader.path),
            points=self.points,
            broken=reader.broken,
            problem=reader.problem,
        )


class Assembly:
    """Puts the series of several sources together, the one that is believed first at the front."""

    def __init__(self, notes: Sequence[str] = ()) -> None:
        self.metrics = RunMetrics(notes=list(notes))
        self._groups: list[list[str]] = []

    def take(self, sources: Sequence[Source]) -> None:
        """Add the sources of one kind; a metric that is there already is passed over.

        A name that several labels have (`loss` in `train` and `val`) gets its label in front.
        """
        named = {(name, one.label) for one in sources for name in one.names()}
        labels = Counter(name for name, _ in named)
        taken = frozenset(self.metrics.series)
        for source in sources:
            if not source.has_anything():
                continue
            told = source.told()
            self.metrics.sources.append(told)
            self.metrics.broken += told.broken
            if source.dropped:
                self.metrics.notes.append(
                    f"'{told.path}' has {len(source.dropped)} metrics beyond the first {NAMES}: "
                    "they are left out, but for those that [metric] names"
                )
            for name in source.names():
                full = f"{source.label}/{name}" if labels[name] > 1 and source.label else name
                if full not in taken:
                    self._add(full, source, name)
        self._groups.append([name for name in self.metrics.series if name not in taken])

    def _add(self, full: str, source: Source, name: str) -> None:
        grown = source.series.get(name)
        if grown is None:
            grown = GrowingSeries(1)
            grown.add(Sample(name, source.reader.finals[name]))
            if full in self.metrics.series:
                return
        found = self.metrics
        found.origins.setdefault(full, str(source.reader.path))
        found.series.setdefault(full, []).extend(
            MetricPoint(name=full, value=one.value, step=one.step, time=one.time)
            for one in grown.samples()
        )
        if grown.last is not None and grown.lowest is not None and grown.highest is not None:
            if grown.ends_finite:
                found.last[full] = grown.last
            found.lowest[full] = min(found.lowest.get(full, grown.lowest), grown.lowest)
            found.highest[full] = max(found.highest.get(full, grown.highest), grown.highest)
        if not grown.ends_finite:
            found.diverged.append(full)

    def has(self, wanted: Sequence[str]) -> bool:
        """Whether all of these names are there, under whatever name."""
        return all(self._match(name).found is not None for name in wanted)

    def name(self, wanted: Sequence[str]) -> RunMetrics:
        """All that was taken, with what was asked for under the names that were asked for."""
        metrics = self.metrics
        # Of what was asked for and is there only under its own name, nothing is to be said.
        for name in dict.fromkeys(wanted):
            taken = self._match(name)
            metrics.taken.append(taken)
            found = taken.found
            if found is None or found == name:
                continue
            metrics.series[name] = [
                point.model_copy(update={"name": name}) for point in metrics.series[found]
            ]
            for values in (metrics.last, metrics.lowest, metrics.highest):
                if found in values:
                    values[name] = values[found]
            if found in metrics.diverged:
                metrics.diverged.append(name)
            metrics.origins[name] = metrics.origins[found]
        return metrics

    def _match(self, wanted: str) -> TakenMetric:
        names = self.metrics.series
        plain = [name for name in names if plain_name(name) == plain_name(wanted)]
        for group in [plain, *self._groups, list(names)]:
            found = match(wanted, group)
            if found.found is not None or (group is not plain and len(found.others) > 1):
                break
        else:
            found = match(wanted, names)
        source = self.metrics.origins.get(found.found, "") if found.found is not None else ""
        return TakenMetric(
            wanted=wanted, found=found.found, source=source, others=list(found.others)
        )


def labels_of(located: Sequence[Located]) -> dict[Located, str]:
    """What tells the sources of a kind apart: folder, W&B run id, MLflow run name."""
    found = {}
    for one in located:
        match one.kind:
            case SourceKind.WANDB:
                found[one] = one.path.stem.removeprefix("run-")
            case SourceKind.MLFLOW:
                found[one] = mlflow.run_name(one.path)
            case _:
                folders = [other.path.parent for other in located if other.kind is one.kind]
                label = one.path.parent.relative_to(os.path.commonpath(folders)).as_posix()
                found[one] = "" if label == "." else label
    return found
