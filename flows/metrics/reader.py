"""What all metric readers share: they go on from where they stopped, and never raise."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.metrics.series import Sample
from wildloop.flows.models.metrics import SourceKind


class MetricReader(ABC):
    """Reads one source of metrics as it grows. The object is the place where it stopped.

    A source that is missing has no samples; a part of it that is still being written is left for
    the next `read`; a damaged part is passed over and counted in `broken`. Memory does not grow
    with the source.
    """

    kind: ClassVar[SourceKind]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = 0
        self.problem: str | None = None
        self.finals: dict[str, float | None] = {}
        """Values without a step, said once at the end; the samples of that name come first."""
        self.restarts = 0
        """How often the source was found replaced or cut, and read from its start again."""
        self.is_ended = True
        """Whether no more is to come: then a last line counts without its line end."""

    @abstractmethod
    def read(self) -> Iterator[Sample]:
        """The samples that have come since the last call."""


class FileReader(MetricReader):
    """A reader of one file. With `tail_bytes`, no more than about its end is read."""

    first_byte: ClassVar[int] = 0

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        super().__init__(path)
        self.position = self.first_byte
        self._tail_bytes = tail_bytes
        self._seen: tuple[int, int] | None = None

    def read(self) -> Iterator[Sample]:
        """The samples that have come since the last call."""
        try:
            with open_to_read(self.path) as file:
                size = self._attend(file)
                yield from self._samples(file, size)
            self.problem = None
        except FileNotFoundError:
            return
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror or error}"

    def _attend(self, file: BinaryIO) -> int:
        """Notice a file that is new or another one than before; its size."""
        status = os.fstat(file.fileno())
        size = status.st_size
        if self._seen is None:
            if self.position > max(size, self.first_byte):
                self.position = self.first_byte
            if self._tail_bytes is not None and size > self._tail_bytes:
                self.position = self._start_after(file, size - self._tail_bytes, size)
        elif _is_another(status, self._seen):
            self.position, self.broken = self.first_byte, 0
            self.finals = {}
            self.restarts += 1
            self._reset()
        self._seen = (status.st_ino, size)
        return size

    def was_replaced(self) -> bool:
        """Whether the next `read` will begin anew, since the file is another one or was cut."""
        try:
            return self._seen is not None and _is_another(self.path.stat(), self._seen)
        except OSError:
            return False

    def _reset(self) -> None:
        """Forget what was understood of the old file; most readers keep nothing."""

    @abstractmethod
    def _start_after(self, file: BinaryIO, offset: int, size: int) -> int:
        """The first place at or after `offset` where reading can begin."""

    @abstractmethod
    def _samples(self, file: BinaryIO, size: int) -> Iterator[Sample]:
        """Read from `self.position` to `size`, and move it along."""


def _is_another(status: os.stat_result, seen: tuple[int, int]) -> bool:
    return status.st_ino != seen[0] or status.st_size < seen[1]
