"""Keep or discard in a real repository, on a session that may die at any save."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from flows.git import commit_all
from flows.keep import settle as module
from flows.keep.ledger import read_ledger
from flows.keep.settle import begin_change, flag_edits, settle
from flows.models.run import Run, RunStatus
from flows.models.session_record import IterationRecord, Phase, SessionRecord
from flows.paths import SessionPaths
from flows.project import KeepConfig, MetricConfig, ProjectConfig
from tests.support.project import git, make_project


@pytest.fixture(autouse=True)
def no_flow_run() -> Iterator[None]:
    with disable_run_logger():
        yield


class Crash(Exception):
    """The worker dies."""


class Bench:
    """A session as far as keep or discard sees it; `saved` is what a next worker reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_project(folder)
        (folder / "train.py").write_text("start\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "code")
        self.runs: list[Run] = []
        self.active: list[Run] = []
        self.saved = SessionRecord(
            session_id="s", base_commit=git(folder, "rev-parse", "HEAD").strip()
        )
        self.saves_left = -1
        self.project: ProjectConfig | None = ProjectConfig(
            metric=MetricConfig(name="score"), keep=KeepConfig(spare=["exp"])
        )
        self.take_up()

    def take_up(self) -> Any:
        """A worker begins, or a new one takes the session up."""
        self.saves_left = -1
        record = self.saved.model_copy(deep=True)

        async def all_runs() -> list[Run]:
            return self.runs

        async def active_runs() -> list[Run]:
            return self.active

        async def enter(phase: Phase) -> None:
            record.phase = phase

        async def save() -> None:
            self.saves_left -= 1
            if self.saves_left == 0:
                raise Crash
            self.saved = record.model_copy(deep=True)

        self.session = SimpleNamespace(
            id="s",
            workdir=self.folder,
            spec=SimpleNamespace(keep="better", keep_alpha=0.05),
            project=self.project,
            paths=SessionPaths.of(self.folder, "s"),
            record=record,
            all_runs=all_runs,
            active_runs=active_runs,
            enter=enter,
            save=save,
            plan_text=lambda: "",
        )
        return self.session

    async def iterate(self, index: int, text: str | None, *scores: float | None) -> None:
        """An iteration that writes `text` into train.py, and runs it on as many seeds."""
        session: Any = self.session
        await begin_change(session, index)
        record = IterationRecord(index=index, started_at=index, summary=f"step {index}")
        if text is not None:
            (self.folder / "train.py").write_text(text)
        for seed, score in enumerate(scores):
            id = f"r{index}-{seed}"
            record.run_ids.append(id)
            self.runs.append(
                Run(
                    id=id,
                    name=id,
                    command="python train.py",
                    workdir=str(self.folder),
                    status=RunStatus.FAILED if score is None else RunStatus.FINISHED,
                    seed=seed,
                    created_at=len(self.runs),
                    run_dir=str(self.folder / ".wild/runs" / id),
                    metrics={} if score is None else {"score": score},
                )
            )
        record.commit = (await commit_all(self.folder, f"iteration {index}")).commit
        await flag_edits(session, record)
        session.record.iterations.append(record)
        await session.save()

    async def settle(self) -> None:
        await settle(self.session)

    @property
    def rows(self) -> list[dict[str, str]]:
        return read_ledger(SessionPaths.of(self.folder, "s").results.read_text())

    @property
    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows]

    @property
    def code(self) -> str:
        return (self.folder / "train.py").read_text()

    @property
    def taken_back(self) -> int:
        return git(self.folder, "log", "--format=%s").count("its change is taken back")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "a project")


async def test_an_iteration_without_change_or_run_leaves_no_row(bench: Bench) -> None:
    await bench.iterate(1, None)
    await bench.settle()
    assert bench.saved.keep.verdicts == []


async def test_parameters_alone_change_the_ledger_and_no_file(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, None, 0.60, 0.61, 0.62)
    for run in bench.runs[3:]:
        run.parameters["lr"] = 9
    await bench.settle()
    assert (bench.statuses, bench.taken_back) == (["keep", "discard"], 0)
    assert bench.rows[1]["configuration"] == "python train.py [lr=9]"


@pytest.mark.parametrize("save", range(1, 4))
async def test_a_worker_that_dies_at_any_save_is_followed_up_once(bench: Bench, save: int) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, "worse\n", 0.60, 0.61, 0.62)
    bench.saves_left = save
    try:
        await bench.settle()
    except Crash:
        bench.take_up()
        await bench.settle()
    await bench.settle()
    assert bench.statuses == ["keep", "discard"]
    assert (bench.code, bench.taken_back) == ("start\n", 1)
    taken = git(bench.folder, "log", "--format=%H", "--grep=is taken back").strip()
    assert bench.rows[1]["reverted_by"] == taken[:12]
    log = bench.session.paths.log.read_text()
    assert log.count("## iteration-02: discard") == 1
    assert git(bench.folder, "status", "--porcelain") == ""


async def test_a_worker_that_dies_after_the_revert_finds_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, "worse\n", 0.60, 0.61, 0.62)
    with monkeypatch.context() as patched:

        def dies(*_: object) -> None:
            raise Crash

        patched.setattr(module, "write_ledger", dies)
        with pytest.raises(Crash):
            await bench.settle()
    bench.take_up()
    await bench.settle()
    assert (bench.statuses, bench.taken_back) == (["keep", "discard"], 1)
    assert bench.rows[1]["reverted_by"]


async def test_what_the_user_left_uncommitted_is_not_the_iterations(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    (bench.folder / "mine.txt").write_text("mine\n")
    (bench.folder / "exp").mkdir()
    await begin_change(bench.session, 2)  # type: ignore[arg-type]
    (bench.folder / "exp/notes.md").write_text("spared\n")
    await bench.iterate(2, "worse\n", 0.60, 0.61, 0.62)
    await bench.settle()
    assert bench.code == "start\n"
    assert (bench.folder / "mine.txt").exists() and (bench.folder / "exp/notes.md").exists()


async def test_git_that_refuses_is_told_and_the_decision_stands(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, "worse\n", 0.60, 0.61, 0.62)
    merging = bench.folder / ".git/MERGE_HEAD"
    merging.write_text(git(bench.folder, "rev-parse", "HEAD"))
    await bench.settle()
    assert bench.statuses == ["keep", "discard"]
    assert "merge is under way" in bench.rows[1]["warnings"]
    assert bench.code == "worse\n"
    merging.unlink()
    await bench.iterate(3, "better\n", 0.90, 0.91, 0.92)
    await bench.settle()
    assert (bench.statuses[-1], bench.code) == ("keep", "better\n")


async def test_without_a_primary_metric_nothing_is_taken_back(bench: Bench) -> None:
    bench.project = None
    bench.take_up()
    await bench.iterate(1, "a change\n", 0.5)
    await bench.settle()
    assert (bench.statuses, bench.code) == (["keep"], "a change\n")
    assert bench.rows[0]["why"].startswith("not measured: no primary metric")
    assert "no primary metric" in bench.rows[0]["warnings"]


async def test_unmeasured_changes_stay_and_are_told_of_with_the_next(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, "unmeasured\n")
    await bench.settle()
    await bench.iterate(3, "worse\nseed = 3\n", 0.60, 0.61, 0.62)
    await bench.settle()
    assert (bench.statuses, bench.code) == (["keep", "keep", "discard"], "unmeasured\n")
    assert "iteration-02 were not measured" in bench.rows[2]["warnings"]
    assert "seed edited" in bench.rows[2]["warnings"]


async def test_a_steer_while_its_runs_run_gives_the_iteration_another_call(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steered(*_: object) -> str:
        return "a steer arrived"

    monkeypatch.setattr(module, "wait_for_runs", steered)
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    bench.active = bench.runs[:1]
    await bench.settle()
    assert bench.saved.awaiting_turn and bench.saved.keep.verdicts == []
    bench.active = []
    bench.session.record.awaiting_turn = False
    await bench.settle()
    assert bench.statuses == ["keep"]
