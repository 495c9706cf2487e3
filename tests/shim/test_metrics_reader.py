"""Readers of metrics that are kept between requests."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.metrics import MetricsReader


def run_in(folder: Path) -> Run:
    """A finished run whose folder this is."""
    folder.mkdir(exist_ok=True)
    return Run(
        id=folder.name,
        name="r",
        command="true",
        workdir="/w",
        status=RunStatus.FINISHED,
        created_at=0,
        run_dir=str(folder),
    )


def append(folder: Path, *losses: float) -> None:
    """Add entries to the run's metrics."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"loss": loss}) + "\n" for loss in losses)


def test_runs_that_had_to_make_room_are_read_anew(tmp_path: Path) -> None:
    reader = MetricsReader(most_runs=2)
    runs = [run_in(tmp_path / f"r{n}") for n in range(5)]
    for n, run in enumerate(runs):
        append(Path(run.run_dir), n, n + 0.5)
    for _ in range(2):
        assert [reader.read(run).last["loss"] for run in runs] == [0.5, 1.5, 2.5, 3.5, 4.5]
        append(Path(runs[0].run_dir), 0.5)
    assert reader.read(runs[0]).sources[0].points == 4


def test_many_readers_of_one_run_count_every_point_once(tmp_path: Path) -> None:
    reader, run = MetricsReader(), run_in(tmp_path / "r")

    def step(n: int) -> int:
        append(tmp_path / "r", n)
        return reader.read(run).sources[0].points

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(step, range(100)))
    assert max(seen) == reader.read(run).sources[0].points == 100
    values = {point.value for point in reader.read(run).series["loss"]}
    assert values == set(range(100))
