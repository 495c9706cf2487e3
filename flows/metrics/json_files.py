"""JSON files that a run wrote as a whole: trainer_state.json, all_results.json, metrics.json."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from wildloop.flows.metrics.jsonl import STEP_KEYS, TIME_KEYS
from wildloop.flows.metrics.lines.words import AXES, Sort, sort_of
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.series import Sample, is_name, is_number, number
from wildloop.flows.models.metrics import SourceKind

FILE_BYTES = 64 * 1024 * 1024
DEPTH = 3
TRAINER_STATE = "trainer_state.json"
_RESULTS = re.compile(
    r"(?:(?:all|eval|test|val|valid|validation|train|final|predict)[_-])?"
    r"(?:results?|metrics?|scores?|summary)\.json",
    re.IGNORECASE,
)


def is_json_file(name: str) -> bool:
    """Whether a file is one of those, by its name."""
    return name == TRAINER_STATE or _RESULTS.fullmatch(name) is not None


class _JsonFile(MetricReader):
    """A file that is written anew as a whole, and so read anew when it has changed."""

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path)
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> Iterator[Sample]:
        """All its samples, if it has changed since the last call."""
        try:
            status = self.path.stat()
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return
            if status.st_size > FILE_BYTES:
                self.problem = f"larger than {FILE_BYTES >> 20} MiB"
                return
            told = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror or error}"
            return
        except (ValueError, RecursionError):
            # It may be half written: the next look sees.
            self.broken = 1
            return
        if self._seen is not None:
            self.restarts += 1
        self._seen, self.broken, self.problem = seen, 0, None
        yield from self._samples(told)

    def _samples(self, told: Any) -> Iterator[Sample]:
        raise NotImplementedError


class TrainerStateReader(_JsonFile):
    """`log_history` of the Hugging Face trainer's state: a list of entries with step and epoch."""

    kind: ClassVar[SourceKind] = SourceKind.TRAINER

    def _samples(self, told: Any) -> Iterator[Sample]:
        history = told.get("log_history") if isinstance(told, dict) else None
        for entry in history if isinstance(history, list) else ():
            if not isinstance(entry, dict):
                continue
            step = next((number(entry[key]) for key in STEP_KEYS if key in entry), None)
            for name, value in entry.items():
                if name not in STEP_KEYS and is_number(value) and is_name(name):
                    yield Sample(name, number(value), step)


class ResultsReader(_JsonFile):
    """The numbers of an object, or of a list of objects with steps (a history)."""

    kind: ClassVar[SourceKind] = SourceKind.JSON

    def _samples(self, told: Any) -> Iterator[Sample]:
        for entry in told if isinstance(told, list) else [told]:
            if isinstance(entry, dict):
                yield from _entry(entry)


def _entry(entry: dict[str, Any]) -> Iterator[Sample]:
    numbers = dict(_flat(entry))
    axes = {AXES[key.lower()]: value for key, value in numbers.items() if key.lower() in AXES}
    step = number(axes.get("step", axes.get("epoch")))
    for name, value in numbers.items():
        if name.lower() in AXES or name in TIME_KEYS or not is_name(name):
            continue
        if sort_of(name) is Sort.SETTING:
            continue
        yield Sample(name, number(value), step)


def _flat(entry: dict[str, Any], prefix: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, dict) and depth:
            yield from _flat(value, f"{prefix}{key}/", depth - 1)
        elif is_number(value):
            yield f"{prefix}{key}", value
