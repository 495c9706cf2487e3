"""MLflow file stores: `mlruns/<experiment>/<run>/metrics/<name>`, a text file a metric.

Each line is `<milliseconds> <value> <step>`, with further columns in newer versions:
https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/. Databases (the default
since MLflow 3.7, `mlflow.db`) are not read.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wildloop.flows.metrics.reader import FileReader, MetricReader
from wildloop.flows.metrics.series import Sample, is_name, number
from wildloop.flows.models.metrics import SourceKind

LINE_BYTES = 4096
FILES = 2000
META_BYTES = 64 * 1024
_START = re.compile(r"^start_time: *(\d{10,16})$", re.MULTILINE)
_NAME = re.compile(r"^run_name: *(.{1,200})$", re.MULTILINE)


class MlflowReader(MetricReader):
    """The metrics of one run folder of a file store; names may have slashes.

    A line that is not in the format is passed over and counted. Of more than 2,000 metrics only
    the first are read.
    """

    kind = SourceKind.MLFLOW

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path)
        self._tail_bytes = tail_bytes
        self._files: dict[str, _MetricFile] = {}

    def read(self) -> Iterator[Sample]:
        """The samples that have come since the last call."""
        self.problem = None
        if any(file.was_replaced() for file in self._files.values()):
            self._files = {}
            self.restarts += 1
        for name, path in _metric_files(self.path / "metrics"):
            if name not in self._files:
                if len(self._files) >= FILES:
                    self.problem = f"more than {FILES} metrics: the others are not read"
                    break
                self._files[name] = _MetricFile(name, path, self._tail_bytes)
        for file in self._files.values():
            yield from file.read()
            self.problem = self.problem or file.problem
        self.broken = sum(file.broken for file in self._files.values())


class _MetricFile(FileReader):
    kind = SourceKind.MLFLOW

    def __init__(self, name: str, path: Path, tail_bytes: int | None) -> None:
        super().__init__(path, tail_bytes)
        self._name = name

    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        file.seek(offset - 1)
        file.readline(LINE_BYTES)
        return file.tell()

    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        file.seek(self.position)
        while line := file.readline(LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < LINE_BYTES:
                return
            self.position += len(line)
            sample = self._sample(line)
            if sample is not None:
                yield sample
            elif line.strip():
                self.broken += 1

    def _sample(self, line: bytes) -> Sample | None:
        columns = line.split()
        if len(columns) < 2:
            return None
        try:
            time, value = int(columns[0]), float(columns[1])
            step = int(columns[2]) if len(columns) > 2 else None
        except ValueError:
            return None
        seconds = number(time)
        return Sample(
            self._name, number(value), number(step), None if seconds is None else seconds / 1000
        )


def _metric_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            title = path.relative_to(folder).as_posix()
            if is_name(title):
                yield title, path


def started_at(folder: Path) -> float | None:
    """When the MLflow run of a folder began (Unix seconds), by its meta.yaml."""
    found = _START.search(_meta(folder))
    return int(found[1]) / 1000 if found else None


def run_name(folder: Path) -> str:
    """The name of the MLflow run of a folder; its id where it has none."""
    found = _NAME.search(_meta(folder))
    name = found[1].strip().strip("'\"") if found else ""
    return name if is_name(name) else folder.name


def tag(folder: Path, name: str) -> str | None:
    """A tag of the MLflow run of a folder; None where it is not set."""
    try:
        with (folder / "tags" / name).open("rb") as file:
            return file.read(LINE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None


def _meta(folder: Path) -> str:
    try:
        with (folder / "meta.yaml").open("rb") as file:
            return file.read(META_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
