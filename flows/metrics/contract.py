"""What a session compares by: fixed from wildloop.toml, or from the plan where that is silent."""

from collections.abc import Mapping

from wildloop.flows.evidence.account import Contract
from wildloop.flows.evidence.target import Target, target_of
from wildloop.flows.metrics.primary import plan_metric
from wildloop.flows.models.contract import ContractChange, ContractSource, SessionContract
from wildloop.flows.models.guard import parse_guard
from wildloop.flows.project import MetricConfig, ProjectConfig

FORM = "`Primary metric: NAME (min)` or `Primary metric: NAME (max)`"


def first_contract(
    project: ProjectConfig | None, plan: str | None, goal: str, now: float | None = None
) -> SessionContract:
    """The contract that a session begins with.

    wildloop.toml says what counts; the plan is asked only where it names no metric, and only
    a plan that states the direction.

    Args:
        project: wildloop.toml, if there is one.
        plan: the text of tasks.md, if there is one.
        goal: of the session; the one number that it sets for the metric is the target, where
            `[metric] target` names none.
        now: Unix seconds, to be noted.
    """
    project = project or ProjectConfig()
    found = SessionContract(
        train=_text(project.train.get("command")),
        baseline=project.baseline,
        seed_parameter=_text(project.train.get("seed")),
        evaluate=project.evaluate.command if project.evaluate else None,
        evaluate_gpus=project.evaluate.gpus if project.evaluate else 0,
        evaluate_seconds=project.evaluate.timeout_seconds if project.evaluate else 1800.0,
        holdout=project.holdout.command if project.holdout else None,
        protected=project.protected_patterns,
        guards=list(project.metric.guards) if project.metric else [],
        confirm_seeds=project.confirm.seeds,
        confirm_share=project.confirm.share,
        further_seeds=project.confirm.further,
        fixed_at=now,
    )
    metric, planned = project.metric, plan_metric(plan or "")
    if metric is not None:
        found.source = ContractSource.PROJECT
        found.metric, found.direction, found.target = metric.name, metric.direction, metric.target
    elif planned is not None and planned.direction is not None:
        found.source = ContractSource.PLAN
        found.metric, found.direction = planned.name, planned.direction
    if found.metric is not None and found.target is None:
        target = target_of(goal, found.direction)
        if target is not None:
            found.target, found.target_inclusive = target.value, target.inclusive
    return found


def changed_contract(
    before: SessionContract, change: ContractChange, now: float
) -> SessionContract:
    """The contract as the user wants it from now on; it begins a new comparison."""
    given = change.model_dump(exclude_unset=True, exclude_none=True)
    if ("metric" in given or "direction" in given) and "target" not in given:
        # The number was set for another metric.
        given["target"] = None
    fixed = {"source": ContractSource.USER, "number": before.number + 1, "fixed_at": now}
    return before.model_copy(update=given | fixed)


def contract_of(
    fixed: SessionContract, alpha: float, evaluated: Mapping[str, float] | None = None
) -> Contract:
    """What the account compares by.

    Args:
        fixed: of the session.
        alpha: probability that a session where nothing helps claims anything.
        evaluated: the values of its [evaluate] command, by run id.
    """
    target = None
    if fixed.target is not None:
        target = Target(
            value=fixed.target, direction=fixed.direction, inclusive=fixed.target_inclusive
        )
    return Contract(
        metric_of(fixed),
        fixed.baseline,
        alpha,
        target,
        command=fixed.train,
        code=fixed.baseline_code,
        is_guarded=bool(fixed.protected or fixed.evaluate),
        evaluated=(evaluated or {}) if fixed.evaluate else None,
        confirms=fixed.may_confirm,
        guards=[parse_guard(text) for text in fixed.guards],
        begun=fixed.fixed_at,
    )


def metric_of(fixed: SessionContract) -> MetricConfig | None:
    """The metric of a contract; None where none is named."""
    if fixed.metric is None:
        return None
    return MetricConfig(name=fixed.metric, direction=fixed.direction, target=fixed.target)


def plan_fault(fixed: SessionContract, plan: str) -> str | None:
    """What is wrong with the metric that a plan names; None where nothing is."""
    named = plan_metric(plan)
    if named is None:
        return None
    if fixed.metric is None:
        if named.direction is not None:
            return None
        return (
            f"The plan's contract does not say in which direction '{named.name}' is better, and "
            f"it is not guessed: write {FORM}. Until then nothing is compared."
        )
    is_other = named.name != fixed.metric or named.direction not in (None, fixed.direction)
    if not is_other:
        return None
    direction = f" ({named.direction})" if named.direction else ""
    return (
        f"The plan names the primary metric '{named.name}'{direction}, but this session compares "
        f"by '{fixed.metric}' ({fixed.direction}), fixed by {fixed.source.value}: only the user "
        "changes that. Write the plan's contract accordingly."
    )


def contract_lines(fixed: SessionContract) -> list[str]:
    """What decides, a line each: the same in status, prompt and report."""
    if fixed.metric is None:
        return [
            "metric: none is fixed, so nothing is compared ([metric] in wildloop.toml, or "
            "`wildloop contract set --metric NAME --direction min|max`)"
        ]
    word = "smaller" if fixed.direction == "min" else "larger"
    lines = [f"metric: {fixed.metric} ({fixed.direction}: {word} is better)"]
    if fixed.target is not None:
        lines.append(f"target: {fixed.target:g}")
    if fixed.train is not None:
        lines.append(f"command: `{fixed.train}`")
    if fixed.seed_parameter is not None:
        lines.append(f"seed: parameter `{fixed.seed_parameter}`")
    lines += [f"guard: {text}" for text in fixed.guards]
    if fixed.evaluate is not None:
        lines.append(f"value from: `{fixed.evaluate}`, run by Wildloop on the outputs of a run")
    if fixed.protected:
        lines.append(f"protected: {', '.join(fixed.protected)}")
    if fixed.holdout is not None:
        lines.append("hold-out: sealed, asked at the end for what is confirmed")
    number = f", comparison {fixed.number}" if fixed.number > 1 else ""
    return [*lines, f"fixed by {fixed.source.value}{number}"]


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
