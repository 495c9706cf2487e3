"""What `wildloop prune` says."""

from uuid import uuid4

import pytest
import typer

from wildloop.flows.models.prune import PruneFolder, PrunePlan
from wildloop.shim.cli.prune import plan_lines, seconds_of, size_text


@pytest.mark.parametrize(
    ("age", "seconds"), [("90d", 90 * 86400), ("36h", 36 * 3600), ("2w", 14 * 86400)]
)
def test_ages(age: str, seconds: float) -> None:
    assert seconds_of(age) == seconds


@pytest.mark.parametrize("age", ["90", "d", "-3d", "30m", "0d", "0.5h", "90d later"])
def test_what_is_no_age_is_refused_with_the_form(
    age: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        seconds_of(age)
    assert "--older-than" in capsys.readouterr().err


def test_dry_run_says_what_goes_how_large_and_that_nothing_was_done() -> None:
    folders = [PruneFolder(path=f"/p/{n}", size=1000) for n in range(12)]
    plan = PrunePlan(
        before=0.0, runs=[uuid4()], folders=folders, artifact_bytes=500, left=["/p/x: tracked"]
    )
    text = "\n".join(plan_lines(plan, is_done=False))
    assert "folders   12, 12.0 kB" in text and "and 2 more" in text
    assert "to be removed: 12.5 kB" in text and "say --yes" in text
    assert "stays     /p/x: tracked" in text
    done = "\n".join(plan_lines(plan, is_done=True))
    assert "removed: 12.5 kB" in done and "--yes" not in done
    assert plan_lines(PrunePlan(before=0.0), is_done=False) == ["nothing is so old"]


def test_sizes() -> None:
    sizes = [0, 999, 1000, 3_400_000, 12 * 10**12]
    assert [size_text(size) for size in sizes] == ["0 B", "999 B", "1.0 kB", "3.4 MB", "12.0 TB"]
