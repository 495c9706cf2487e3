"""A long session: `python -m bench.night`, on an idle machine.

400 iterations of an agent that answers at once, each with a file changed and a run that ends at
once: what an iteration costs the control plane at the 50th, the 200th and the 400th, in seconds,
CPU-seconds and bytes, and what of it a run alone costs; and what `status` and the list of sessions
take then. Prints Markdown, a row as soon as its mark is reached. Its last column is how long a
fixed computation took meanwhile: on a machine that others share, the hour is told by it.

With `--home PATH --fill-disk 3` the file system of the home, which must be one of its own, is
filled and freed three times on the way: nothing may be lost or done twice.
"""

import argparse
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.engine import interrupt
from bench.full_disk import full_for_a_while
from bench.measures import await_end, settle
from bench.processes import BenchError, MachineWatch, until
from bench.report import table_head, table_row
from bench.subjects import WildloopSubject, answer

MARKS = (50, 200, 400)
WINDOW = 40
SLOTS = 2
ITERATION_SECONDS = 120.0
LOOKS = 9
STEPS = 50_000
ALONE = 20
KILOBYTE = 1000
PATHS = ("/wild/v2/status", "/wild/v2/sessions")

# The shell's own words alone, so that the agent costs next to nothing; it notes when it is at work.
AGENT = r"""
folder=$1
began=$EPOCHREALTIME
while read -r line; do :; done
if [ "$WILDLOOP_PHASE" = planning ]; then
  printf '<summary>planned</summary>\n<plan>\n%s\n</plan>\n' "$(<"$folder/plan.md")"
else
  printf 'STEP = %s\n' "$WILDLOOP_ITERATION" > step.py
  printf '<summary>Step %s: %s</summary>\n' "$WILDLOOP_ITERATION" "$(<"$folder/summary.txt")"
  printf '<experiments>\n- goal: step %s\n  command: bash run.sh %s\n</experiments>\n' \
    "$WILDLOOP_ITERATION" "$WILDLOOP_ITERATION"
fi
printf '%s %s %s\n' "$WILDLOOP_ITERATION" "$began" "$EPOCHREALTIME" >> "$folder/agent.log"
"""
RUN = r"""
began=$EPOCHREALTIME
printf 'score: 0.%05d\n' "$1"
printf '%s %s %s\n' "$1" "$began" "$EPOCHREALTIME" >> {log}
"""
SUMMARY = (
    "a smaller step with the schedule of the one before, since the loss still fell at the end; "
    "the score is a little better than the best until now, so the next one goes on from here"
)
TOML = "[train]\ncommand = 'bash run.sh 0'\n\n[metric]\nname = 'score'\ndirection = 'max'\n"


@dataclass
class Look:
    """What the control plane has used when an iteration began."""

    cpu: dict[str, float]
    home: int
    project: int


@dataclass
class Cost:
    """What one iteration (or one run) takes: CPU-seconds by part, and kB on disk."""

    cpu: dict[str, float]
    home: float
    project: float

    @property
    def seconds(self) -> float:
        """CPU-seconds of all parts."""
        return sum(self.cpu.values())


def cost(before: Look, after: Look, count: int) -> Cost:
    """What each of `count` has taken."""
    return Cost(
        {name: (value - before.cpu.get(name, 0.0)) / count for name, value in after.cpu.items()},
        (after.home - before.home) / count / KILOBYTE,
        (after.project - before.project) / count / KILOBYTE,
    )


@dataclass
class Reading:
    """What one answer of the API takes, in milliseconds (median), and its bytes."""

    ms: float
    size: int


def make_project(folder: Path, scratch: Path) -> None:
    """A git repository with a run script, and the agent's files beside it."""
    scratch.mkdir()
    (scratch / "agent.sh").write_text(AGENT, encoding="utf-8")
    (scratch / "summary.txt").write_text(SUMMARY, encoding="utf-8")
    (scratch / "plan.md").write_text(plan(), encoding="utf-8")
    (folder / "run.sh").write_text(RUN.format(log=shlex.quote(f"{scratch}/runs.log")), "utf-8")
    (folder / "wildloop.toml").write_text(TOML, encoding="utf-8")
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for arguments in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "begin")):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def plan() -> str:
    """A plan that meets the rules; none of its tasks is ever closed."""
    gates = {(2, 3): "Reflection gate (midpoint)", (4, 3): "Reflection gate (final)"}
    parts = ["## Goal\n\nRaise the score.\n", "## Planning Notes\n\nNone.\n"]
    for phase in range(1, 5):
        parts.append(f"## Phase {phase} - Part {phase}\n")
        for task in range(1, 4):
            text = gates.get((phase, task), "Ablation" if (phase, task) == (4, 2) else "Work")
            line = f"- [ ] [P{phase}-T{task}] {text} | deliverable: a.md | done-when: it is there"
            parts.append(line)
        parts.append("")
    contract = "Primary metric: score (max). Report the mean over seeds.\n"
    return "\n".join([*parts, "## Shared Metrics and Analytics Contract\n", contract])


def bytes_of(folder: Path) -> int:
    """What a folder takes on disk, but for PostgreSQL's write-ahead log, whose size is bounded."""
    command = ["du", "-s", "-B1", "--exclude=pg_wal", str(folder)]
    # What goes while it is counted takes nothing, and makes `du` complain.
    return int(subprocess.run(command, capture_output=True, text=True).stdout.split()[0])


def pace() -> float:
    """How long a fixed computation takes now, in milliseconds of CPU."""
    began = time.thread_time()
    total = 0
    for number in range(STEPS):
        total += number % 7
    return (time.thread_time() - began) * 1000


class Night:
    """A session that goes on for as many iterations as asked for, and what it was seen to take."""

    def __init__(self, subject: WildloopSubject, iterations: int) -> None:
        self.subject = subject
        self.iterations = iterations
        self.project = subject.folder / "project"
        self.scratch = subject.folder / "agent"
        self.run_alone = Cost({}, 0.0, 0.0)
        self.looks: dict[int, Look] = {}
        self.readings: dict[int, dict[str, Reading]] = {}
        self.paces: dict[int, float] = {}

    def go(self, marks: Sequence[int], window: int, fills: int, head: Sequence[str]) -> None:
        """Carry the session out; print what it takes at each mark.

        Args:
            marks: iterations.
            window: how many iterations before each are looked at.
            fills: how often the disk of the home is filled and freed.
            head: names of the columns.

        Raises:
            BenchError: it stands still, or has ended before its time.
        """
        make_project(self.project, self.scratch)
        self.run_alone = self._runs_alone()
        agent = shlex.join(["bash", str(self.scratch / "agent.sh"), str(self.scratch)])
        body = {
            "goal": "raise the score",
            "agent": f"command:{agent}",
            "max_iterations": self.iterations + 1,
        }
        answer(self.subject.started_api.post("/wild/v2/start", json=body))
        filled = {self.iterations * (n + 1) // (fills + 1) for n in range(fills)}
        wanted = sorted({at for mark in marks for at in (mark - window, mark)} | filled)
        say(table_head(head))
        for number in wanted:
            if number > 0:
                self._await_call(number)
            if number in filled:
                full_for_a_while(self.subject.home)
            self.looks[number] = self._look()
            if number in marks:
                self.readings[number] = {path: self._read(path) for path in PATHS}
                say([table_row(self.row(number, window))])

    def outcome(self) -> str:
        """What has come of the iterations before the last one.

        Raises:
            BenchError: a run of them is missing, was done twice, or has not finished.
        """
        path = self.scratch / "runs.log"
        numbers = [int(line.split()[0]) for line in path.read_text().splitlines()]
        carried_out = sorted(number for number in numbers if 0 < number < self.iterations)
        runs = answer(self.subject.started_api.get(PATHS[0]))["runs"]
        told = f"{len(carried_out)} runs carried out, {runs['completed']} of them finished"
        is_each_once = carried_out == list(range(1, self.iterations))
        if not is_each_once or runs["failed"] or runs["completed"] < len(carried_out):
            raise BenchError(f"of {self.iterations - 1} iterations: {told}: {runs}")
        return told

    def _runs_alone(self) -> Cost:
        """What a run costs that belongs to no session, once the server has come to rest."""
        settle(self.subject)
        command = "bash run.sh 0"
        await_end(self.subject, self.subject.submit(command))
        before = self._look()
        for _ in range(ALONE):
            await_end(self.subject, self.subject.submit(command))
        return cost(before, self._look(), ALONE)

    def _await_call(self, number: int) -> None:
        """Wait until iteration `number` has begun."""
        seen = 0
        while seen < number:
            last = seen

            def more(last: int = last) -> int | None:
                now = max(self.times("agent"), default=0)
                return now if now > last else None

            what = f"iteration {seen + 1} begins"
            seen = until(more, what, ITERATION_SECONDS, pause=0.02)
            self.paces[seen] = pace()

    def _look(self) -> Look:
        cpu = {part.name: part.cpu_seconds for part in self.subject.parts()}
        return Look(cpu, bytes_of(self.subject.home), bytes_of(self.project))

    def _read(self, path: str) -> Reading:
        times, size = [], 0
        for _ in range(LOOKS):
            began = time.perf_counter()
            response = self.subject.started_api.get(path)
            times.append((time.perf_counter() - began) * 1000)
            if not response.is_success:
                raise BenchError(f"GET {path}: {response.status_code} {response.text[:200]}")
            size = len(response.content)
        return Reading(statistics.median(times), size)

    def times(self, who: str) -> dict[int, tuple[float, float]]:
        """When the agent (or the run) of each iteration began and ended, by its own clock."""
        path = self.scratch / f"{who}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [line.split() for line in lines]
        return {int(number): (float(began), float(ended)) for number, began, ended in rows}

    def seconds(self, first: int, last: int) -> float:
        """Median seconds from one agent's call to the next, without agent and run."""
        agent, runs = self.times("agent"), self.times("runs")
        spent = []
        for number in range(first, last):
            own = sum(end - begin for begin, end in (agent[number], runs[number]))
            spent.append(agent[number + 1][0] - agent[number][0] - own)
        return statistics.median(spent)

    def row(self, mark: int, window: int) -> list[str]:
        """The figures of the iterations that end with `mark`."""
        first = max(0, mark - window)
        took, alone = cost(self.looks[first], self.looks[mark], mark - first), self.run_alone
        parts = [f"{name} {value:.2f}" for name, value in took.cpu.items() if value >= 0.005]
        answers = [
            f"{self.readings[mark][path].ms:.0f} / {self.readings[mark][path].size / KILOBYTE:.1f}"
            for path in PATHS
        ]
        return [
            str(mark),
            f"{self.seconds(max(1, first), mark):.2f}",
            f"{took.seconds - alone.seconds:.2f}",
            f"{took.home - alone.home:.0f}",
            f"{took.seconds:.2f} ({', '.join(parts)})",
            f"{took.home:.0f}",
            f"{took.project:.0f}",
            *answers,
            f"{statistics.median(self._paces(first, mark)):.2f}",
        ]

    def _paces(self, first: int, last: int) -> list[float]:
        return [ms for number, ms in self.paces.items() if first < number <= last]


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, carry the session out, print the table."""
    options = parse(arguments)
    # Ended by a time-out, it still ends what it has started.
    signal.signal(signal.SIGTERM, interrupt)
    marks = sorted({min(mark, options.iterations) for mark in options.marks})
    window, watch = options.window, MachineWatch()
    head = ["iteration", "seconds", "CPU-seconds", "kB in the home"]
    head += ["CPU-seconds with the run", "kB in the home with it", "kB in the project with it"]
    head += [f"{path} (ms / kB)" for path in PATHS] + ["a fixed computation (ms)"]
    with WildloopSubject(options.database, options.home) as subject:
        subject.start(SLOTS)
        night = Night(subject, options.iterations)
        night.go(marks, window, options.fill_disk, head)
        outcome = night.outcome()
    alone = f"{night.run_alone.seconds:.2f} CPU-seconds and {night.run_alone.home:.0f} kB"
    print(
        f"Each of the {window} iterations up to it, beyond its agent and its run (which alone "
        f"takes {alone}); others kept {watch.cores_of_others():.2f} cores; {outcome}"
    )
    return 0


def say(lines: Sequence[str]) -> None:
    """Print at once, also into a file: who ends the night early has what was measured."""
    print("\n".join(lines), flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.night", description=__doc__)
    add = parser.add_argument
    add("--iterations", type=int, default=max(MARKS), help="how many (default: %(default)s)")
    add("--window", type=int, default=WINDOW, help="iterations to a figure (default: %(default)s)")
    add("--marks", type=lambda text: [int(one) for one in text.split(",")], default=MARKS)
    add("--database", choices=("postgres", "sqlite"), help="(default: as `up`)")
    add("--home", type=Path, help="an empty folder (default: a new one)")
    add("--fill-disk", type=int, default=0, help="how often the home's disk is filled and freed")
    options = parser.parse_args(arguments)
    if options.fill_disk and (options.home is None or not options.home.is_mount()):
        parser.error("--fill-disk: give by --home where a file system of its own is mounted")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchError, httpx.HTTPError) as error:
        sys.exit(f"bench.night: {error}")
