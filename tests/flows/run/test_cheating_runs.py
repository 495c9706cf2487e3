"""Commands that cheat, from launch to what is believed of them, beside honest ones."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wildloop.flows.experiment import _believed, _finish_files
from wildloop.flows.guards.baseline import take_baseline
from wildloop.flows.guards.protected import ProtectedFiles
from wildloop.flows.guards.runs import RunGuard
from wildloop.flows.models.run import RunFacts, RunSpec
from wildloop.flows.run.control import RunControl
from wildloop.flows.run.execution import Execution, Outcome
from wildloop.flows.run.launch_record import write_manifest

KEPT = '"$WILDLOOP_RUN_DIR/e.py"'
CHEAT = "echo cheat > evaluate.py"
MOUNTED = f"echo cheat > {KEPT}; mount --bind {KEPT} evaluate.py; cat evaluate.py; sleep 1"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WILDLOOP_HOME", str(tmp_path / "home"))
    project = tmp_path / "my projekt ü"
    project.mkdir()
    (project / "evaluate.py").write_text("SCORE = 0.5\n")
    return project


async def ended(project: Path, command: str) -> tuple[Execution, Outcome, RunFacts]:
    """A run of a session that protects evaluate.py, as the experiment flow judges it."""
    home = project.parent / "home"
    spec = RunSpec(name="r", command=command, gpus=0)
    execution = Execution(spec, "r", project, RunControl())
    baseline = take_baseline(project, "s", ["evaluate.py"], home / "copies")
    execution.guard = RunGuard(ProtectedFiles(baseline, home / "copies", home / "aside"))
    status = await execution.begin()
    await write_manifest(execution, status)
    outcome = await _believed(execution, await execution.follow(status))
    facts, _, _ = _finish_files(execution.paths, outcome)
    return execution, outcome, facts


@pytest.mark.parametrize(
    "command",
    [
        f"cp -p evaluate.py {KEPT}; {CHEAT}; sleep 0.1; cp -p {KEPT} evaluate.py",
        f"mv evaluate.py {KEPT}; {CHEAT}; sleep 0.1; mv {KEPT} evaluate.py",
    ],
)
async def test_exchanged_evaluation_does_not_count(project: Path, command: str) -> None:
    execution, outcome, _ = await ended(project, command)
    assert outcome.status == "failed" and "does not count" in outcome.message
    assert any("'evaluate.py'" in text for text in execution.violations)


def may_mount() -> bool:
    words = ["unshare", "-m", "true"]
    return shutil.which("unshare") is not None and not subprocess.run(words, check=False).returncode


@pytest.mark.skipif(not may_mount(), reason="no mount namespace of one's own here")
async def test_mount_that_only_the_run_sees_is_found(project: Path) -> None:
    execution, outcome, _ = await ended(project, f"unshare -m bash -c '{MOUNTED}'")
    if "cheat" not in execution.paths.log.read_text():
        pytest.skip("mounting is not allowed here")
    assert outcome.status == "failed" and "'evaluate.py'" in outcome.message


async def test_honest_run_is_accused_of_nothing(project: Path) -> None:
    (project / "notes.ipynb").write_text("{}")
    honest = "python3 -c 'import evaluate; print(evaluate.SCORE)'; mkdir out; echo x > out/model"
    line = """printf '{"step": 1, "loss": 0.5}\\n' >> "$WILDLOOP_RUN_DIR/metrics.jsonl" """
    execution, outcome, facts = await ended(project, f"{honest}; {line}")
    assert (outcome.status, execution.violations) == ("finished", [])
    assert facts.metrics == '{"loss": 0.5}' and facts.sealed
    assert not execution.paths.bytecode.exists()
    assert execution.paths.root.stat().st_mode & 0o777 == 0o700
