"""Two runs beside one another."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import git, make_project
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.comparison import compare_runs
from wildloop.shim.metrics import MetricsReader


def run_in(project: Path, name: str, note: dict[str, Any], **fields: Any) -> Run:
    """A run with a folder that holds a manifest and metrics."""
    folder = project / ".wild" / "runs" / name
    folder.mkdir(parents=True)
    body = {
        "run_id": name,
        "name": name,
        "command": "true",
        "workdir": str(project),
        "host": "h",
        "python": "3",
        "platform": "p",
        "started_at": 1.0,
    }
    (folder / "manifest.json").write_text(json.dumps(body | note))
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    given = {
        "id": name,
        "name": name,
        "command": "python train.py",
        "workdir": str(project),
        "status": RunStatus.FINISHED,
        "created_at": 1.0,
        "run_dir": str(folder),
    }
    return Run.model_validate(given | fields)


async def test_what_differs_is_told_by_group(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    before = git(project, "rev-parse", "HEAD").strip()
    (project / "train.py").write_text("print(1)\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "change")
    after = git(project, "rev-parse", "HEAD").strip()
    lists = project / ".wild" / "environments"
    lists.mkdir(parents=True)
    (lists / f"{'a' * 16}.txt").write_text("numpy==1\nsame==1\n")
    (lists / f"{'b' * 16}.txt").write_text("numpy==2\nsame==1\n")
    first = run_in(
        project,
        "one",
        {"tree": before, "environment": {"hash": "a" * 64}},
        parameters={"lr": 0.1, "width": 8},
        code="c1",
    )
    second = run_in(
        project,
        "two",
        {"tree": after, "environment": {"hash": "b" * 64}},
        parameters={"lr": 0.2, "width": 8},
        code="c2",
        seed=3,
    )
    found = await compare_runs(first, second, MetricsReader())
    differing = {(one.group, one.name): (one.first, one.second) for one in found.differing}
    assert differing[("parameters", "lr")] == (0.1, 0.2)
    assert differing[("parameters", "seed")] == (None, 3)
    assert differing[("environment", "package numpy")] == ("1", "2")
    assert ("environment", "package same") not in differing
    assert ("parameters", "width") not in differing and ("metrics", "loss") not in differing
    assert not found.is_same_configuration
    assert "+print(1)" in found.code.diff and found.code.stat
    assert len(found.shown(1)) < len(found.differing)


async def test_seeds_of_one_configuration_are_told_as_such(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    runs = [
        run_in(project, f"r{seed}", {}, code="c", seed=seed, command=f"t.py --seed={seed}")
        for seed in (0, 1)
    ]
    found = await compare_runs(*runs, MetricsReader())
    assert found.is_same_configuration and found.code.note == "The same files ran."


@pytest.mark.parametrize("tree", ["--output=stolen", "HEAD", "", "abc; rm x"])
async def test_a_manifest_cannot_give_git_options(tmp_path: Path, tree: str) -> None:
    project = make_project(tmp_path / "project")
    runs = [run_in(project, name, {"tree": tree}, code=name) for name in ("one", "two")]
    found = await compare_runs(*runs, MetricsReader())
    assert found.code.diff == "" and "not noted" in found.code.note
    assert not list(tmp_path.rglob("stolen"))


async def test_a_link_in_place_of_a_package_list_is_not_followed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    secret = tmp_path / "secret"
    secret.write_text("token==geheim\n")
    lists = project / ".wild" / "environments"
    lists.mkdir(parents=True)
    (lists / f"{'a' * 16}.txt").symlink_to(secret)
    note = {"environment": {"hash": "a" * 64}}
    runs = [run_in(project, name, note, code=name) for name in ("one", "two")]
    assert "geheim" not in (await compare_runs(*runs, MetricsReader())).model_dump_json()


async def test_runs_without_a_manifest_are_compared_by_what_is_known(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    runs = [run_in(project, name, {}, code=name) for name in ("one", "two")]
    for run in runs:
        (Path(run.run_dir) / "manifest.json").unlink()
    found = await compare_runs(*runs, MetricsReader())
    assert [one.name for one in found.differing] == ["files that ran"]
    assert "not noted" in found.code.note
