"""What a model answers that carries out a whole research session, call by call."""

import json
import re
import time
from collections.abc import Sequence
from typing import Literal

from tests.support.script import DONE, STOP, good_plan, planned
from tests.support.stub_models.server import Seen
from tests.support.stub_models.steps import Say, Shell, Step, Use

API = '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json"'
RUNS = {"baseline-s0": 0.5, "wider-s0": 0.9}
LESSON = "Wider layers reach 0.9 in one second."
WAITING = Say("<summary>two runs</summary>\n<promise>WAITING</promise>")
SEARCH_PAUSE_S = 0.5
MOST_SEARCHES = 60
_HEADING = re.compile(
    r"# (?:(?P<planning>Planning: iteration 0)"
    r"|Iteration (?P<iteration>\d+) of at most"
    r"|(?P<reflection>Reflection after iteration))"
)

Way = Literal["mcp", "http"]
Plan = Literal["file", "tag"]


class Researcher:
    """Decides the answers of a session: plan, two runs, WAITING, results, DONE, reflection.

    It knows the call by the prompt's heading and its place in it by the number of tool outputs, so
    that a repeated request gets the same answer. Each call also prints every variable of its
    shell, the token among them, since a model may do that.

    Args:
        way: how it creates its runs.
        plan: whether it writes tasks.md by a command, or leaves that to Wildloop.
    """

    def __init__(self, way: Way, plan: Plan) -> None:
        self._way = way
        self._plan = plan
        self._told: set[str] = set()
        self._searches = 0

    def __call__(self, request: Seen) -> Step:
        """The answer to a request."""
        steps = self._steps(json.dumps(request.body, ensure_ascii=False))
        step = steps[min(request.outputs, len(steps) - 1)]
        if isinstance(step, Use) and not request.offers(step.tool):
            return self._search(step.tool)
        self._searches = 0
        return step

    def _search(self, tool: str) -> Step:
        """Ask for the tool, which a client may have only when its server has started."""
        self._searches += 1
        if self._searches > MOST_SEARCHES:
            return Say("<summary>Wildloop's tools never came.</summary>")
        if self._searches > 1:
            time.sleep(SEARCH_PAUSE_S)
        return Use("tool_search", {"query": tool.replace("_", " ")})

    def _steps(self, body: str) -> Sequence[Step]:
        heading = _HEADING.search(body)
        if heading is None:
            return [Say("<summary>This is no prompt of the loop.</summary>")]
        look = Shell("env")
        if heading["planning"]:
            return [look, *self._planning()]
        if heading["reflection"]:
            memories = f"<memories>\n- [lesson] {LESSON}\n</memories>"
            return [look, Say(f"{STOP}\n{memories}")]
        if heading["iteration"] != "1":
            return [look, Shell("touch a.md"), rewrite(r"\[ \]", "[x]"), Say(DONE)]
        told = {name for name in RUNS if f"| {name} |" in body}
        if not told:
            return [look, *self._creations(), rewrite(r"\[ \] \[P1-T1\]", "[/] [P1-T1]"), WAITING]
        self._told |= told
        if self._told < set(RUNS):
            return [WAITING]
        done = rewrite(r"\[/\] \[P1-T1\]", "[x] [P1-T1]")
        return [look, self._list(), done, Say("<summary>P1-T1: 0.9 beats 0.5.</summary>")]

    def _planning(self) -> Sequence[Step]:
        skill = "$WILDLOOP_SERVER_URL/prompt-skills/wild_v2_execution_ops_protocol"
        probe = Shell(f"curl -sf {skill} | head -c 200; curl -sf $WILDLOOP_SERVER_URL/health")
        if self._plan == "tag":
            return [probe, Say(planned())]
        write = Shell(f"cat > \"$WILDLOOP_TASKS_PATH\" <<'END'\n{good_plan()}\nEND")
        return [probe, write, Say("<summary>planned</summary>")]

    def _creations(self) -> Sequence[Step]:
        return [self._creation(name, score) for name, score in RUNS.items()]

    def _creation(self, name: str, score: float) -> Step:
        run = {
            "name": name,
            "command": f"sleep 1; echo score={score}",
            "gpus": 0,
            "auto_start": True,
        }
        if self._way == "mcp":
            return Use("create_run", run)
        body = json.dumps({**run, "chat_session_id": "$WILDLOOP_SESSION_ID", "workdir": "$PWD"})
        body = re.sub(r"\$\w+", "'\"\\g<0>\"'", body)
        return Shell(f"curl -sf {API} -d '{body}' $WILDLOOP_SERVER_URL/runs")

    def _list(self) -> Step:
        if self._way == "mcp":
            return Use("list_runs")
        query = '"$WILDLOOP_SERVER_URL/runs?chat_session_id=$WILDLOOP_SESSION_ID"'
        return Shell(f"curl -sf {API} {query}")


def rewrite(old: str, new: str) -> Step:
    """Change tasks.md by a command, as agents do. `old` is a basic regular expression."""
    return Shell(f"sed -i 's|{old}|{new}|' \"$WILDLOOP_TASKS_PATH\"")
