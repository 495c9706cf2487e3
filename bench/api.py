"""Many clients at once: `python -m bench.api`, on an idle machine.

Eight clients create 500 runs, a fifth of the requests sent twice, while eight others read. Prints
Markdown; exits with 1 if a run was lost, doubled or ran twice, or a request failed.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from bench.crowd import Crowd
from bench.engine import interrupt
from bench.figures import percentile
from bench.processes import MachineWatch
from bench.report import table_head, table_row
from bench.subjects import WildloopSubject


def main(arguments: Sequence[str] | None = None) -> int:
    """Let the crowd loose on a fresh server, print its figures and faults."""
    options = parse(arguments)
    # Ended by a time-out, it still ends what it has started.
    signal.signal(signal.SIGTERM, interrupt)
    watch = MachineWatch()
    with WildloopSubject(options.database) as subject:
        subject.start(options.slots)
        crowd = Crowd(
            base_url=str(subject.started_api.base_url),
            headers={},
            folder=subject.folder / "marks",
            runs=options.runs,
            creators=options.clients,
            readers=options.clients,
        )
        asyncio.run(crowd.go())
    print(report(crowd, watch.cores_of_others()))
    return 1 if crowd.faults else 0


def report(crowd: Crowd, others: float | None) -> str:
    """The figures as a table, then what should not have been."""
    busy = "" if others is None else f" others kept {others:.2f} cores busy;"
    lines = [
        f"{crowd.runs} runs by {crowd.creators} clients, {crowd.retried} requests sent twice, "
        f"{crowd.readers} readers;{busy} {len(crowd.faults)} faults.",
        "",
        *table_head(["", "median", "p99", "max", "requests"]),
        row("POST /runs (ms)", crowd.create_ms),
        row("reads (ms)", crowd.read_ms),
        table_row(["runs a minute, ended", f"{crowd.runs / crowd.seconds * 60:.0f}", "", "", ""]),
        *(f"- fault: {fault}" for fault in crowd.faults[:20]),
    ]
    return "\n".join(lines)


def row(name: str, values: Sequence[float]) -> str:
    """One line of the table."""
    figures = [f"{percentile(values, part):.0f}" for part in (50, 99, 100)] if values else [""] * 3
    return table_row([name, *figures, str(len(values))])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="creators, and as many readers")
    parser.add_argument("--slots", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--database", choices=("postgres", "sqlite"), help="(default: as `up`)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
