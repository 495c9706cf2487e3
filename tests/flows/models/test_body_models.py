"""Request bodies: JSON's types are taken as they are."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from wildloop.flows.models.alert import AlertCreate
from wildloop.flows.models.cluster import ManualCluster
from wildloop.flows.models.memory import MemoryCreate, MemoryUpdate
from wildloop.flows.models.run import RunCreate, RunRerun, RunSpec, RunUpdate
from wildloop.flows.models.session_options import SessionStart
from wildloop.flows.models.skill import SkillInstall
from wildloop.flows.models.sweep import SweepCreate, SweepUpdate
from wildloop.shim.models import MetricEntry, StatusReport

RUN = {"name": "a", "command": "true"}
SWEEP = {"name": "a", "base_command": "true"}
GOAL = {"goal": "g"}


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (RunCreate, RUN | {"gpus": False}, "gpus"),
        (RunCreate, RUN | {"gpus": "1"}, "gpus"),
        (RunCreate, RUN | {"gpus": 1.5}, "gpus"),
        (RunCreate, RUN | {"auto_start": 1}, "auto_start"),
        (RunCreate, RUN | {"auto_start": "yes"}, "auto_start"),
        (RunCreate, RUN | {"timeout_seconds": float("inf")}, "timeout_seconds"),
        (RunCreate, RUN | {"timeout_seconds": float("nan")}, "timeout_seconds"),
        (RunCreate, RUN | {"retry_delay_seconds": True}, "retry_delay_seconds"),
        (RunCreate, RUN | {"seed": "3"}, "seed"),
        (RunCreate, RUN | {"gpuwrap_config": {"retries": "3"}}, "gpuwrap_config"),
        (RunCreate, RUN | {"slurm": {"cpus_per_task": "4"}}, "slurm"),
        (RunUpdate, {"priority": "1"}, "priority"),
        (RunRerun, {"exact": "true"}, "exact"),
        (SweepCreate, SWEEP | {"max_runs": "5"}, "max_runs"),
        (SweepCreate, SWEEP | {"parameters": {"a": [float("nan")]}}, "parameters"),
        (SweepUpdate, {"max_runs": True}, "max_runs"),
        (AlertCreate, {"message": "m", "severity": "loud"}, "severity"),
        (ManualCluster, {"type": "slurm", "gpu_count": False}, "gpu_count"),
        (MemoryUpdate, {"is_active": 0}, "is_active"),
        (SkillInstall, {"source": "s", "replace": "no"}, "replace"),
        (SessionStart, GOAL | {"max_iterations": "5"}, "max_iterations"),
        (SessionStart, GOAL | {"budget": {"hours": "1"}}, "budget"),
        (SessionStart, GOAL | {"budget": {"hours": float("inf")}}, "budget"),
        (StatusReport, {"status": "finished", "exit_code": False}, "exit_code"),
        (MetricEntry, {"step": "1"}, "step"),
        (MetricEntry, {"step": float("nan")}, "step"),
    ],
)
def test_value_of_another_type_is_refused(
    model: type[BaseModel], body: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    assert {fault["loc"][0] for fault in refused.value.errors()} == {field}


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        (RunCreate, RUN | {"gpus": 2.0, "timeout_seconds": 5}, {"gpus": 2, "timeout_seconds": 5.0}),
        (RunCreate, RUN | {"slurm": {"cpus_per_task": 4.0}}, {}),
        (SweepCreate, SWEEP | {"status": "draft"}, {"status": "draft"}),
        (AlertCreate, {"message": "m", "severity": "info"}, {"severity": "info"}),
        (ManualCluster, {"type": "slurm"}, {"type": "slurm"}),
        (MemoryCreate, {"content": "c", "tag": "gotcha"}, {"tag": "gotcha"}),
        (SessionStart, GOAL | {"wait_seconds": 5, "budget": {"runs": 3.0}}, {"wait_seconds": 5}),
        (
            StatusReport,
            {"status": "failed", "exit_code": "3"},
            {"status": "failed", "exit_code": 3},
        ),
        (MetricEntry, {"step": 1, "loss": 0.5}, {"step": 1.0}),
    ],
)
def test_values_that_json_has_a_type_for_are_taken(
    model: type[BaseModel], body: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = model.model_validate(body).model_dump()
    assert {name: found[name] for name in expected} == expected


def test_run_is_the_same_after_a_round_trip_as_json() -> None:
    spec = RunSpec.model_validate(
        RUN
        | {
            "timeout_seconds": 5,
            "parameters": {"lr": 1e-3, "deep": {"a": [1, 2.0, None]}},
            "gpuwrap_config": {"enabled": True, "retry_delay_seconds": 1},
            "slurm": {"partition": "gpu", "extra_arguments": ["--exclusive"]},
            "checkout": {"git_commit": "0" * 40},
        }
    )
    stored = json.loads(json.dumps(spec.model_dump(mode="json", exclude_defaults=True)))
    assert RunSpec.model_validate(stored) == spec


@pytest.mark.parametrize("field", ["parameters", "env"])
def test_number_of_names_of_a_run_is_bounded(field: str) -> None:
    most = {f"p{number}": "1" for number in range(1000)}
    RunSpec.model_validate({"name": "r", "command": "true", field: most})
    with pytest.raises(ValidationError, match=field):
        RunSpec.model_validate({"name": "r", "command": "true", field: most | {"more": "1"}})
