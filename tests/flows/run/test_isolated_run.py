"""A run with a snapshot, from its creation to its end, without a server."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.exceptions import ObjectNotFound

from tests.support.project import git, make_project
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.run import RunCreate, RunSpec
from wildloop.flows.run import checkout
from wildloop.flows.run.code import why_unknown
from wildloop.flows.run.control import RunControl
from wildloop.flows.run.execution import Execution
from wildloop.flows.run.launch_record import write_manifest
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.runs import RunStore


class Prefect:
    """Knows sessions by their isolation; their project is `project`."""

    def __init__(self, project: Path, **sessions: str) -> None:
        self.project = project
        self.sessions = sessions
        self.asked = 0

    async def read_flow_run(self, id: object) -> Any:
        self.asked += 1
        if str(id) not in self.sessions:
            raise ObjectNotFound(ValueError("no such flow run"))
        parameters = {"isolation": self.sessions[str(id)], "workdir": str(self.project)}
        return SimpleNamespace(id=id, parameters=parameters, tags=[LOOP_TAG])

    async def read_flow_runs(self, **_: object) -> list[Any]:
        return []

    async def read_task_run(self, _: object) -> Any:
        raise ObjectNotFound(ValueError("nothing that runs hang on to"))


ISOLATED, SHARED = str(uuid4()), str(uuid4())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "my projekt ü")
    (folder / "train.sh").write_text("echo score=1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "train")
    return folder


class Runs(RunStore):
    """Keeps what it would have Prefect create."""

    def __init__(self, project: Path) -> None:
        elsewhere = project.parent
        settings = Settings(home=project, server_url="http://x", token=None, workdir=elsewhere)
        client: Any = Prefect(project, **{ISOLATED: "snapshot", SHARED: "none"})
        super().__init__(client, settings)
        self.made: list[RunSpec] = []

    async def create_flow_runs(
        self, flow_name: str, drafts: Sequence[dict[str, Any]], *_: object
    ) -> None:
        self.made += [RunSpec.model_validate(one["parameters"]["spec"]) for one in drafts]


def body(session: str | None, **fields: Any) -> RunCreate:
    return RunCreate(name="r", command="bash train.sh", chat_session_id=session, **fields)


async def created(runs: Runs, *bodies: RunCreate) -> list[RunSpec]:
    """The specs of runs that are created together."""
    await runs.create_many({str(number): one for number, one in enumerate(bodies)})
    made, runs.made = runs.made, []
    return made


async def test_runs_take_folder_and_code_from_their_session(
    project: Path,
) -> None:
    runs = Runs(project)
    ids = [ISOLATED, SHARED, None, "another front end's", str(uuid4()), ISOLATED]
    made = await created(runs, *map(body, ids))
    assert [one.checkout is not None for one in made] == [True, *[False] * 4, True]
    assert made[0].checkout == made[5].checkout
    inside, outside = str(project), str(project.parent)
    assert [one.workdir for one in made] == [inside, inside, outside, outside, outside, inside]
    (project / "train.sh").write_text("echo score=2\n")
    (again,) = await created(runs, body(ISOLATED, checkout=made[0].checkout))
    assert again.checkout == made[0].checkout
    (later,) = await created(runs, body(ISOLATED))
    assert later.checkout != made[0].checkout


async def test_code_that_cannot_be_put_into_a_snapshot_is_refused(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidRequest, match=r"workdir: the code in .*plain' cannot be put"):
        await created(Runs(project), body(ISOLATED, workdir=str(tmp_path / "plain")))


async def test_it_executes_the_code_of_its_creation(project: Path) -> None:
    (project / "train.sh").write_text("echo score=2; echo x > left.ckpt\n")
    (spec,) = await created(Runs(project), body(ISOLATED))
    (project / "train.sh").write_text("echo score=3\n")
    run_id = str(uuid4())
    execution = Execution(spec, run_id, project, RunControl())
    status = await execution.begin()
    manifest = await write_manifest(execution, status)
    outcome = await execution.follow(status)
    assert (outcome.status, execution.paths.log.read_text()) == ("finished", "score=2\n")
    assert manifest.git_commit == git(project, "rev-parse", "HEAD").strip()
    assert manifest.snapshot is not None and spec.checkout is not None
    assert manifest.snapshot == spec.checkout.snapshot
    assert manifest.dirty and "+echo score=2" in execution.paths.patch.read_text()
    files = [name for name in git(project, "ls-files").split() if not name.endswith(".md")]
    texts = [(project / name).read_text() for name in files if not name.startswith(".git")]
    assert manifest.code_lines == sum(len(text.splitlines()) for text in texts)
    worktree = Path(manifest.worktree or "")
    assert worktree.parent == project / ".wild/worktrees"
    await checkout.release(project, run_id)
    assert [path.name for path in worktree.iterdir()] == ["left.ckpt"]
    assert git(project, "status", "--porcelain") == " M train.sh\n"


async def test_a_git_filter_that_changes_the_code_of_a_worktree_is_noted(project: Path) -> None:
    (spec,) = await created(Runs(project), body(ISOLATED))

    async def note(command: str) -> tuple[str, str]:
        execution = Execution(spec, str(uuid4()), project, RunControl())
        status = await execution.begin()
        await write_manifest(execution, status)
        await execution.follow(status)
        note = await why_unknown(execution)
        await checkout.release(project, execution.run_id)
        return execution.paths.log.read_text(), note

    assert await note("honest") == ("score=1\n", "")
    git(project, "config", "filter.better.smudge", "sed s/1/9/")
    (project / ".git/info").mkdir(exist_ok=True)
    (project / ".git/info/attributes").write_text("train.sh filter=better\n")
    log, told = await note("cheat")
    assert log == "score=9\n"
    assert "train.sh in its worktree is not what its commit has" in told
    (project / ".git/info/attributes").write_text("")
    hook = project / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n[ -e train.sh ] && sed -i s/1/8/ train.sh\n")
    hook.chmod(0o755)
    blob = git(project, "rev-parse", "HEAD:train.sh").strip()
    (project / "better.sh").write_text("echo score=7\n")
    git(project, "replace", blob, git(project, "hash-object", "-w", "better.sh").strip())
    assert await note("a hook, and a blob that stands for another") == ("score=1\n", "")
    # Ends of lines, and what only stands for the contents, are no cheat.
    (project / ".git/info/attributes").write_text("train.sh eol=crlf\n")
    assert (await note("other ends of lines"))[1] == ""
