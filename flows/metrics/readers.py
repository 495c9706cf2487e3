"""The reader of each kind of source."""

from collections.abc import Callable
from pathlib import Path

from wildloop.flows.metrics.json_files import ResultsReader, TrainerStateReader
from wildloop.flows.metrics.log import LogReader
from wildloop.flows.metrics.mlflow import MlflowReader
from wildloop.flows.metrics.reader import MetricReader
from wildloop.flows.metrics.tabular import TableReader
from wildloop.flows.metrics.tensorboard import TensorboardReader
from wildloop.flows.metrics.trackio import TrackioReader
from wildloop.flows.metrics.walk import Located
from wildloop.flows.metrics.wandb import WandbReader
from wildloop.flows.models.metrics import SourceKind

_READERS: dict[SourceKind, Callable[[Path, int | None], MetricReader]] = {
    SourceKind.WANDB: WandbReader,
    SourceKind.TENSORBOARD: TensorboardReader,
    SourceKind.MLFLOW: MlflowReader,
    SourceKind.TRACKIO: TrackioReader,
    SourceKind.CSV: TableReader,
    SourceKind.TRAINER: TrainerStateReader,
    SourceKind.JSON: ResultsReader,
    SourceKind.LOG: LogReader,
}
KINDS = tuple(kind for kind in _READERS if kind is not SourceKind.LOG)
"""The kinds of files that a walk finds, the one that is believed first at the front."""


def reader_of(located: Located, tail_bytes: int | None = None) -> MetricReader:
    """A reader for a source, which reads about its last `tail_bytes`, or all of it."""
    return _READERS[located.kind](located.path, tail_bytes)
