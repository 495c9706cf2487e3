"""An agent that plays a scenario: `agent.py FOLDER`, prompt on stdin, reply on stdout.

FOLDER/scenario.json says what it does. It leaves there each prompt with the time at which it came,
and a line for each run that it has created. It stands alone: nothing of the product is imported.
"""

import json
import os
import pathlib
import re
import sys
import time
import urllib.request
from typing import Any

ENDED = ("finished", "failed", "stopped")
TASKS = pathlib.Path(os.environ["WILDLOOP_TASKS_PATH"])


def main() -> None:
    """Answer one call."""
    folder = pathlib.Path(sys.argv[1])
    scenario = json.loads((folder / "scenario.json").read_text())
    prompt = sys.stdin.read()
    number = len(list(folder.glob("prompt-*.md")))
    (folder / f"prompt-{number:03d}.md").write_text(prompt, encoding="utf-8")
    with (folder / "calls.jsonl").open("a") as file:
        file.write(json.dumps({"number": number, "at": time.time()}) + "\n")
    if re.search(r"^# Planning", prompt, re.M):
        sys.stdout.write(f"<summary>planned</summary>\n<plan>\n{scenario['plan']}\n</plan>\n")
    elif re.search(r"^# Reflection", prompt, re.M):
        is_over = "- [ ]" not in TASKS.read_text()
        sys.stdout.write(scenario["reflection"].replace("yes", "no" if is_over else "yes"))
    else:
        found = re.search(r"^# Iteration (\d+) of", prompt, re.M)
        assert found, "no heading tells which iteration this is"
        sys.stdout.write(iteration(folder, scenario, int(found[1])))


def iteration(folder: pathlib.Path, scenario: dict, index: int) -> str:  # type: ignore[type-arg]
    """Play the next turn of an iteration."""
    turns = scenario["iterations"][index - 1] if index <= len(scenario["iterations"]) else []
    place = len(list(folder.glob(f"turn-{index}-*")))
    (folder / f"turn-{index}-{place}").touch()
    is_last = index >= len(scenario["iterations"])
    turn = turns[place] if place < len(turns) else {}
    for action in turn.get("do", []):
        act(folder, action, scenario["program"], index, place)
    said = turn.get("say", "closed")
    reply = f"<summary>iteration {index}: {said}</summary>\n"
    if any(action[0] == "edit" for action in turn.get("do", [])):
        reply += f'<change kind="{turn.get("kind", "hyper-parameter")}">{said}</change>\n'
    if turn.get("start"):
        reply += f"<start_from>{turn['start']}</start_from>\n"
    if turn.get("waits"):
        return reply + "<promise>WAITING</promise>\n"
    if is_last:
        TASKS.write_text(re.sub(r"- \[[ /]\] \[P", "- [x] [P", TASKS.read_text()))
        pathlib.Path("a.md").touch()
        return reply + "<promise>DONE</promise>\n"
    return reply


def act(folder: pathlib.Path, action: list[str], program: str, index: int, place: int) -> None:
    """Edit the code, create a run, or withdraw one."""
    kind, *rest = action
    if kind == "edit":
        path = pathlib.Path("train.py")
        text = path.read_text()
        assert rest[0] in text, f"nothing to edit: {rest[0]}"
        path.write_text(text.replace(rest[0], rest[1]))
        return
    log = folder / "created.jsonl"
    if kind == "wait":
        wait([json.loads(line)["id"] for line in log.read_text().splitlines()])
        return
    if kind == "withdraw":
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        id = next(line["id"] for line in reversed(lines) if line["name"] == rest[0])
        token = (folder / "user-token").read_text()
        ask(f"/runs/{id}/withdraw", json.dumps({"reason": rest[1]}).encode(), token)
        with (folder / "withdrawn.jsonl").open("a") as file:
            file.write(json.dumps({"id": id, "at": time.time(), "iteration": index}) + "\n")
        return
    name, arguments, seed = rest
    command = " ".join([program, *filter(None, [arguments]), f"--seed={seed}"])
    body = {
        "name": f"{name}-s{seed}",
        "command": command,
        "seed": int(seed),
        "gpus": 0,
        "auto_start": True,
        "workdir": str(pathlib.Path.cwd()),
        "chat_session_id": os.environ["WILDLOOP_SESSION_ID"],
    }
    made = post("/runs", body)
    line = {"id": made["id"], "name": body["name"], "at": time.time()}
    line |= {"iteration": index, "turn": place}
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def wait(ids: list[str]) -> None:
    """Until all these runs have ended."""
    for id in ids:
        while ask(f"/runs/{id}")["status"] not in ENDED:
            time.sleep(0.2)


def post(path: str, body: dict) -> dict:  # type: ignore[type-arg]
    """Send a body to the API."""
    return dict(ask(path, json.dumps(body).encode()))


def ask(path: str, data: bytes | None = None, token: str = "") -> Any:
    """One request to the API."""
    token = token or os.environ["WILDLOOP_AUTH_TOKEN"]
    request = urllib.request.Request(
        os.environ["WILDLOOP_SERVER_URL"] + path,
        data,
        {"Content-Type": "application/json", "X-Auth-Token": token},
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
