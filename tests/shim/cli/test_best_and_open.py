"""`wildloop best`, and the file by which `wildloop open` leads to the page."""

import stat
from pathlib import Path

import pytest

from wildloop.flows.models.evidence import (
    AccountView,
    Comparison,
    ConfigurationView,
    Estimate,
    Level,
    RunNote,
    Standing,
)
from wildloop.shim.cli.best import best_lines, print_configurations
from wildloop.shim.cli.open import _way


def account() -> AccountView:
    one = ConfigurationView(
        id="c",
        label="lr=0.1",
        program="t.py",
        settings={"lr": 0.1},
        command="python t.py --lr=0.1 --seed=0",
        code="x",
        commit="abcdef123456",
        runs=[RunNote(run_id="1234567890", name="r", status="finished")],
        estimate=Estimate(
            seeds=["1", "2"], values=[0.9, 0.92], mean=0.91, sd=0.01, low=0.8, high=1
        ),
        level=Level.CONFIRMED,
        standing=Standing.BEST,
        comparison=Comparison(test="Welch t", gain=0.1, low=0.05, high=0.15, established=True),
        doubts=["one doubt"],
    )
    return AccountView(
        session_id="s",
        metric="acc",
        direction="max",
        alpha=0.05,
        best="c",
        headline="acc 0.91",
        rule="r",
        configurations=[one],
    )


def test_the_best_is_told_with_level_interval_command_and_commit() -> None:
    given = account()
    text = "\n".join(best_lines(given, given.configurations[0]))
    assert text.splitlines()[0] == "acc 0.91"
    for part in (
        "acc 0.91 ± 0.01 (n=2), 95 % interval 0.8 to 1, confirmed",
        "gain 0.1, 95 % interval 0.05 to 0.15, shown (Welch t)",
        "commit abcdef123456",
        "command python t.py --lr=0.1 --seed=0",
        "doubt one doubt",
        "12345678",
    ):
        assert part in text


def test_configurations_are_told_with_their_seeds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_configurations(account())
    told = capsys.readouterr().out
    assert "lr=0.1" in told and "confirmed" in told


def test_the_way_to_the_page_is_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLOOP_HOME", str(tmp_path))
    for code in ("one", 'two"><script>'):
        way = _way(f"http://127.0.0.1:1/page/enter?code={code}")
        assert stat.S_IMODE(way.stat().st_mode) == 0o600
        assert code.split('"')[0] in way.read_text() and "<script>" not in way.read_text()
