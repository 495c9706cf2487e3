"""How runs are made, in three calls: the one source for prompts and protocol."""

import json
from typing import Any

from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.session_options import Isolation

AUTH_HEADER = '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN"'
ANY_COMMAND = "python train.py"
SEEDS = [0, 1, 2]
EXECUTION: dict[Isolation, str] = {
    "snapshot": "Where runs execute: in a git worktree of the files as they are when the run is "
    "created, so edit on meanwhile (data that git does not have is linked).",
    "none": "Where runs execute: in the project, with the files as they are when the run starts: "
    "do not edit what a queued or running one uses.",
}


def runs_section(fixed: SessionContract, isolation: Isolation) -> str:
    """One sweep with seeds, the end of a log, a stop; and what is to be known of them.

    Args:
        fixed: what the session compares by: its command and one of its parameters are shown.
        isolation: of the session.
    """
    body = json.dumps(
        {
            "name": "p2-x",
            "goal": "the question in one line",
            "base_command": " ".join((fixed.train or ANY_COMMAND).split()),
            "parameters": {**_parameter(fixed), fixed.seed_parameter or "seed": SEEDS},
            "auto_start": True,
            "timeout_seconds": 3600,
        }
    )[:-1]
    curl = f"curl -sS {AUTH_HEADER}"
    return f"""```bash
{curl} -H 'Content-Type: application/json' "$WILDLOOP_SERVER_URL/sweeps" -d '{body}, \
"chat_session_id": "'$WILDLOOP_SESSION_ID'"}}'
{curl} "$WILDLOOP_SERVER_URL/runs/RUN/logs?offset=-2000"   # or /metrics
{curl} -X POST "$WILDLOOP_SERVER_URL/runs/RUN/stop"
```

The first makes {len(SEEDS)} runs, one for each combination of the values (added as `--key=value`; \
above 10 runs give `"max_runs"`), queued and started as slots become free. {EXECUTION[isolation]} \
Outputs go to `$WILDLOOP_RUN_DIR`. In your shell only what ends within seconds. The MCP tools \
`create_sweep`, `get_logs`, `stop_run`, if you have them, do the same. By one call \
each: the rules, `curl -sf \
$WILDLOOP_SERVER_URL/prompt-skills/wild_v2_execution_ops_protocol/text`; every operation, \
`.../wild_v2_api/text`; all numbers, `GET /wild/v2/evidence/$WILDLOOP_SESSION_ID`."""


def _parameter(fixed: SessionContract) -> dict[str, list[Any]]:
    """A parameter to show: the first of the baseline's, by its value."""
    for name, value in fixed.baseline.items():
        if isinstance(value, int | float | str) and "'" not in str(value):
            return {name: [value]}
    return {}
