"""What the end of a command is called, from its exit code and the end of its log."""

from pathlib import Path

import pytest

from wildloop.blocks.launchers.base import ProcessState, ProcessStatus
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run.control import RunControl
from wildloop.flows.run.execution import LOST, Execution, Outcome

KILLED = "slurmstepd-n1: error: StepId=73.batch exceeded memory limit (330903552 > 104857600), "


def outcome(folder: Path, log: str, **status: object) -> Outcome:
    """The outcome of a command with this log that ended so."""
    spec = RunSpec(name="r", command="true")
    execution = Execution(spec, "r1", folder, RunControl())
    execution.paths.log.parent.mkdir(parents=True)
    execution.paths.log.write_text(log)
    return execution.outcome_of(ProcessStatus.model_validate(status))


@pytest.mark.parametrize(
    ("log", "code", "message"),
    [
        ("epoch 1\n", 0, "exit code 0"),
        ("epoch 1\n\x1b[31mno such file\n\n", 3, "exit code 3: [31mno such file"),
        ("", 1, "exit code 1"),
        (
            f"epoch 1\n{KILLED}being killed\n",
            137,
            f"OUT_OF_MEMORY (exit code 137): {KILLED}being killed",
        ),
    ],
)
def test_end_with_an_exit_code(tmp_path: Path, log: str, code: int, message: str) -> None:
    ended = outcome(tmp_path, log, state=ProcessState.EXITED, exit_code=code)
    assert (ended.message, ended.exit_code) == (message, code)
    assert ended.status == ("finished" if code == 0 else "failed")


@pytest.mark.parametrize(
    ("log", "reason", "message"),
    [
        ("", None, LOST),
        ("", "NODE_FAIL", "NODE_FAIL: its node failed, and Slurm was not to run it again"),
        ("", "FAILED, signal 9", "lost: FAILED, signal 9"),
        (
            f"{KILLED}being killed\n",
            "FAILED",
            "OUT_OF_MEMORY (FAILED): it used more memory than asked for: raise `memory`",
        ),
    ],
)
def test_end_without_an_exit_code(
    tmp_path: Path, log: str, reason: str | None, message: str
) -> None:
    ended = outcome(tmp_path, log, state=ProcessState.LOST, reason=reason)
    assert (ended.status, ended.message, ended.exit_code) == ("failed", message, None)
