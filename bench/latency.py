"""Request to the command's first byte: Wildloop beside plain `flow.serve()`, on one Prefect server.

Run on an idle machine: `python -m bench.latency [--runs 20] [--served 5]`. Each run is asked for
after the one before has ended. The first byte is the command's own clock, in its output.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from shim.net import free_ports

SERVED = """
import subprocess
from prefect import flow

@flow(log_prints=False)
def served(command: str, output: str) -> None:
    with open(output, "wb") as file:
        subprocess.run(["bash", "-c", command], stdout=file, check=True)

if __name__ == "__main__":
    served.serve(name="bench")
"""
COMMAND = "date +%s.%N"


def main() -> None:
    """Measure both, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="runs through Wildloop")
    parser.add_argument("--served", type=int, default=5, help="runs through flow.serve()")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wildloop-bench-"))
    port, prefect_port = free_ports(2)
    home = folder / "home"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "WILDLOOP_"))}
    env["WILDLOOP_HOME"] = str(home)
    up = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "shim.cli.main", "up", "--workdir", str(folder)),
            *("--port", str(port), "--prefect-port", str(prefect_port), "--slots", "2"),
        ],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    try:
        for line in up.stdout:
            if line.startswith("Wildloop ready"):
                break
        token = (home / "token").read_text().strip()
        ours = wildloop_latencies(f"http://127.0.0.1:{port}", token, options.runs)
        plain = served_latencies(
            folder, f"http://127.0.0.1:{prefect_port}/api", token, env, options.served
        )
    finally:
        up.terminate()
        up.wait(60)
    shutil.rmtree(folder, ignore_errors=True)
    print("| path | n | median (s) | min | max |\n| --- | ---: | ---: | ---: | ---: |")
    for name, values in (("wildloop: POST /runs", ours), ("flow.serve(), 10 s poll", plain)):
        print(
            f"| {name} | {len(values)} | {statistics.median(values):.3f} | {min(values):.3f} "
            f"| {max(values):.3f} |"
        )


def wildloop_latencies(url: str, token: str, count: int) -> list[float]:
    """Seconds from the request to the first byte, run by run."""
    found = []
    with httpx.Client(base_url=url, headers={"X-Auth-Token": token}, timeout=60) as http:
        for number in range(count + 1):
            asked = time.time()
            body = {"name": f"bench-{number}", "command": COMMAND, "auto_start": True}
            run = http.post("/runs", json=body).json()
            while run["status"] != "finished":
                time.sleep(0.2)
                run = http.get(f"/runs/{run['id']}").json()
            first = float((Path(run["run_dir"]) / "run.log").read_text())
            if number:
                found.append(first - asked)
            time.sleep(0.5)
    return found


def served_latencies(
    folder: Path, api: str, token: str, env: dict[str, str], count: int
) -> list[float]:
    """The same command through a served deployment, on the same server."""
    script = folder / "served.py"
    script.write_text(SERVED)
    env = env | {
        "PREFECT_API_URL": api,
        "PREFECT_API_AUTH_STRING": f"wildloop:{token}",
        "PREFECT_HOME": str(folder / "prefect"),
    }
    with (folder / "served.log").open("wb") as log:
        runner = subprocess.Popen([sys.executable, str(script)], env=env, stdout=log, stderr=log)
    try:
        return _served(folder, api, token, count, runner)
    finally:
        runner.terminate()
        runner.wait(30)


def _served(
    folder: Path, api: str, token: str, count: int, runner: "subprocess.Popen[bytes]"
) -> list[float]:
    found = []
    with httpx.Client(base_url=api, auth=("wildloop", token), timeout=60) as http:
        while True:
            answer = http.get("/deployments/name/served/bench")
            if answer.is_success:
                break
            if runner.poll() is not None:
                sys.exit((folder / "served.log").read_text())
            time.sleep(0.5)
        deployment = answer.json()["id"]
        time.sleep(5)
        for number in range(count):
            output = folder / f"served-{number}.txt"
            asked = time.time()
            http.post(
                f"/deployments/{deployment}/create_flow_run",
                json={"parameters": {"command": COMMAND, "output": str(output)}},
            )
            while not (output.exists() and output.read_text().strip()):
                time.sleep(0.2)
            found.append(float(output.read_text()) - asked)
            time.sleep(3 + number % 4)
    return found


if __name__ == "__main__":
    main()
