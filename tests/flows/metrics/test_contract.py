"""What a session compares by: who fixes it, and who may change it."""

from wildloop.flows.metrics.contract import (
    changed_contract,
    contract_lines,
    contract_of,
    first_contract,
    plan_fault,
)
from wildloop.flows.models.contract import ContractChange, ContractSource, SessionContract
from wildloop.flows.project import MetricConfig, ProjectConfig

PLAN = "## Shared Metrics and Analytics Contract\n- {line}\n"
PROJECT = ProjectConfig(
    metric=MetricConfig(name="val_loss", direction="min"),
    train={"command": "python train.py", "seed": "seed"},
    baseline={"lr": 0.1},
)


def test_wildloop_toml_outranks_the_plan_and_an_attempt_is_told() -> None:
    plan = PLAN.format(line="Primary metric: train_loss (max)")
    fixed = first_contract(PROJECT, plan, "get it below 0.3")
    assert (fixed.metric, fixed.direction, fixed.source) == (
        "val_loss",
        "min",
        ContractSource.PROJECT,
    )
    assert (fixed.target, fixed.target_inclusive) == (0.3, False)
    told = plan_fault(fixed, plan)
    assert told is not None and "'train_loss' (max)" in told and "'val_loss' (min)" in told
    assert plan_fault(fixed, PLAN.format(line="Primary metric: val_loss (max)")) is not None
    assert plan_fault(fixed, PLAN.format(line="Primary metric: val_loss")) is None
    assert plan_fault(fixed, "## Goal\nx\n") is None


def test_the_plan_is_asked_only_where_the_user_left_it_open_and_only_if_it_is_clear() -> None:
    clear = PLAN.format(line="Primary metric: val_rmse (min), last value")
    fixed = first_contract(ProjectConfig(), clear, "g")
    assert (fixed.metric, fixed.direction, fixed.source) == ("val_rmse", "min", ContractSource.PLAN)
    unclear = PLAN.format(line="Primary metric: val_bpb, want it low")
    fixed = first_contract(None, unclear, "g")
    assert (fixed.metric, fixed.source) == (None, ContractSource.OPEN)
    assert contract_of(fixed, 0.05).metric is None
    told = plan_fault(fixed, unclear)
    assert told is not None and "not guessed" in told
    assert "nothing is compared" in contract_lines(fixed)[0]


def test_the_user_begins_a_new_comparison() -> None:
    fixed = first_contract(PROJECT, None, "below 0.3")
    new = changed_contract(fixed, ContractChange(metric="val_acc", direction="max"), 7.0)
    assert (new.metric, new.direction, new.target, new.number) == ("val_acc", "max", None, 2)
    assert (new.source, new.train, new.fixed_at) == (ContractSource.USER, "python train.py", 7.0)
    assert contract_lines(new)[-1] == "fixed by user, comparison 2"
    assert "seed: parameter `seed`" in contract_lines(new)


def test_a_contract_is_read_from_the_json_of_an_answer() -> None:
    fixed = first_contract(PROJECT, None, "below 0.3")
    assert SessionContract.model_validate(fixed.model_dump(mode="json")) == fixed
