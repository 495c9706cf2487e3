"""The metrics of a run as they were at its end: what its files say later is no result."""

import gzip
import hashlib
import os
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from wildloop.flows.metrics.read import read_all, workdir_of
from wildloop.flows.metrics.series import downsample
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.run import Run

NAME = "metrics.sealed.json.gz"
POINTS = 5_000
CHANGED = (
    "its sealed metrics were changed or removed after its end: only the last values are shown, as "
    "they were noted then"
)


def seal(run_dir: Path, started_at: float | None, finished_at: float | None) -> str:
    """Keep what the files of an ended run tell, at most 5,000 points a series; its digest.

    The digest belongs where the run cannot write.

    Raises:
        OSError: the folder cannot be written to.
    """
    metrics = read_all(run_dir, workdir_of(run_dir), started_at, finished_at)
    short = {name: downsample(points, POINTS) for name, points in metrics.series.items()}
    text = metrics.model_copy(update={"series": short}).model_dump_json(exclude_none=True)
    content = gzip.compress(text.encode(), mtime=0)
    draft = run_dir / f".{uuid4().hex}"
    draft.write_bytes(content)
    draft.chmod(0o600)
    draft.replace(run_dir / NAME)
    return hashlib.sha256(content).hexdigest()


def sealed(run: Run) -> RunMetrics | None:
    """The metrics of an ended run as they were then; None where they were not sealed."""
    if not run.status.is_terminal or not run.sealed:
        return None
    try:
        descriptor = os.open(Path(run.run_dir) / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() == run.sealed:
            return RunMetrics.model_validate_json(gzip.decompress(content))
    except (OSError, ValidationError):
        pass
    return RunMetrics(last=run.metrics, diverged=run.diverged, notes=[CHANGED])


def measured(run: Run) -> RunMetrics:
    """What a run has measured: as it was at its end, or as it stands while it goes on."""
    known = sealed(run)
    if known is not None:
        return known
    folder = Path(run.run_dir)
    return read_all(folder, workdir_of(folder), run.started_at, run.finished_at)
