"""Which metric a run is judged by."""

import pytest

from wildloop.flows.metrics import plan_metric, primary_metric
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.project import MetricConfig, ProjectConfig

PLAN = "# Goal\nx\n\n## Shared Metrics and Analytics Contract\n- {line}\n"
PROJECT = ProjectConfig(metric=MetricConfig(name="project_loss", direction="min"))


def sweep(metric: str | None) -> SweepRecord:
    return SweepRecord(id="s", name="s", created_at=0, metric=metric, direction="min")


def test_the_sweep_comes_before_the_contract_and_that_before_the_project() -> None:
    fixed = MetricConfig(name="contract_acc")
    assert primary_metric(sweep("fit"), fixed, PROJECT) == MetricConfig(name="fit", direction="min")
    assert primary_metric(sweep(None), fixed, PROJECT) == fixed
    assert primary_metric(None, None, PROJECT) == PROJECT.metric
    assert primary_metric(None, None, ProjectConfig()) is None


@pytest.mark.parametrize(
    ("line", "name", "direction"),
    [
        ("Primary metric: val_accuracy (max), last value in metrics.jsonl", "val_accuracy", "max"),
        ("Primary metric: `val/loss`, direction: min.", "val/loss", "min"),
        ("**Primary metric:** loss, lower is better", "loss", "min"),
        ("primary_metric = f1; maximise it", "f1", "max"),
        ("Primary metric: `odd name`", "odd name", None),
        ("Primary metric: rmse (RMSE on the max-pooled split; lower is better)", "rmse", "min"),
        ("Primary metric: rmse (RMSE on the max-pooled split)", "rmse", None),
        ("Primary metric: val_bpb, want it low", "val_bpb", None),
        ("Primary metric: loss (min), or (max) if you like", "loss", None),
        ("Primary metric: loss - min", "loss", "min"),
    ],
)
def test_a_direction_is_a_statement_of_its_own_and_never_guessed(
    line: str, name: str, direction: str | None
) -> None:
    assert plan_metric(PLAN.format(line=line)) == (name, direction)


@pytest.mark.parametrize(
    "line",
    [
        "Metric: x",
        "Primary metric:",
        "The primary metric matters",
        "The primary metric is the accuracy on the validation set",
    ],
)
def test_a_contract_that_names_none(line: str) -> None:
    assert plan_metric(PLAN.format(line=line)) is None


def test_a_line_outside_the_contract_does_not_count() -> None:
    assert plan_metric("## Planning Notes\nPrimary metric: x\n") is None
