"""What the real trackers write is read back with the right values."""

import math
import time
from pathlib import Path

import pytest

from tests.support.server import wait_for
from tests.support.trackers import write, writer
from wildloop.flows.metrics import MetricsFollower, RunMetrics, SourceKind, read_all, run_metrics

TRACKERS = ["wandb", "tensorboard", "tensorboard_tensor", "tensorboardx", "mlflow"]
KINDS = {"wandb": SourceKind.WANDB, "mlflow": SourceKind.MLFLOW}
ROWS = [{"loss": 1 / (step + 1), "val/acc": step * 0.25} for step in range(4)]


def follower(run_dir: Path, tail_bytes: int | None = None) -> MetricsFollower:
    return MetricsFollower(run_dir, tail_bytes=tail_bytes, search_seconds=0)


def values(found: RunMetrics, name: str) -> list[float | None]:
    return [point.value for point in found.series.get(name, [])]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "mein lauf ü"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("tracker", TRACKERS)
def test_values_steps_and_times_are_read_back(tracker: str, run_dir: Path) -> None:
    before = time.time()
    write(tracker, run_dir, ROWS)
    after = time.time()
    found = read_all(run_dir)
    assert sorted(found.series) == ["loss", "val/acc"]
    assert values(found, "loss") == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-6)
    assert values(found, "val/acc") == [0, 0.25, 0.5, 0.75]
    assert [point.step for point in found.series["loss"]] == [0, 1, 2, 3]
    times = [point.time or 0 for point in found.series["loss"]]
    assert times == sorted(times)
    assert before - 1 <= times[0] <= times[-1] <= after
    assert found.last == pytest.approx({"loss": 0.25, "val/acc": 0.75})
    assert found.lowest == pytest.approx({"loss": 0.25, "val/acc": 0})
    assert found.best("val/acc", "max") == 0.75
    assert found.best("other", "max") is None
    assert (found.broken, found.notes) == (0, [])
    kind = KINDS.get(tracker, SourceKind.TENSORBOARD)
    assert [(source.kind, source.points) for source in found.sources] == [(kind, 8)]
    assert run_metrics(run_dir) == found.last


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_is_not_finite_shows_as_a_gap(tracker: str, run_dir: Path) -> None:
    rows = [{"loss": value} for value in (1.0, math.nan, math.inf, -math.inf, 0.5)]
    write(tracker, run_dir, rows)
    found = read_all(run_dir)
    assert values(found, "loss") == [1, None, None, None, 0.5]
    assert found.last == {"loss": 0.5}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_ten_thousand_points_are_all_kept(tracker: str, run_dir: Path) -> None:
    write(tracker, run_dir, [{"x": float(step)} for step in range(10_000)])
    found = read_all(run_dir)
    assert values(found, "x") == [float(step) for step in range(10_000)]
    assert found.series["x"][-1].step == 9999
    assert found.broken == 0


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_growing_file_is_read_piece_by_piece(tracker: str, run_dir: Path) -> None:
    following = follower(run_dir)
    assert following.read().series == {}
    with writer(tracker, run_dir) as tracked:
        for step in range(3):
            tracked.log({"x": step}, step)
            if tracker not in ("wandb", "tensorboardx"):
                assert values(following.read(), "x") == list(range(step + 1))
    # W&B writes in a process and tensorboardX in a thread of its own, when they see fit.
    found = following.read()
    assert values(found, "x") == [0, 1, 2]
    assert found.sources[0].points == 3


def test_a_wandb_file_shows_up_while_the_run_goes_on(run_dir: Path) -> None:
    following = follower(run_dir)
    with writer("wandb", run_dir) as tracked:
        tracked.log({"x": 1}, 0)
        tracked.log({"x": 2}, 1)
        wait_for(lambda: values(following.read(), "x")[:1] == [1], "the first step on disk")
    assert values(following.read(), "x") == [1, 2]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_file_cut_anywhere_gives_what_is_whole_and_goes_on(tracker: str, run_dir: Path) -> None:
    write(tracker, run_dir, [{"x": float(step)} for step in range(20)])
    file = Path(read_all(run_dir).sources[0].path)
    file = file / "metrics" / "x" if tracker == "mlflow" else file
    whole = file.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 97)):
        file.write_bytes(whole[:cut])
        following = follower(run_dir)
        first = following.read()
        assert first.broken == 0
        assert values(first, "x") == [float(step) for step in range(len(values(first, "x")))]
        with file.open("ab") as appended:
            appended.write(whole[cut:])
        again = following.read()
        assert (values(again, "x"), again.broken) == ([float(step) for step in range(20)], 0)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_damage_is_counted_and_the_rest_is_read(tracker: str, run_dir: Path) -> None:
    write(tracker, run_dir, [{"x": float(step)} for step in range(3000)])
    file = Path(read_all(run_dir).sources[0].path)
    file = file / "metrics" / "x" if tracker == "mlflow" else file
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff" * 40
    file.write_bytes(content)
    found = read_all(run_dir)
    assert found.broken >= 1
    kept = values(found, "x")
    assert (kept[0], kept[-1]) == (0, 2999)
    assert 2000 < len(kept) < 3000


@pytest.mark.parametrize("tracker", TRACKERS)
def test_the_end_of_a_long_file_is_enough_for_the_last_values(tracker: str, run_dir: Path) -> None:
    write(tracker, run_dir, [{"x": float(step)} for step in range(5000)])
    found = follower(run_dir, tail_bytes=40_000).read()
    assert found.last == {"x": 4999}
    assert found.broken == 0
    assert 0 < found.sources[0].points < 5000


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_replaced_file_is_read_from_its_start(tracker: str, run_dir: Path) -> None:
    write(tracker, run_dir, [{"x": float(step)} for step in range(9)])
    following = follower(run_dir)
    file = Path(following.read().sources[0].path)
    file = file / "metrics" / "x" if tracker == "mlflow" else file
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert len(values(following.read(), "x")) < 9
    file.write_bytes(content)
    assert values(following.read(), "x") == [float(step) for step in range(9)]


def test_wandb_summary_nested_names_and_media(run_dir: Path) -> None:
    with writer("wandb", run_dir) as tracked:
        tracked.log({"train": {"loss": 2, "deep": {"er": 3}}, "text": "no", "flag": True}, 0)
        tracked.summary({"final": 0.9, "word": "no", "loss.best": 1})
        tracked.tell({"image": True})
    found = read_all(run_dir)
    assert found.last == {"train.loss": 2, "train.deep.er": 3, "final": 0.9, "loss.best": 1}
    assert found.series["final"][0].step is None


def test_tensorboard_media_and_texts_are_no_metrics(run_dir: Path) -> None:
    with writer("tensorboard_tensor", run_dir) as tracked:
        tracked.tell({"text": True})
        tracked.log({"x": 1}, 7)
    with writer("tensorboardx:more", run_dir) as tracked:
        tracked.tell({"image": True})
        tracked.log({"y": 2}, 8)
    found = read_all(run_dir)
    assert found.last == {"x": 1, "y": 2}
    assert found.broken == 0


def test_a_tag_that_two_event_folders_have_gets_the_folder_in_front(run_dir: Path) -> None:
    write("tensorboard:logs/train", run_dir, [{"loss": 1, "lr": 0.5}])
    write("tensorboardx:logs/val", run_dir, [{"loss": 2}])
    assert read_all(run_dir).last == {"train/loss": 1, "val/loss": 2, "lr": 0.5}


def test_nested_mlflow_runs_are_told_apart_by_name(run_dir: Path) -> None:
    with writer("mlflow:parent", run_dir) as tracked:
        tracked.log({"loss": 1}, 0)
        tracked.tell({"child": "fold 1", "metrics": {"loss": 2, "only": 3}})
    assert read_all(run_dir).last == {"parent/loss": 1, "fold 1/loss": 2, "only": 3}


def test_metrics_jsonl_comes_before_the_trackers_and_the_log_last(run_dir: Path) -> None:
    write("tensorboard", run_dir, [{"loss": 5, "acc": 0.5}])
    (run_dir / "metrics.jsonl").write_text('{"loss": 1}\n')
    (run_dir / "run.log").write_text("f1: 0.7\n")
    found = read_all(run_dir)
    assert found.last == {"loss": 1, "acc": 0.5}
    assert [source.kind for source in found.sources] == [
        SourceKind.JSONL,
        SourceKind.TENSORBOARD,
    ]
