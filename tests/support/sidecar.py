"""A process beside a run, as other systems have them: tells what it sees, asks, and obeys.

Usage: sidecar.py SERVER TOKEN RUN_ID RUN_DIR. It prints each answer's status and ends with 0 if a
person has answered its alert by stopping the run.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SERVER, TOKEN, RUN_ID, RUN_DIR = sys.argv[1:5]


def ask(method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """(status, answer) of a request."""
    headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(SERVER + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def tell(step: str, answer: tuple[int, dict[str, object]]) -> None:
    """One line for the test."""
    sys.stdout.write(f"{step} {answer[0]} {json.dumps(answer[1])}\n")
    sys.stdout.flush()


def main() -> int:
    """Watch one run to its end."""
    tell("status", ask("POST", f"/runs/{RUN_ID}/status", {"status": "running"}))
    rows = [{"_step": step, "loss": 1.0 / step, "_runtime": 0.1} for step in range(1, 30)]
    tell("rows", ask("POST", f"/runs/{RUN_ID}/metrics", {"rows": rows}))
    body = {"message": "loss is odd", "choices": ["Ignore", "Stop Job"], "severity": "warning"}
    status, alert = ask("POST", f"/runs/{RUN_ID}/alerts", body)
    tell("alert", (status, alert))
    response = Path(RUN_DIR) / "alerts" / f"{alert['alert_id']}.response"
    deadline = time.monotonic() + 240
    while not response.exists():
        if time.monotonic() > deadline:
            return 2
        time.sleep(0.1)
    if "stop" not in response.read_text().lower():
        return 1
    while ask("GET", f"/runs/{RUN_ID}")[1]["status"] != "stopped":
        if time.monotonic() > deadline:
            return 3
        time.sleep(0.1)
    late = ask("POST", f"/runs/{RUN_ID}/status", {"status": "stopped", "error": "by alert"})
    tell("outcome", late)
    return 0 if late[0] == 200 else 4


if __name__ == "__main__":
    sys.exit(main())
