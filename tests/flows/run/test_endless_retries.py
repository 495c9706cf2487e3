"""How often a run is tried again."""

from pathlib import Path

import pytest

from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import GpuWrapConfig, RunSpec
from wildloop.flows.run.attempts import Attempt, retry_after


@pytest.mark.parametrize(("retries", "number", "follows"), [(2, 1, True), (2, 2, False)])
def test_want_of_a_gpu_is_tried_so_often(
    tmp_path: Path, retries: int, number: int, follows: bool
) -> None:
    assert _tried(tmp_path, retries, number) is follows


@pytest.mark.parametrize("number", [0, 1, 5000])
def test_minus_one_is_as_often_as_it_takes(tmp_path: Path, number: int) -> None:
    assert _tried(tmp_path, -1, number)


def _tried(folder: Path, retries: int, number: int) -> bool:
    spec = RunSpec(name="r", command="c", gpuwrap_config=GpuWrapConfig(retries=retries))
    paths = RunPaths(folder)
    paths.log.write_text("torch.OutOfMemoryError: CUDA out of memory.\n")
    attempt = Attempt(number=number, log_offset=0, moved=True)
    return retry_after(spec, attempt, paths, 1, 2.0) is not None
