"""What is said where a run ends without the metric that it is judged by."""

import time
from pathlib import Path

from wildloop.flows.alerts.unmeasured import is_trained, unmeasured_finding
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.metrics import read_all
from wildloop.flows.metrics.blind import nothing_measured, searches_blindly
from wildloop.flows.metrics.missing import unmeasured, wanted_names
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord


def ended(tmp_path: Path, toml: str, log: str) -> str:
    (tmp_path / "wildloop.toml").write_text(toml)
    run_dir = tmp_path / ".wild" / "runs" / "r"
    run_dir.mkdir(parents=True)
    (run_dir / "run.log").write_text(log)
    return unmeasured(read_all(run_dir, tmp_path, time.time() - 1, time.time()))


def a_run(name: str, *, unmeasured: str = "", is_measured: bool = False, at: float = 1.0) -> Run:
    return Run(
        id=name,
        name=name,
        command="true",
        workdir=".",
        run_dir=".",
        status=RunStatus.FINISHED,
        created_at=0,
        finished_at=at,
        unmeasured=unmeasured,
        is_measured=is_measured,
    )


def test_what_was_seen_and_where_is_told_with_the_mend(tmp_path: Path) -> None:
    text = ended(tmp_path, "[metric]\nname = 'f1'\n", "val_acc: 0.91, loss: 0.3\n")
    assert text.startswith("f1 not found; seen: val_acc, loss (run.log); looked in: metrics.jsonl")
    assert '[metric] name = "..."' in text


def test_a_name_that_might_be_meant_is_asked_about(tmp_path: Path) -> None:
    text = ended(tmp_path, "[metric]\nname = 'accuracy'\n", "val_acc: 0.9, test_acc: 0.8\n")
    assert '`[metric] name = "val_acc" or name = "test_acc"`' in text


def test_a_silent_run_is_told_how_to_report(tmp_path: Path) -> None:
    text = ended(tmp_path, "[metric]\nname = 'f1'\n", "done\n")
    assert "seen: no metric at all" in text
    assert '{"f1": VALUE}' in text


def test_nothing_is_said_where_it_was_found_or_diverged_or_nothing_is_wanted(
    tmp_path: Path,
) -> None:
    for number, (toml, log) in enumerate(
        [
            ("[metric]\nname = 'val_accuracy'\n", "val_acc: 0.9\n"),
            ("[metric]\nname = 'loss'\n", "loss: nan\n"),
            ("", "x\n"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert ended(folder, toml, log) == ""


def test_where_wildloop_toml_names_no_metric_the_plan_does(tmp_path: Path) -> None:
    tasks = SessionPaths.of(tmp_path, "s").tasks
    tasks.parent.mkdir(parents=True)
    tasks.write_text(
        "# Goal\nx\n\n## Shared Metrics and Analytics Contract\n- Primary metric: `f1` (max)\n"
    )
    assert wanted_names(tmp_path, "s") == ["f1"]
    assert wanted_names(tmp_path, None) == []
    (tmp_path / "wildloop.toml").write_text("[metric]\nname = 'acc'\n")
    assert wanted_names(tmp_path, "s") == []


def test_a_run_that_is_to_measure_is_told_from_one_that_prepares(tmp_path: Path) -> None:
    assert is_trained(tmp_path, "python train.py") is None
    (tmp_path / "wildloop.toml").write_text("[train]\ncommand = 'python train.py --fast'\n")
    assert is_trained(tmp_path, "python train.py --lr=0.1") is True
    assert is_trained(tmp_path, "python prepare.py") is False
    (tmp_path / "wildloop.toml").write_text(
        "[train]\ncommand = 'python train.py'\n[evaluate]\ncommand = 'python eval.py'\n"
    )
    assert is_trained(tmp_path, "python train.py") is False


def test_nothing_is_said_of_a_run_that_only_prepares(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("[metric]\nname = 'f1'\n")
    for number, (log, is_training, is_told) in enumerate(
        [("hello\n", None, False), ("loss: 0.5\n", None, True), ("loss: 0.5\n", False, False)]
    ):
        run_dir = tmp_path / ".wild" / "runs" / str(number)
        run_dir.mkdir(parents=True)
        (run_dir / "run.log").write_text(log)
        metrics = read_all(run_dir, tmp_path, time.time() - 1, time.time())
        assert bool(unmeasured(metrics, is_training)) is is_told


def test_the_first_run_without_a_value_raises_the_alert_and_no_other() -> None:
    text = "f1 not found; seen: loss (run.log)"
    found = unmeasured_finding(text, "a", [a_run("a", unmeasured=text)])
    assert found is not None
    assert (found.kind, found.message) == (AlertKind.NO_METRIC, text)
    assert unmeasured_finding(text, "b", [a_run("a", unmeasured=text)]) is None
    assert unmeasured_finding(text, "b", [a_run("a", is_measured=True)]) is None
    assert unmeasured_finding("", "a", []) is None


def test_a_session_is_blind_while_no_run_has_a_value() -> None:
    blind = [a_run(name, unmeasured="f1 not found") for name in "abc"]
    assert nothing_measured(blind) == "f1 not found"
    assert nothing_measured([*blind, a_run("d", is_measured=True)]) == ""
    assert nothing_measured([a_run("e")]) == ""


def test_a_session_that_goes_on_searching_without_a_value_is_ended() -> None:
    blind = [a_run(name, unmeasured="f1 not found", at=at) for name, at in [("a", 1), ("b", 5)]]
    told = IterationRecord(index=2, started_at=2, run_ids=["b", "c"])
    assert searches_blindly(blind, [told]) == "", "the agent may mend it once"
    third = a_run("c", unmeasured="f1 not found", at=6)
    assert searches_blindly([*blind, third], [told]) == "f1 not found"
    first = IterationRecord(index=1, started_at=0, run_ids=["a", "b", "c"])
    assert searches_blindly([*blind, third], [first]) == "", "one batch, not told yet"
    assert searches_blindly([*blind, third, a_run("d", is_measured=True)], [told]) == ""
