"""What a reflection is to weigh beside the table: ablation, failures by cause, what is spent."""

from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.run import RunStatus
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.struggle.failures import causes
from wildloop.flows.text.redaction import redact

CAUSES = 5
CELL = 140
ABLATED = 8
IDS = 6


def evidence_section(state: PromptState) -> str:
    """The best against the baseline with their runs, ablation, failures, doubts and cost."""
    lines = [*_comparison(state.account), *_causes(state), _spent(state)]
    return "\n".join(f"- {line}" for line in lines)


def _comparison(account: Account) -> list[str]:
    metric, best, base = account.contract.metric, account.best, account.baseline
    if metric is None:
        return [
            "No primary metric is configured ([metric] name in wildloop.toml), so nothing is "
            "compared here."
        ]
    lines = []
    if base is not None and base.n:
        lines.append(f"baseline: {base.name}: {metric.name} {base.score}, runs {_ids(base)}")
    if best is not None and best is not base:
        lines.append(f"best: {best.name}: {metric.name} {best.score}, runs {_ids(best)}")
    ablated = ablation(account)
    if ablated is not None:
        rows = ablated.rows[:ABLATED]
        lines += [f"ablation of {ablated.reference_label}: {one.text}" for one in rows]
    return lines


def _ids(one: Configuration) -> str:
    finished = [run.id[:8] for run in one.runs if run.status is RunStatus.FINISHED]
    return ", ".join(finished[:IDS]) + (" ..." if len(finished) > IDS else "")


def _causes(state: PromptState) -> list[str]:
    found = sorted(causes(state.runs, state.logs), key=lambda cause: -len(cause.runs))
    if not found:
        return ["no run failed"]
    lines = []
    for cause in found[:CAUSES]:
        names = ", ".join(run.name[:40] for run in cause.runs[:3])
        names += " ..." if len(cause.runs) > 3 else ""
        lines.append(f"failed: {len(cause.runs)} x {redact(cause.text)[:CELL]} ({names})")
    if len(found) > CAUSES:
        lines.append(f"failed: {len(found) - CAUSES} more causes")
    return lines


def _spent(state: PromptState) -> str:
    records, used = state.record.iterations, state.used
    seconds = sum((it.finished_at or it.started_at) - it.started_at for it in records)
    return (
        f"spent: {len(records)} agent calls in {seconds / 3600:.2f} h, {len(state.runs)} runs, "
        f"{used.gpu_hours:.2f} slot-hours, {used.core_hours:.2f} core-hours without a GPU, "
        f"${used.cost_usd:.2f}, {used.hours:.2f} h since the start"
    )
