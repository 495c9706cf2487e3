"""Anything is killed, again and again: each run has one true outcome, and ran once."""

from pathlib import Path

import pytest

from tests.support.chaos import check_survival

pytestmark = pytest.mark.e2e


def test_runs_survive_random_kills(tmp_path: Path) -> None:
    check_survival(tmp_path, seed=1, runs=24)
