"""Keep or discard in a real repository, on a session that may die at any save."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from tests.support.project import git, make_project
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.git.code import code_digest, code_of_tree
from wildloop.flows.git.repository import commit_all
from wildloop.flows.keep.ledger import read_ledger
from wildloop.flows.loop import decided
from wildloop.flows.loop import settle as module
from wildloop.flows.loop.settle import begin_change, flag_edits, settle
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.project import ChecksConfig, KeepConfig, MetricConfig, ProjectConfig
from wildloop.flows.run.control import RunControl
from wildloop.flows.session.position import Position
from wildloop.flows.store.run_filter import RunFilter

NO_CLIENT: Any = None


@pytest.fixture(autouse=True)
def no_flow_run() -> Iterator[None]:
    with disable_run_logger():
        yield


class Crash(Exception):
    """The worker dies."""


class Saved(Position):
    """A position that is saved to `bench`, which may have the worker die of it."""

    def __init__(self, bench: "Bench") -> None:
        spec = SessionSpec(goal="g", workdir=str(bench.folder), keep="better")
        super().__init__(NO_CLIENT, spec, bench.saved.model_copy(deep=True))
        self.bench = bench

    async def save(self) -> None:
        self.bench.saves_left -= 1
        if self.bench.saves_left == 0:
            raise Crash
        self.bench.saved = self.record.model_copy(deep=True)

    def plan_text(self) -> str:
        return ""


class Bench:
    """A session as far as keep or discard sees it; `saved` is what a next worker reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_project(folder)
        (folder / "train.py").write_text("start\n")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "code")
        self.runs: list[Run] = []
        self.running: list[Run] = []
        self.saved = SessionRecord(
            session_id="s", base_commit=git(folder, "rev-parse", "HEAD").strip()
        )
        self.saves_left = -1
        self.project: ProjectConfig | None = ProjectConfig(
            metric=MetricConfig(name="score"), keep=KeepConfig(spare=["exp"])
        )
        self.take_up()

    def take_up(self) -> None:
        """A worker begins, or a new one takes the session up."""
        self.saves_left = -1
        self.position = Saved(self)
        self.work: Any = SimpleNamespace(
            position=self.position,
            project=self.project,
            stores=SimpleNamespace(runs=self),
            control=RunControl(),
            line=asyncio.Lock(),
            merge=None,
            desks=[],
        )

    async def all(self, chat_session_id: str) -> list[Run]:
        return self.runs

    async def active(self, wanted: RunFilter) -> list[Run]:
        return self.running

    async def iterate(self, index: int, text: str | None, *scores: float | None) -> None:
        """An iteration that writes `text` into train.py, and runs it on as many seeds."""
        await begin_change(self.position, index)
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
                    variables=["SEED"],
                    created_at=len(self.runs),
                    run_dir=str(self.folder / ".wild/runs" / id),
                    metrics={} if score is None else {"score": score},
                )
            )
        record.commit = (await commit_all(self.folder, f"iteration {index}")).commit
        files = await code_of_tree(self.folder, "HEAD", "python train.py")
        for run in self.runs[-len(scores) :] if scores else []:
            run.code = code_digest(files)
        await flag_edits(self.folder, record)
        self.position.record.iterations.append(record)
        await self.position.save()

    async def settle(self) -> None:
        await settle(self.work)

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
    log = bench.position.paths.log.read_text()
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

        patched.setattr(decided, "write_ledger", dies)
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
    await begin_change(bench.position, 2)
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
    bench.running = bench.runs[:1]
    await bench.settle()
    assert bench.saved.awaiting_turn and bench.saved.keep.verdicts == []
    bench.running = []
    bench.position.record.awaiting_turn = False
    await bench.settle()
    assert bench.statuses == ["keep"]


async def test_each_code_is_compared_by_its_own_seeds(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.84, 0.76)
    await bench.settle()
    old = bench.runs[0].code
    await bench.iterate(2, "better\n", 0.98, 1.02, 0.94, 1.0, 0.96)
    # The best's own code got two more seeds before the edit.
    extra = [
        run.model_copy(update={"id": f"old-{n}", "seed": 3 + n, "code": old, "metrics": metrics})
        for n, (run, metrics) in enumerate(
            zip(bench.runs[:2], ({"score": 0.82}, {"score": 0.78}), strict=True)
        )
    ]
    bench.runs += extra
    bench.position.record.iterations[-1].run_ids += [run.id for run in extra]
    await bench.settle()
    row = bench.rows[1]
    assert (row["status"], row["n"], row["best_n"]) == ("keep", "5", "5")
    assert (row["metric"], row["best_mean"], bench.code) == ("0.98", "0.8", "better\n")


async def test_code_that_was_mended_in_the_iteration_does_not_count(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.84, 0.76)
    await bench.settle()
    await bench.iterate(2, "mended\n", 0.81, 0.85, 0.77, 9.0, 9.1)
    for run in bench.runs[-2:]:
        run.code, run.seed = "faulty", 0
    await bench.settle()
    assert (bench.statuses, bench.code) == (["keep", "discard"], "start\n")
    assert bench.rows[1]["metric"] == "0.81"
    assert "other code than this iteration has left" in bench.rows[1]["warnings"]


async def test_runs_whose_code_changed_meanwhile_are_not_compared(bench: Bench) -> None:
    await bench.iterate(1, None, 0.80, 0.84, 0.76)
    await bench.settle()
    await bench.iterate(2, "better\n", 0.98, 1.02, 0.94)
    for run in bench.runs[-3:]:
        run.code_note = "train.py changed while it ran"
    await bench.settle()
    assert bench.rows[1]["why"].startswith("not measured")
    assert "ran unknown code" in bench.rows[1]["warnings"]


async def test_a_change_that_breaks_a_guard_is_not_kept_however_good(bench: Bench) -> None:
    metric = MetricConfig(name="score", guards=["latency_ms no more than the baseline's by 10 %"])
    bench.project = ProjectConfig(metric=metric)
    bench.take_up()
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    for run in bench.runs:
        run.metrics["latency_ms"] = 10.0
    await bench.settle()
    await bench.iterate(2, "slow\n", 0.90, 0.91, 0.92)
    for run in bench.runs[3:]:
        run.metrics["latency_ms"] = 12.0
    await bench.settle()
    assert bench.statuses == ["keep", "discard"]
    assert bench.rows[1]["why"].startswith("breaks a guard (latency_ms no more than the baseline")
    assert "12, the bound is 11" in bench.rows[1]["why"]
    assert bench.code == "start\n"


async def test_a_change_that_fails_the_projects_checks_is_not_kept(bench: Bench) -> None:
    bench.project = ProjectConfig(
        metric=MetricConfig(name="score"),
        checks=ChecksConfig(commands=["! grep -q wrong train.py"]),
    )
    bench.take_up()
    await bench.iterate(1, None, 0.80, 0.81, 0.82)
    await bench.settle()
    await bench.iterate(2, "wrong\n", 0.90, 0.91, 0.92)
    await bench.settle()
    await bench.iterate(3, "right\n", 0.90, 0.91, 0.92)
    await bench.settle()
    assert bench.statuses == ["keep", "discard", "keep"]
    assert bench.rows[1]["why"].startswith("a check of the project: `! grep -q wrong train.py`")
    assert bench.code == "right\n"
