"""The report's pictures: what they show, and that each comes as PNG and as vectors."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.report_cases import Maker, facts_of
from tests.support.reporting import make_facts
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.forest import marks_of
from wildloop.flows.report.plots import draw_plots, varied
from wildloop.flows.search.scale import robust_limits

SCORE = MetricConfig(name="score")


def run_in(folder: Path, score: float) -> Run:
    """A finished run whose folder this is."""
    folder.mkdir()
    return Run(
        id=folder.name,
        name=folder.name,
        command="true",
        workdir=str(folder),
        run_dir=str(folder),
        status=RunStatus.FINISHED,
        created_at=score,
        metrics={"score": score},
    )


@pytest.mark.parametrize("source", ["metrics.jsonl", "mlflow"])
def test_curves_come_from_any_source(tmp_path: Path, source: str) -> None:
    run = run_in(tmp_path / "run", 3)
    if source == "metrics.jsonl":
        lines = [json.dumps({"step": n, "score": n}) for n in range(4)]
        (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    else:
        tracked = tmp_path / "run" / "mlruns" / "0" / ("ab" * 16)
        (tracked / "metrics").mkdir(parents=True)
        (tracked / "meta.yaml").write_text("run_name: r\nstart_time: 1000\n")
        (tracked / "metrics" / "score").write_text(
            "".join(f"{1000 + n} {n} {n}\n" for n in range(4))
        )
    drawn = draw_plots(tmp_path, make_facts([run], SCORE))
    assert [path.name for path in drawn] == ["progress.png", "learning_curves.png"]
    assert all(path.stat().st_size > 1000 for path in drawn)


def test_run_without_a_series_has_no_curve(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", 1)
    drawn = draw_plots(tmp_path, make_facts([run], SCORE))
    assert [path.name for path in drawn] == ["progress.png"]


def texts_of(svg: Path) -> list[str]:
    """The texts of a picture, as a reader sees them."""
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    return ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")] + [
        "".join(one.itertext()) for one in root.iter("text")
    ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of a session that won, in a folder."""
    folder = tmp_path_factory.mktemp("won")
    assert [path.stem for path in draw_plots(folder, facts_of("won", folder))] == [
        "forest",
        "progress",
        "learning_curves",
        "parallel_coordinates",
        "importance",
    ]
    return folder


def test_each_picture_has_vectors_for_wide_and_for_narrow_pages(drawn: Path) -> None:
    ids: list[str] = []
    for png in drawn.glob("*.png"):
        for suffix in (".svg", ".narrow.svg"):
            text = png.with_suffix(suffix).read_text(encoding="utf-8")
            ElementTree.fromstring(text)
            assert "currentColor" in text and "#1c2024" not in text, "the ink is the page's"
            assert not re.search(r"<script|<style|<image|http", text)
            mine = re.findall(r' id="([^"]*)"', text)
            refs = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
            assert set(refs) <= set(mine)
            ids += mine
    assert len(set(ids)) == len(ids), "several pictures stand in one page"


def test_progress_shows_baseline_failures_and_what_is_beyond_its_scale(drawn: Path) -> None:
    texts = texts_of(drawn / "progress.svg")
    assert any(one.startswith("baseline: 0.97067 ± 0.014 (n=3)") for one in texts)
    assert {"1 beyond the scale", "no value (failed)", "one seed", "it 2"} <= set(texts)
    ticks = [float(one) for one in texts if re.fullmatch(r"\d\.\d+", one)]
    assert max(ticks) < 2, "an outlier of 6.9 flattens nothing"


def test_curves_are_of_configurations(drawn: Path) -> None:
    texts = texts_of(drawn / "learning_curves.svg")
    assert "baseline (3 seeds)" in texts and "lr=0.03, width=128, depth=4 (3 seeds)" in texts
    assert sum("seed" in one and "(" in one for one in texts) == 5


def test_axes_of_settings_show_what_was_tried(drawn: Path) -> None:
    texts = texts_of(drawn / "parallel_coordinates.svg")
    assert {"32", "64", "96", "128", "2", "3", "4"} <= set(texts)
    assert not {"72", "80", "3.5", "2.5", "128.0"} & set(texts)


def test_the_forest_has_the_best_few_and_the_ablation(tmp_path: Path) -> None:
    marks = marks_of(facts_of("won", tmp_path))
    assert marks[0].label == "lr=0.03, width=128, depth=4" and marks[0].is_shown
    parts = {one.label: one for one in marks if one.of_ablation}
    assert set(parts) == {
        "undone: width: 128 -> 32",
        "undone: lr: 0.03 -> 0.003",
        "undone: depth: 4 -> 2",
    }
    worse = parts["undone: lr: 0.03 -> 0.003"]
    assert worse.low is not None and worse.high is not None
    assert worse.low < worse.gain < worse.high < 0 and worse.is_shown
    assert not parts["undone: depth: 4 -> 2"].is_shown


def test_nothing_is_drawn_as_a_gain_without_a_baseline(tmp_path: Path) -> None:
    assert marks_of(facts_of("failed_baseline", tmp_path)) == []


def test_many_configurations_are_drawn(tmp_path: Path) -> None:
    make = Maker(tmp_path / "runs")
    for n in range(80):
        make.add(0.5 + n / 1000, [0], lr=n / 1000, width=n % 7)
    names = [path.stem for path in draw_plots(tmp_path, make.facts())]
    assert "parallel_coordinates" in names
    assert (tmp_path / "parallel_coordinates.svg").stat().st_size < 1_000_000


def test_robust_limits_leave_outliers_out_and_keep_what_they_have_to() -> None:
    values = [0.4, 0.42, 0.45, 0.5, 0.52, 9.0]
    low, high = robust_limits(values, [0.97])
    assert low < 0.4 and 0.97 < high < 2
    low, high = robust_limits([0.4, 0.5, 0.6])
    assert low < 0.4 and high > 0.6
    low, high = robust_limits([1.0])
    assert low < 1 < high


def test_minus_zero_is_no_other_value_of_a_setting() -> None:
    assert varied([{"x": 0.0, "y": 1}, {"x": -0.0, "y": 2}]).keys() == {"y"}
    assert varied([{"x": 1e308}, {"x": -1e308}]) == {}
