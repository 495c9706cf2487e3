"""Facts for reports, without a server."""

import json
from pathlib import Path
from typing import Any

from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.target import target_of
from wildloop.flows.keep.standing import calls_of
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.report.facts import ReportFacts, SessionFacts

ACCURACY = MetricConfig(name="val_accuracy")
PLAN = """
## Phase 1 - Ground

- [x] [P1-T1] Measure the baseline | deliverable: exp/baseline.md | done-when: it is known
- [ ] [P1-T2] Reflection gate (midpoint)
"""


def make_run(number: int, value: float | None = None, **fields: Any) -> Run:
    """A run; finished with this accuracy unless told otherwise."""
    parameters = fields.pop("parameters", {"lr": 0.1})
    seed = fields.get("seed")
    flags = "".join(f" --{name}={one}" for name, one in parameters.items())
    id = f"{number:08d}-0000-4000-8000-000000000000"
    defaults: dict[str, Any] = {
        "id": id,
        "name": f"run-{number}",
        "command": f"python train.py{flags}" + (f" --seed={seed}" if seed is not None else ""),
        "workdir": "/project",
        "run_dir": f"/project/.wild/runs/{id}",
        "status": RunStatus.FINISHED,
        "created_at": 1000.0 + number,
        "started_at": 1000.0 + number,
        "finished_at": 1001.0 + number,
        "host": "node-1",
        "parameters": parameters,
        "metrics": {} if value is None else {"val_accuracy": value},
        "ui_url": f"http://127.0.0.1:4200/runs/flow-run/{id}",
    }
    return Run.model_validate(defaults | fields)


def make_facts(
    runs: list[Run],
    metric: MetricConfig | None = ACCURACY,
    sweep_texts: dict[str, str] | None = None,
    **fields: Any,
) -> ReportFacts:
    """Facts of a session with these runs, all of them created by its first iteration."""
    session = {
        "id": "session-1",
        "goal": "Get val_accuracy above 0.97",
        "agent": "baseline",
        "workdir": "/project",
        "status": "ended",
        "started_at": 1000.0,
        "now": 2000.0,
        "ended": "done",
        "iterations": [
            IterationRecord(index=0, kind="planning", started_at=1000.0, finished_at=1001.0),
            IterationRecord(
                index=1,
                started_at=1001.0,
                finished_at=1002.0,
                summary="P1-T1: measured",
                commit="abc" * 13,
                run_ids=[run.id for run in runs],
            ),
        ],
    } | fields.pop("session", {})
    facts = SessionFacts(**session)
    contract = Contract(metric, target=target_of(facts.goal, metric.direction) if metric else None)
    return ReportFacts(
        session=facts,
        runs=runs,
        plan=parse_plan(PLAN),
        account=Account(runs, contract, None, calls_of(facts.iterations), sweep_texts),
        **fields,
    )


def with_series(run: Run, folder: Path, values: list[float]) -> Run:
    """The run with a folder of its own that holds this series of its metric."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": n, "val_accuracy": one}) for n, one in enumerate(values, 1)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run.model_copy(update={"run_dir": str(folder)})
