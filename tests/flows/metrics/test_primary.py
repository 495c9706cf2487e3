"""Which metric a run is judged by."""

import pytest

from flows.metrics import contract_metric, primary_metric
from flows.models.sweep import SweepRecord
from flows.project import MetricConfig, ProjectConfig

PLAN = "# Goal\nx\n\n## Shared Metrics and Analytics Contract\n- {line}\n"
PROJECT = ProjectConfig(metric=MetricConfig(name="project_loss", direction="min"))


def sweep(metric: str | None) -> SweepRecord:
    return SweepRecord(id="s", name="s", created_at=0, metric=metric, direction="min")


def test_the_sweep_comes_before_the_contract_and_that_before_the_project() -> None:
    plan = PLAN.format(line="Primary metric: `contract_acc` (max)")
    assert primary_metric(sweep("fit"), plan, PROJECT) == MetricConfig(name="fit", direction="min")
    assert primary_metric(sweep(None), plan, PROJECT) == MetricConfig(name="contract_acc")
    assert primary_metric(None, "# Goal\nx\n", PROJECT) == PROJECT.metric
    assert primary_metric(None, None, ProjectConfig()) is None


@pytest.mark.parametrize(
    ("line", "name", "direction"),
    [
        ("Primary metric: val_accuracy (max), last value in metrics.jsonl", "val_accuracy", "max"),
        ("Primary metric: `val/loss`, direction: min.", "val/loss", "min"),
        ("**Primary metric:** loss, lower is better", "loss", "min"),
        ("primary_metric = f1; maximise it", "f1", "max"),
        ("Primary metric: `odd name`", "odd name", "max"),
    ],
)
def test_contract_lines(line: str, name: str, direction: str) -> None:
    found = contract_metric(PLAN.format(line=line))
    assert found is not None
    assert (found.name, found.direction) == (name, direction)


def test_a_contract_without_direction_has_that_of_the_project() -> None:
    plan = PLAN.format(line="Primary metric: project_loss.")
    assert primary_metric(None, plan, PROJECT) == PROJECT.metric


@pytest.mark.parametrize("line", ["Metric: x", "Primary metric:", "The primary metric matters"])
def test_a_contract_that_names_none(line: str) -> None:
    assert contract_metric(PLAN.format(line=line)) is None


def test_a_line_outside_the_contract_does_not_count() -> None:
    assert contract_metric("## Planning Notes\nPrimary metric: x\n") is None
