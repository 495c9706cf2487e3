"""What `wildloop export` writes."""

import csv
from pathlib import Path

from wildloop.shim.cli.export import write_csv


def test_a_table_is_written_with_its_header(tmp_path: Path) -> None:
    write_csv(tmp_path / "runs.csv", [{"id": "a", "metrics.f1": 0.5}, {"id": "b, c"}])
    with (tmp_path / "runs.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"id": "a", "metrics.f1": "0.5"},
            {"id": "b, c", "metrics.f1": ""},
        ]
