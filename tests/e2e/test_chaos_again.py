"""The same with another seed, in a file of its own: files run side by side."""

from pathlib import Path

import pytest

from tests.support.chaos import check_survival

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_runs_survive_random_kills_of_another_seed(tmp_path: Path) -> None:
    check_survival(tmp_path, seed=2, runs=36)
