"""Each value is judged once, wherever it is written and however the file grows."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.trackers import write
from wildloop.flows.alerts.sources import TAIL_BYTES, MetricsWatch
from wildloop.flows.files.manifest import Manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.alert import AlertKind, Finding
from wildloop.flows.project import AlertsConfig


def watch_of(folder: Path) -> tuple[MetricsWatch, RunPaths]:
    paths = RunPaths.of(folder, "run")
    paths.root.mkdir(parents=True, exist_ok=True)
    return MetricsWatch(paths, folder, AlertsConfig(), None), paths


def look(watch: MetricsWatch, paths: RunPaths, now: float = 0, last: bool = False) -> list[Finding]:
    size = paths.metrics.stat().st_size if paths.metrics.exists() else 0
    return watch.look(now, size, last)


def launched(paths: RunPaths, workdir: Path) -> None:
    manifest = Manifest(
        run_id="run",
        name="run",
        command="true",
        workdir=str(workdir),
        host="here",
        python="3",
        platform="x",
        started_at=time.time() - 1,
    )
    paths.manifest.write_text(manifest.model_dump_json())


def test_a_run_without_metrics_has_none(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    assert (look(watch, paths), watch.seen) == ([], 0)
    assert watch.look(0, 10) == []


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(0, 9999), max_size=30),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60),
)
def test_every_value_is_seen_once_however_the_file_grows(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], cuts: list[int]
) -> None:
    watch, paths = watch_of(tmp_path_factory.mktemp("grows"))
    data = "".join(json.dumps({"loss": value}) + "\n" for value in values).encode()
    at = 0
    for cut in [*cuts, len(data)]:
        with paths.metrics.open("ab") as file:
            file.write(data[at : at + cut])
        at += cut
        look(watch, paths)
    assert watch.seen == len(values)


def test_a_replaced_file_is_judged_anew(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    paths.metrics.write_text('{"loss": 1}\n' * 20)
    assert look(watch, paths) == []
    paths.metrics.write_text('{"loss": 900}\n')
    assert look(watch, paths) == []
    paths.metrics.write_text('{"loss": 900}\n{"loss": NaN}\n')
    assert [one.kind for one in look(watch, paths)] == [AlertKind.NAN]


def test_broken_lines_and_binary_are_passed_over(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    paths.metrics.write_bytes(
        b'{"loss": 1}\n\xff\xfe\x00\n[1]\n{"loss": NaN}\n{"loss"\n{"loss": 2}\n'
    )
    assert [one.kind for one in look(watch, paths)] == [AlertKind.NAN]
    assert watch.seen == 3


def test_of_a_huge_file_only_the_end_is_read(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    with paths.metrics.open("wb") as file:
        file.truncate(20 * TAIL_BYTES)
        file.seek(0, 2)
        file.write(b'\n{"loss": NaN}\n')
    assert [one.kind for one in look(watch, paths)] == [AlertKind.NAN]
    assert watch.seen == 1


def test_trackers_are_judged_like_the_file(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    launched(paths, tmp_path)
    write("tensorboard", paths.root, [{"loss": 0.5}, {"loss": float("nan")}])
    (finding,) = look(watch, paths)
    assert (finding.kind, finding.key) == (AlertKind.NAN, "nan:loss")


def test_series_of_two_trackers_are_not_mixed(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    launched(paths, tmp_path)
    write("tensorboard:train", paths.root, [{"loss": 0.01}] * 30)
    write("tensorboard:val", paths.root, [{"loss": 5.0}] * 30)
    assert look(watch, paths) == []
    assert watch.seen == 60


def test_trackers_are_read_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    watch, paths = watch_of(tmp_path)
    launched(paths, tmp_path)
    write("tensorboard:a", paths.root, [{"loss": 0.5}])
    look(watch, paths, now=0)
    write("tensorboard:b", paths.root, [{"loss": 0.5}])
    look(watch, paths, now=30)
    assert watch.seen == 1
    look(watch, paths, now=61)
    assert watch.seen == 2
