"""Reports of every way in which a session may end, without a server.

`python -m tests.support.report_cases FOLDER` writes their pages; where Chromium is installed, it
takes pictures of them too, in both widths and on light and dark paper.
"""

import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.changes import Night
from tests.support.reporting import make_facts, make_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.target import target_of
from wildloop.flows.keep.standing import calls_of
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.evidence import Estimate
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.sealed import SealedReport, SealedValue
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.build import build
from wildloop.flows.report.facts import ReportFacts

LOSS = MetricConfig(name="val_loss", direction="min")
GOAL = "Get val_loss below 0.45 and say what matters"
COMMAND = "python train.py"
OWN = "session-1:confirm"
WIDTHS = (1400, 390)


class Maker:
    """Runs of a made-up project, with series of their metric in `folder`.

    Args:
        folder: for the runs.
        spread: of the metric between seeds.
    """

    def __init__(self, folder: Path, spread: float = 0.015) -> None:
        self.folder, self.spread, self.runs = folder, spread, list[Run]()
        self.own: list[Run] = []
        self._random = random.Random(7)

    def add(self, mean: float | None, seeds: Sequence[int], **settings: Any) -> list[Run]:
        """One configuration on these seeds; without a mean, all of them fail."""
        status = settings.pop("status", None)
        name, own = settings.pop("name", None), settings.pop("own", False)
        made = []
        for seed in seeds:
            number = len(self.runs) + len(self.own) + len(made) + 1
            value = None if mean is None else round(mean + self._random.gauss(0, self.spread), 6)
            failed = status or RunStatus.FAILED
            run = make_run(
                number,
                parameters=settings,
                seed=seed,
                name=f"{name or 'run'}-{number}",
                status=RunStatus.FINISHED if value is not None else failed,
                error=None if value is not None else "CUDA out of memory",
                exit_code=0 if value is not None else 1,
                metrics={} if value is None else {"val_loss": value},
                started_at=1000.0 + 7 * number,
                finished_at=1006.5 + 7 * number,
                created_at=1000.0 + 7 * number,
                code="c0de" * 10,
                git_commit="5eed" * 10,
                run_dir=str(self.folder / str(number)),
                chat_session_id=OWN if own else "session-1",
            )
            if value is not None:
                self._series(Path(run.run_dir), value)
            made.append(run)
        (self.own if own else self.runs).extend(made)
        return made

    def _series(self, folder: Path, last: float) -> None:
        folder.mkdir(parents=True)
        lines = [
            f'{{"step": {step}, "val_loss": {last * (1 + 2.2 * math.exp(-step / 7)):.6g}}}'
            for step in range(1, 41)
        ]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def facts(
        self,
        metric: MetricConfig | None = LOSS,
        contract: dict[str, Any] | None = None,
        **session: Any,
    ) -> ReportFacts:
        """What a report of these runs is made from."""
        size = max(1, -(-len(self.runs) // 6))
        groups = [self.runs[n : n + size] for n in range(0, len(self.runs), size)]
        calls = [
            IterationRecord(
                index=n,
                started_at=1000.0,
                finished_at=1060.0,
                summary=f"Tried {len(group)} more",
                run_ids=[run.id for run in group],
                cost_usd=0.0,
            )
            for n, group in enumerate(groups, 1)
        ]
        now = 1020.0 + 7 * (len(self.runs) + len(self.own))
        given = {"goal": GOAL, "iterations": calls, "now": now, "ended": "all tasks are closed"}
        facts = make_facts(self.runs, metric, session=given | session)
        facts.own = self.own
        fixed: dict[str, Any] = {
            "baseline": {"lr": 0.003, "width": 32, "depth": 2},
            "command": COMMAND,
            "is_guarded": True,
            "confirms": bool(self.own),
            "target": target_of(GOAL, "min") if metric else None,
        }
        facts.account = Account(
            [*self.runs, *self.own],
            Contract(metric, **(fixed | (contract or {}))),
            None,
            calls_of(facts.session.iterations),
        )
        return facts


BASE = {"lr": 0.003, "width": 32, "depth": 2}


def won(make: Maker) -> ReportFacts:
    """Confirmed, with an ablation, failures, one outlier and candidates."""
    make.add(0.963, [0, 1, 2], **BASE)
    for lr, width, depth, mean in (
        (0.01, 32, 2, 0.71), (0.03, 32, 2, 0.52), (0.1, 32, 2, 6.9), (0.03, 64, 2, 0.47),
        (0.03, 64, 3, 0.455), (0.01, 64, 3, 0.61), (0.03, 128, 3, 0.43), (0.02, 128, 4, 0.44),
        (0.001, 128, 4, 1.31), (0.03, 96, 3, 0.445),
    ):  # fmt: skip
        make.add(mean, [0], lr=lr, width=width, depth=depth)
    make.add(None, [0], lr=0.3, width=64, depth=2)
    make.add(None, [0], lr=0.5, width=128, depth=3)
    make.add(0.418, [0, 1, 2], lr=0.03, width=128, depth=4)
    make.add(0.52, [0, 1, 2], lr=0.03, width=32, depth=4, name="ablation")
    make.add(0.80, [0, 1, 2], lr=0.003, width=128, depth=4, name="ablation")
    make.add(0.425, [0, 1, 2], lr=0.03, width=128, depth=2, name="ablation")
    make.add(0.419, [1001, 1002, 1003], lr=0.03, width=128, depth=4, own=True)
    make.add(0.965, [1001, 1002, 1003], **BASE, own=True)
    return make.facts()


def nothing_better(make: Maker) -> ReportFacts:
    """A search that came to nothing."""
    make.spread = 0.05
    make.add(0.80, [0, 1, 2], **BASE)
    for number, mean in enumerate((0.83, 0.79, 0.86, 0.81, 0.84)):
        make.add(mean, [0, 1], lr=0.001 * (number + 4), width=32, depth=2)
    return make.facts()


def failed_baseline(make: Maker) -> ReportFacts:
    """The baseline has no value, others have."""
    make.add(None, [0, 1], **BASE)
    make.add(0.61, [0, 1, 2], lr=0.01, width=32, depth=2)
    make.add(0.55, [0], lr=0.03, width=64, depth=2)
    return make.facts()


def all_failed(make: Maker) -> ReportFacts:
    """Nothing has a value."""
    make.add(None, [0, 1], **BASE)
    make.add(None, [0], lr=0.03, width=64, depth=2)
    return make.facts(ended="nothing was measured (all tasks are closed)")


def one_run(make: Maker) -> ReportFacts:
    """The baseline, once."""
    make.add(0.963, [0], **BASE)
    return make.facts()


def deterministic(make: Maker) -> ReportFacts:
    """A metric without any spread."""
    make.spread = 0.0
    make.add(0.9, [0, 1, 2], **BASE)
    make.add(0.55, [0, 1], lr=0.03, width=32, depth=2)
    make.add(0.44, [0], lr=0.03, width=64, depth=2)
    return make.facts()


def tie(make: Maker) -> ReportFacts:
    """Two that are as good as each other."""
    make.spread = 0.0
    make.add(0.9, [0, 1, 2], **BASE)
    make.add(0.44, [0, 1], lr=0.03, width=32, depth=2)
    make.add(0.44, [0, 1], lr=0.03, width=64, depth=2)
    return make.facts()


def no_metric(make: Maker) -> ReportFacts:
    """Nothing to compare by."""
    make.add(0.9, [0, 1], **BASE)
    return make.facts(metric=None)


def stopped_early(make: Maker) -> ReportFacts:
    """Stopped by its user while a run went on."""
    make.add(0.963, [0, 1, 2], **BASE)
    make.add(0.71, [0, 1, 2], lr=0.01, width=32, depth=2)
    make.add(None, [0], lr=0.03, width=32, depth=2, status=RunStatus.STOPPED)
    return make.facts(ended="stopped by the user")


def sealed(make: Maker) -> ReportFacts:
    """What was confirmed has a value on sealed data."""
    facts = won(make)
    best, base = facts.account.best, facts.account.baseline
    assert best is not None and base is not None
    values = [
        SealedValue(
            configuration=one.id, label=one.label, role=role, value=value, half_width=0.02, runs=3,
            validation=one.compared or Estimate(),
        )
        for role, one, value in (("baseline", base, 0.97), ("best", best, 0.437))
    ]  # fmt: skip
    told = SealedReport(values=values, asked=2)
    return make.facts(sealed=told)


def branched(make: Maker) -> ReportFacts:
    """Changes kept and taken back; the best began with one that had been taken back."""
    seeds = (-0.004, 0.005, 0.0, 0.002)
    night = Night()

    def change(mean: float | None, say: str, start: str = "", **more: Any) -> None:
        values = [None] if mean is None else [round(mean + one, 6) for one in seeds]
        declared = Change(kind=ChangeKind.ARCHITECTURE, text=say)
        night.iteration(values, start=start, change=declared, **more)

    change(0.80, "the baseline", code="code-0")
    change(0.799, "wider embedding")
    change(0.86, "layer norm before the attention")
    change(None, "twice the batch")
    change(0.84, "dropout of a tenth")
    change(0.855, "cosine schedule with a warm-up of a twentieth of all steps")
    change(0.91, "wider embedding with layer norm", "iteration-02")
    change(0.905, "tied weights")
    change(0.93, "cosine schedule on the wide one", "iteration-08")
    change(0.88, "no bias")
    facts = make_facts(
        night.runs,
        MetricConfig(name="score"),
        session={"keeps": True, "kept": night.state, "iterations": night.records},
    )
    facts.account = night.account
    return facts


CASES: dict[str, Callable[[Maker], ReportFacts]] = {
    one.__name__: one
    for one in (
        won, nothing_better, failed_baseline, all_failed, one_run, deterministic, tie, no_metric,
        stopped_early, sealed, branched,
    )
}  # fmt: skip


def facts_of(name: str, folder: Path) -> ReportFacts:
    """The facts of one case; its runs lie in `folder`."""
    return CASES[name](Maker(folder / "runs"))


def write_page(name: str, folder: Path) -> Path:
    """The page of one case."""
    report = build(facts_of(name, folder), folder)
    (folder / "report.md").write_text(report.markdown, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(report.html, encoding="utf-8")
    return page


def take_picture(page: Path, width: int, height: int = 1600, *, is_dark: bool = False) -> Path:
    """A picture of a page by Chromium, which has to be installed."""
    picture = page.with_name(f"{page.parent.name}-{width}{'-dark' * is_dark}.png")
    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if is_dark else []
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        *dark,
    ]
    # Chromium has no window below 500 pixels: a frame of the width makes the page so narrow.
    target = page
    if width < 500:
        target = page.with_name("frame.html")
        scheme = "dark" if is_dark else "light"
        target.write_text(
            f"<style>html{{color-scheme:{scheme}}}body{{margin:0}}</style>"
            f'<iframe src="report.html" width={width} height={height} style="border:0">',
            encoding="utf-8",
        )
    size = f"--window-size={max(width, 500)},{height}"
    done = subprocess.run(
        [*command, size, f"--screenshot={picture}", target.as_uri()], capture_output=True, text=True
    )
    assert picture.is_file(), done.stderr
    return picture


def main() -> None:
    """All pages, and their pictures where there is a browser."""
    root = Path(sys.argv[1])
    for name in CASES:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        page = write_page(name, folder)
        for width in WIDTHS if shutil.which("chromium") else ():
            for is_dark in (False, True):
                take_picture(page, width, is_dark=is_dark)
        sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
