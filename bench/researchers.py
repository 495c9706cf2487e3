"""What several researchers bring: `python -m bench.researchers`.

Scripted agents think for so long, turn one knob, and run it on as many seeds as there are slots.
Two of three knobs help, each by the same, so that the best is known. Told are the share of the
slots' time that runs were using from the first iteration on, where the rest was lost, experiments
an hour, and how much of what helps is on the session's branch at its end.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.idle import CAUSES, lost
from bench.night import say
from bench.processes import BenchError, until
from bench.report import table_head, table_row
from bench.subjects import WildloopSubject, answer

PHASES = 4
SESSION_SECONDS = 6 * 3600.0
RUN = """\
for word in "$@"; do case $word in --seed=*) seed=${word#*=};; esac; done
sleep SECONDS
cat knobs/* | awk -v seed="$seed" '
    {turned[NR] = $1; code = code * 2 + $1}
    END {
        srand(seed * 1009 + code)
        score = 10 + 0.4 * (rand() - 0.5)
        for (n = 1; n <= NR; n++) score += n % 3 ? turned[n] : -turned[n]
        printf "score=%.4f\\n", score
    }'
"""
TOML = """\
[metric]
name = "score"
direction = "max"
"""
AGENT = '''\
"""Answers by script: thinks, turns the knob of its task, runs it."""
import os, pathlib, re, sys, time

prompt, kind = sys.stdin.read(), os.environ["WILDLOOP_PHASE"]
time.sleep(THINK)
if kind == "planning":
    print("<summary>planned</summary>\\n<plan>\\n" + pathlib.Path(PLAN).read_text() + "</plan>")
elif kind == "reflection":
    tasks = pathlib.Path(os.environ["WILDLOOP_TASKS_PATH"]).read_text()
    left = re.search(r"\\[[ /]\\] \\[P", tasks)
    word = "yes" if left else "no"
    print(f"<summary>on</summary><reflection>on</reflection><continue>{word}</continue>")
else:
    task = r"^`- \\[.\\] \\[(P\\d+-T\\d+)\\] (?:turn knob (\\d+))?"
    found = re.search(task, prompt, re.MULTILINE)
    tasks = pathlib.Path(os.environ["WILDLOOP_TASKS_PATH"])
    text = tasks.read_text()
    if found is None:
        print("<summary>nothing is left</summary><promise>DONE</promise>")
        raise SystemExit
    tasks.write_text(re.sub(rf"\\[.\\] \\[{found[1]}\\]", f"[x] [{found[1]}]", text))
    if found[2]:
        pathlib.Path("knobs", found[2]).write_text("1\\n")
    rows = "".join(
        f"- goal: seed {seed}\\n  command: bash run.sh\\n  parameters: {{seed: {seed}}}\\n"
        for seed in range(1, SEEDS + 1)
    )
    print(f"<summary>{found[0]}</summary>\\n<experiments>\\n{rows}</experiments>")
'''


@dataclass(frozen=True)
class Figures:
    """What one session has shown."""

    researchers: int
    share: float
    per_hour: float
    seconds: float
    runs: int
    right: int
    possible: int
    wrong: int
    lost: dict[str, float]

    @property
    def row(self) -> list[str]:
        """As a row of the table."""
        return [
            str(self.researchers),
            f"{self.share:.0%}",
            f"{self.per_hour:.0f}",
            f"{self.seconds / 60:.1f}",
            str(self.runs),
            f"{self.right} of {self.possible}",
            str(self.wrong),
            *(f"{self.lost[cause]:.1%}" for cause in CAUSES),
        ]


def plan(knobs: int) -> str:
    """A plan with a task for each knob, the baseline first; it keeps to the rules."""
    tasks = [
        "measure what is there",
        *(f"turn knob {number:02d}" for number in range(1, knobs + 1)),
    ]
    tasks += ["Ablation of the best"]
    parts = ["## Goal\n\nRaise the score.\n", "## Planning Notes\n\nNone.\n"]
    each = -(-len(tasks) // PHASES)
    for phase in range(1, PHASES + 1):
        mine = tasks[(phase - 1) * each : phase * each]
        gate = {2: "Reflection gate (midpoint)", 4: "Reflection gate (final)"}.get(phase)
        mine += [gate] if gate else []
        lines = [
            f"- [ ] [P{phase}-T{number}] {text} | deliverable: run.sh | done-when: it was run"
            for number, text in enumerate(mine, 1)
        ]
        parts.append("\n".join([f"## Phase {phase} - Part {phase}\n", *lines, ""]))
    contract = "Primary metric: score (max). Report the mean over seeds.\n"
    return "\n".join([*parts, "## Shared Metrics and Analytics Contract\n", contract])


def make_project(project: Path, scratch: Path, options: argparse.Namespace) -> None:
    """A git repository with its knobs, and the agent's files beside it."""
    scratch.mkdir()
    (scratch / "plan.md").write_text(plan(options.knobs), encoding="utf-8")
    head = f"THINK, SEEDS, PLAN = {options.think}, {options.slots}, {str(scratch / 'plan.md')!r}\n"
    (scratch / "agent.py").write_text(
        AGENT.replace("\nimport os", f"\n{head}import os", 1), "utf-8"
    )
    (project / "knobs").mkdir()
    for number in range(1, options.knobs + 1):
        (project / "knobs" / f"{number:02d}").write_text("0\n", encoding="utf-8")
    (project / "run.sh").write_text(RUN.replace("SECONDS", f"{options.run:g}"), encoding="utf-8")
    (project / "wildloop.toml").write_text(TOML, encoding="utf-8")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "begin")):
        subprocess.run(["git", "-C", str(project), *arguments], check=True)


def session(researchers: int, options: argparse.Namespace) -> Figures:
    """Carry one session out on a server of its own.

    Raises:
        BenchError: it has failed.
    """
    subject = WildloopSubject()
    try:
        project, scratch = subject.folder / "project", subject.folder / "agent"
        make_project(project, scratch, options)
        subject.start(options.slots)
        body = {
            "goal": "raise the score",
            "agent": f"command:{shlex.join([sys.executable, str(scratch / 'agent.py')])}",
            "keep": "better",
            "isolation": "snapshot",
            "researchers": researchers,
            "max_iterations": 4 * options.knobs,
        }
        api = subject.started_api
        id = answer(api.post("/wild/v2/start", json=body))["session_id"]

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = answer(api.get(f"/wild/v2/status?session_id={id}&history=all"))
            return found if found["status"] in ("completed", "failed", "stopped") else None

        found = until(ended, "the session ends", SESSION_SECONDS, 1.0)
        if found["status"] != "completed":
            raise BenchError(f"the session has {found['status']}: {found['error']}")
        runs = api.get(f"/runs?chat_session_id={id}&limit=1000").raise_for_status().json()
        if options.save is not None:
            text = json.dumps({"runs": runs, "history": found["history"]})
            (options.save / f"{researchers}.json").write_text(text, encoding="utf-8")
        return _figures(
            researchers, options, runs, found["history"], _knobs(project, found["branch"])
        )
    finally:
        subject.close()


def _knobs(project: Path, branch: str) -> list[int]:
    """The numbers of the knobs that are turned on a branch."""
    show = ["git", "-C", str(project), "grep", "-l", "^1$", branch, "--", "knobs"]
    out = subprocess.run(show, capture_output=True, text=True, check=False).stdout
    return [int(line.rpartition("/")[2]) for line in out.splitlines()]


def _figures(
    researchers: int,
    options: argparse.Namespace,
    runs: list[dict[str, Any]],
    calls: list[dict[str, Any]],
    turned: list[int],
) -> Figures:
    done = [run for run in runs if run["status"] == "finished"]
    begin = min(run["created_at"] for run in done) - options.think
    seconds = max(run["finished_at"] for run in done) - begin
    used = sum(run["finished_at"] - run["started_at"] for run in done)
    idle, all_slots = lost(done, calls, options.slots, begin), options.slots * seconds
    helping = [number for number in range(1, options.knobs + 1) if number % 3]
    return Figures(
        researchers=researchers,
        share=used / all_slots,
        per_hour=3600 * len(done) / seconds,
        seconds=seconds,
        runs=len(done),
        right=len(set(helping) & set(turned)),
        possible=len(helping),
        wrong=len(set(turned) - set(helping)),
        lost={cause: seconds / all_slots for cause, seconds in idle.items()},
    )


HEAD = ["researchers", "slot time used", "runs an hour", "minutes", "runs", "found", "wrong"]
LOST = [f"lost: {cause}" for cause in CAUSES]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each number of researchers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--researchers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--think", type=float, default=20.0, help="seconds of an agent's call")
    parser.add_argument("--run", type=float, default=10.0, help="seconds of a run")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--knobs", type=int, default=18, help="tasks beside baseline and ablation")
    parser.add_argument("--save", type=Path, help="a folder for the runs and calls as JSON")
    options = parser.parse_args(arguments)
    say(table_head([*HEAD, *LOST]))
    for number in options.researchers:
        say([table_row(session(number, options).row)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
