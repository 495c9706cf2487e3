"""Runs and iteration records made by hand, for tests of pure functions."""

from collections.abc import Sequence
from typing import Any

from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.keep.standing import calls_of
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig


def made_run(number: int, score: float | None = None, **fields: Any) -> Run:
    """A finished run with this score; failed without one, unless `fields` say otherwise."""
    values = {
        "id": f"id-{number:04d}",
        "name": f"run-{number}",
        "command": "python train.py",
        "workdir": "w",
        "status": RunStatus.FINISHED if score is not None else RunStatus.FAILED,
        "created_at": float(number),
        "started_at": float(number),
        "finished_at": number + 2.0,
        "exit_code": 0 if score is not None else 1,
        "error": None if score is not None else "exit code 1",
        "run_dir": "d",
        "metrics": {} if score is None else {"loss": 0.5, "score": score},
        # The seed reaches the program by its environment, so that it is no mere label.
        "variables": ["SEED"] if "seed" in {**fields, **fields.get("parameters", {})} else [],
    } | fields
    return Run.model_validate(values)


def made_record(index: int, kind: ChangeKind | str | None = None, **fields: Any) -> IterationRecord:
    """An iteration that changed a file and declared this kind of change."""
    change = Change(kind=ChangeKind(kind), text=f"change {index}") if kind else None
    values = {"started_at": float(index), "files_changed": 1, "change": change} | fields
    return IterationRecord.model_validate({"index": index} | values)


def made_account(
    runs: Sequence[Run],
    metric: MetricConfig | None = None,
    records: Sequence[IterationRecord] = (),
) -> Account:
    """The account of some runs, by `score` unless another metric is given."""
    contract = Contract(metric or MetricConfig(name="score"))
    return Account(runs, contract, None, calls_of(records))
