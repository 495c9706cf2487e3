"""Three hosts, PostgreSQL and Redis: one shares the folder, one has an old clone, one has none."""

import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.hosts import Hosts, several_hosts
from tests.support.project import git
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]
MANY = int(os.environ.get("SEVERAL_HOSTS_RUNS", "200"))
DEVICES = {"near": 2, "clone": 4, "bare": 2}
SCRIPT = """\
version=NEW
echo "version $version on $(hostname)"
begun=$(date +%s.%N)
sleep "${1:-0}"
echo "{\\"score\\": $2}" >> "$WILDLOOP_RUN_DIR/metrics.jsonl"
mkdir -p "$WILDLOOP_RUN_DIR/out" && echo "$2" > "$WILDLOOP_RUN_DIR/out/result.txt"
devices=${CUDA_VISIBLE_DEVICES:-none}
echo "$(hostname) $devices $begun $(date +%s.%N)" > "$WITNESSES/$WILDLOOP_RUN_ID"
exit "${3:-0}"
"""


class Wanted(NamedTuple):
    """What a run is to come to."""

    status: str
    score: int | None
    gpus: int
    message: str = ""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with several_hosts() as found:
        project = found.project
        (project / "train.sh").write_text(SCRIPT.replace("NEW", "old"))
        git(project, "add", "-A")
        git(project, "commit", "-q", "-m", "old")
        clone = found.folder / "clone"
        subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
        (project / "train.sh").write_text(SCRIPT.replace("NEW", "new"))
        git(project, "commit", "-qam", "new")
        witnesses = found.folder / "witnesses"
        witnesses.mkdir()
        found.env["WITNESSES"] = str(witnesses)
        found.host("near", DEVICES["near"])
        found.host("clone", DEVICES["clone"], f"mount --bind {clone} {project}")
        found.host("bare", DEVICES["bare"], f"mount -t tmpfs none {project.parent}")
        yield found


def command(number: int, seconds: float, code: int = 0) -> str:
    return f"bash train.sh {seconds:g} {number} {code}"


def make(hosts: Hosts, number: int) -> tuple[str, Wanted]:
    """One of many kinds of runs."""
    kind, seconds = number % 10, 0.2 + number % 4 / 2
    if kind == 3:
        wanted = Wanted("failed", number, 1, "exit code 3")
        return hosts.run(command(number, seconds, 3)), wanted
    if kind == 5:
        wanted = Wanted("failed", None, 1, "time-out after 1 s")
        return hosts.run(command(number, 600), timeout_seconds=1), wanted
    gpus = {6: 2, 7: 0}.get(kind, 1)
    fields: dict[str, Any] = {"priority": 1} if kind == 8 else {}
    run = hosts.run(command(number, seconds), gpus=gpus, **fields)
    return run, Wanted("finished", number, gpus)


def test_runs_go_where_they_can_be_served_with_the_code_of_now(hosts: Hosts) -> None:
    check(hosts, dict(make(hosts, one) for one in range(40)))


def test_log_of_a_run_elsewhere_is_followed_while_it_is_written(hosts: Hosts) -> None:
    # Only one host has four devices.
    id = hosts.run("bash train.sh 0 1 0; echo first; sleep 8; echo last", gpus=4)
    seen: list[str] = []
    with hosts.http.stream("GET", f"/runs/{id}/logs/stream") as answer:
        for line in answer.iter_lines():
            seen.append(line)
            if "first" in line:
                seen.append(hosts.get(f"/runs/{id}")["status"])
    # What a command prints may come before Prefect has noted that it runs.
    assert {"launching", "running"} & set(seen), seen
    assert any("last" in line for line in seen)
    assert hosts.get(f"/runs/{id}")["host"] == "clone"


@pytest.mark.long
def test_two_hundred_runs_while_a_host_is_cut_off_and_comes_back(hosts: Hosts) -> None:
    wanted = dict(make(hosts, one) for one in range(MANY // 2))
    near = hosts.all["near"]

    def busy() -> bool:
        runs = hosts.get("/runs", status="running", limit=100)
        return any(run["host"] == "near" for run in runs)

    wait_for(busy, "a run works on the host that is cut off", 120, pauses=(0.2, 1.0))
    near.cut_off()
    try:
        wanted |= dict(make(hosts, one) for one in range(MANY // 2, MANY))
        done = len(list(witnesses(hosts)))
        wait_for(
            lambda: len(list(witnesses(hosts))) > done + MANY // 10,
            "work goes on elsewhere",
            300,
            sign=lambda: len(list(witnesses(hosts))),
            pauses=(1.0, 2.0),
        )
    finally:
        near.bring_back()
    check(hosts, wanted)


def check(hosts: Hosts, wanted: dict[str, Wanted]) -> None:
    """All outcomes are true, all is to be read, no device had two runs at a time."""
    runs = hosts.ended(list(wanted))
    faults = [fault for id, one in wanted.items() for fault in faults_of(hosts, runs[id], one)]
    assert not faults, "\n".join(faults)
    used = {runs[id]["host"] for id in wanted}
    assert used == {"near", "clone"}
    assert not overlaps(hosts), overlaps(hosts)


def faults_of(hosts: Hosts, run: dict[str, Any], wanted: Wanted) -> Iterator[str]:
    """What is not as it should be of a run."""
    id, where = run["id"], f"run {run['id']} on {run['host']}"
    if run["status"] != wanted.status or wanted.message not in (run["error"] or ""):
        yield f"{where}: {run['status']} ({run['error']}), not {wanted}"
    log = hosts.get(f"/runs/{id}/logs")
    if f"version new on {run['host']}" not in log["content"] or not log["eof"] or log["notes"]:
        yield f"{where}: its log is {log}"
    if len(run["gpus"]) != wanted.gpus:
        yield f"{where}: devices {run['gpus']}, not {wanted.gpus}"
    if wanted.score is None:
        return
    metrics = hosts.get(f"/runs/{id}/metrics")
    if metrics["last"].get("score") != wanted.score or "score" not in metrics["series"]:
        yield f"{where}: its metrics are {metrics['last']}, {metrics['notes']}"
    files = {file["path"] for file in hosts.get(f"/runs/{id}/artifacts")["files"]}
    if not {"out/result.txt", "run.log", "manifest.json", "metrics.jsonl"} <= files:
        yield f"{where}: its files are {sorted(files)}"
        return
    with hosts.http as http:
        text = http.get(f"/runs/{id}/artifacts/out/result.txt").text
    if text.strip() != str(wanted.score):
        yield f"{where}: result.txt holds {text!r}"


def witnesses(hosts: Hosts) -> Iterator[Path]:
    """What runs have said of themselves, past Wildloop."""
    return Path(hosts.env["WITNESSES"]).iterdir()


def overlaps(hosts: Hosts) -> list[str]:
    """Devices that two runs had at a time."""
    held = defaultdict(list)
    for file in witnesses(hosts):
        host, devices, begun, ended = file.read_text().split()
        for device in devices.split(",") if devices != "none" else ():
            held[host, device].append((float(begun), float(ended)))
    return [
        f"{place}: {first} and {second}"
        for place, spans in held.items()
        for first, second in zip(sorted(spans), sorted(spans)[1:], strict=False)
        if second[0] < first[1]
    ]
