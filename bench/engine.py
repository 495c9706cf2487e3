"""The engine beside plain Prefect and any peer: `python -m bench.engine`, on an idle machine.

Subjects: this engine (`wildloop`), plain `flow.serve()` (`serve`), Prefect's process worker
(`process`), each on a fresh server of its own, one after the other; and with `--peer URL` a server
of this host that speaks the same `POST /runs` and `GET /runs`. Prints Markdown.
"""

import argparse
import os
import platform
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import httpx
from pydantic import BaseModel, Field

from bench import history, measures
from bench.figures import Facts, Failure, Figure, Measure, Report
from bench.measures import CLIENTS
from bench.prefect_subjects import ProcessWorkerSubject, ServeSubject
from bench.processes import BenchError, MachineWatch
from bench.report import markdown
from bench.subjects import PeerSubject, Subject, WildloopSubject

SLOTS = 4
GROWING = (
    *(Measure.FIRST_BYTE, Measure.GAP, Measure.CREATE),
    *(Measure.LIST, Measure.LIST_ONE, Measure.HEALTH),
)
SEED_SECONDS = 900.0
INTERRUPTED = "interrupted: what follows was not measured"
PEER_TOKEN = "BENCH_PEER_TOKEN"


class Plan(BaseModel):
    """What one run of the harness measures, and how often."""

    subjects: list[str]
    measures: list[Measure]
    history: list[int]
    runs: int = Field(ge=1)
    prefect_runs: int = Field(ge=1)
    probes: int = Field(ge=1)
    prefect_probes: int = Field(ge=1)
    bursts: int = Field(ge=1)
    gaps: int = Field(ge=1)
    requests: int = Field(ge=CLIENTS)
    idle_s: float = Field(gt=0)
    database: str | None = None
    peer: str | None = None
    peer_pid: int | None = None
    json_file: Path | None = None
    cuts: list[str] = Field(default_factory=list)

    def quick(self) -> "Plan":
        """A minute's worth of each subject: to see that all works, not for figures."""
        fewer = {
            "history": [size for size in self.history if size <= 100],
            "runs": min(self.runs, 20),
            "prefect_runs": min(self.prefect_runs, 4),
            "probes": min(self.probes, 3),
            "prefect_probes": min(self.prefect_probes, 1),
            "bursts": 1,
            "gaps": min(self.gaps, 3),
            "requests": min(self.requests, 40),
            "idle_s": min(self.idle_s, 3.0),
        }
        cuts = [
            f"--quick: {name} {getattr(self, name)} -> {value}"
            for name, value in fewer.items()
            if getattr(self, name) != value
        ]
        return self.model_copy(update={**fewer, "cuts": cuts})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print the report; 1 if a measure failed or was interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    plan = parse(given)
    watch = MachineWatch()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    report = Report(
        command=shlex.join(["python", "-m", "bench.engine", *given]), facts=facts(), cuts=plan.cuts
    )
    try:
        with tempfile.TemporaryDirectory(prefix="wildloop-bench-") as folder:
            for name in plan.subjects:
                measure_subject(plan, report, name, Path(folder))
            for recorded in (size for size in plan.history if size):
                measure_history(plan, report, recorded, Path(folder))
    except KeyboardInterrupt:
        report.cuts.append(INTERRUPTED)
    report.facts.others = watch.cores_of_others()
    if plan.json_file is not None:
        plan.json_file.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(markdown(report), end="")
    return 1 if report.failures or INTERRUPTED in report.cuts else 0


def interrupt(number: int, frame: FrameType | None) -> None:
    """Begin to end everything that was started; a second Ctrl-C must not cut that short."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def measure_subject(plan: Plan, report: Report, name: str, folder: Path) -> None:
    """All measures of one subject with no history: those of one slot, then those of four."""
    is_ours = name in ("wildloop", "peer")
    probes = plan.probes if is_ours else plan.prefect_probes
    runs = plan.runs if is_ours else plan.prefect_runs
    with make_subject(plan, name) as subject:
        first: dict[Measure, Callable[[], list[Figure]]] = {
            Measure.IDLE: lambda: measures.idle(subject, plan.idle_s),
            Measure.FIRST_BYTE: lambda: measures.first_byte(subject, folder, probes),
            Measure.GAP: lambda: measures.gap(subject, folder, min(plan.gaps, probes * 2)),
        }
        then: dict[Measure, Callable[[], list[Figure]]] = {
            Measure.BURST: lambda: measures.burst(subject, folder, plan.bursts if is_ours else 1),
            Measure.THROUGHPUT: lambda: measures.throughput(subject, runs),
            **api_measures(plan, subject),
        }
        take(plan, report, subject, 1, first, folder)
        take(plan, report, subject, SLOTS, then, folder)


def measure_history(plan: Plan, report: Report, recorded: int, folder: Path) -> None:
    """What may grow with the number of recorded runs, on a fresh home that holds that many."""
    wanted = [measure for measure in GROWING if measure in plan.measures]
    if "wildloop" not in plan.subjects or not wanted:
        return
    with WildloopSubject(plan.database) as subject:
        steps: dict[Measure, Callable[[], list[Figure]]] = {
            Measure.FIRST_BYTE: lambda: measures.first_byte(subject, folder, plan.probes),
            Measure.GAP: lambda: measures.gap(subject, folder, plan.gaps),
            **api_measures(plan, subject),
        }

        def fill() -> None:
            say(f"{subject.name}: recording {recorded:,} runs")
            history.fill(subject, recorded, SEED_SECONDS)
            # What it knows of the past is read at the start.
            subject.stop()
            subject.start(1)

        take(plan, report, subject, 1, steps, folder, recorded, fill)


def api_measures(plan: Plan, subject: Subject) -> dict[Measure, Callable[[], list[Figure]]]:
    """The measures of requests; creation last, since it leaves runs behind."""
    return {
        Measure.LIST: lambda: measures.list_load(subject, plan.requests),
        Measure.LIST_ONE: lambda: measures.list_alone(subject, plan.requests),
        Measure.HEALTH: lambda: measures.health_load(subject, plan.requests),
        Measure.CREATE: lambda: measures.create_load(subject, plan.requests),
    }


def take(
    plan: Plan,
    report: Report,
    subject: Subject,
    slots: int,
    steps: dict[Measure, Callable[[], list[Figure]]],
    folder: Path,
    recorded: int = 0,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Start the subject with `slots`, take those of `steps` that are wanted, stop it.

    A step that fails is reported, and the next is taken.
    """
    wanted = {name: step for name, step in steps.items() if name in plan.measures}
    if not wanted:
        return
    done = "start"
    try:
        say(f"{subject.name}: starting with {slots} slots")
        subject.start(slots)
        done = "preparation"
        prepare()
        measures.warm_up(subject, folder)
        measures.settle(subject)
    except (BenchError, httpx.HTTPError) as error:
        report.failures.append(failure(subject.name, done, recorded, error))
        subject.stop()
        return
    for name, step in wanted.items():
        say(f"{subject.name}: {name}" + (f", {recorded:,} recorded" if recorded else ""))
        try:
            found = step()
        except (BenchError, httpx.HTTPError) as error:
            report.failures.append(failure(subject.name, name, recorded, error))
            continue
        report.figures += [figure.model_copy(update={"recorded": recorded}) for figure in found]
    subject.stop()


def make_subject(plan: Plan, name: str) -> Subject:
    """The subject of that name, nothing started."""
    if name == "peer":
        return PeerSubject(plan.peer or "", os.environ.get(PEER_TOKEN), plan.peer_pid)
    makers: dict[str, Callable[[], Subject]] = {
        "wildloop": lambda: WildloopSubject(plan.database),
        "serve": ServeSubject,
        "process": ProcessWorkerSubject,
    }
    return makers[name]()


def failure(subject: str, measure: str, recorded: int, error: Exception) -> Failure:
    """What could not be measured, and why."""
    reason = str(error) or type(error).__name__
    return Failure(subject=subject, measure=measure, recorded=recorded, reason=reason)


def facts() -> Facts:
    """This machine, now."""
    return Facts(
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        prefect=version("prefect"),
        platform=f"{platform.system()} {platform.machine()}",
        date=datetime.now(UTC).date().isoformat(),
        load_before=os.getloadavg()[0],
    )


def parse(arguments: Sequence[str]) -> Plan:
    """The plan that a command line asks for; exits with a message on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    known = ["wildloop", "serve", "process"]
    add = parser.add_argument
    add("--subjects", default=",".join(known), help="comma-separated (default: %(default)s)")
    add("--measures", default=",".join(Measure), help="comma-separated (default: all)")
    add("--history", default="0,100,1000,10000", help="recorded runs (default: %(default)s)")
    add("--runs", type=int, default=200, help="`true`s for the rate (default: %(default)s)")
    add("--prefect-runs", type=int, default=24, help="the same for plain Prefect")
    add("--probes", type=int, default=20, help="single requests (default: %(default)s)")
    add("--prefect-probes", type=int, default=6, help="the same for plain Prefect")
    add("--bursts", type=int, default=5, help="of ten each (default: %(default)s)")
    add("--gaps", type=int, default=20, help="hand-overs (default: %(default)s)")
    add("--requests", type=int, default=200, help="by 8 clients together (default: %(default)s)")
    add("--idle-s", type=float, default=30.0, help="seconds of idling (default: %(default)s)")
    add("--database", choices=("postgres", "sqlite"), help="of Wildloop (default: its default)")
    add("--peer", metavar="URL", help=f"a running peer on this host; its token in ${PEER_TOKEN}")
    add("--peer-pid", type=int, help="the peer's root process, for its CPU and memory")
    add("--json", type=Path, dest="json_file", metavar="FILE", help="write every value there")
    add("--quick", action="store_true", help="few of each: to see that it works")
    options = vars(parser.parse_args(arguments))
    quick = options.pop("quick")
    options["subjects"] = split(options["subjects"])
    options["measures"] = split(options["measures"])
    options["history"] = split(options["history"])
    if unknown := [name for name in options["subjects"] if name not in known]:
        parser.error(f"--subjects: unknown {', '.join(unknown)}; there are {', '.join(known)}")
    if unknown := [name for name in options["measures"] if name not in set(Measure)]:
        parser.error(f"--measures: unknown {', '.join(unknown)}; there are {', '.join(Measure)}")
    if wrong := [text for text in options["history"] if not text.isdecimal()]:
        parser.error(f"--history: '{wrong[0]}' is no number of runs: give such as 0,100,1000")
    if options["peer"]:
        options["subjects"].append("peer")
    try:
        plan = Plan.model_validate(options)
    except ValueError as error:
        parser.error(str(error))
    return plan.quick() if quick else plan


def split(text: str) -> list[str]:
    """The words of a comma-separated option."""
    return [word.strip() for word in text.split(",") if word.strip()]


def say(text: str) -> None:
    """Progress, beside the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
