"""The report's section about changes that were kept and discarded."""

from wildloop.flows.keep.decide import describe
from wildloop.flows.keep.ledger import row_of
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.report.text import code, plain, table

HEADER = (
    "iteration",
    "status",
    "change",
    "test",
    "mean",
    "sd",
    "n",
    "best before",
    "p",
    "below",
)
DESCRIPTION_LENGTH = 100
REASON_LENGTH = 200


def kept(state: KeepState, alpha: float) -> str:
    """Every decision with its numbers, and what they are worth."""
    if not state.verdicts:
        return "No change was measured."
    counts = {status: sum(one.status is status for one in state.verdicts) for status in KeepStatus}
    told = ", ".join(
        f"{count} {status.value}"
        for status, count in counts.items()
        if count or status in (KeepStatus.KEEP, KeepStatus.DISCARD, KeepStatus.CRASH)
    )
    parts = [
        table(HEADER, [_row(one) for one in state.verdicts], right=6),
        f"{told}. The tests are one-sided. All of them share alpha = {alpha:g}, in shares of 1/2, "
        "1/6, 1/12 and so on since the last keep: of a hundred sessions where nothing helps at "
        f"most about {100 * alpha:g} keep anything.",
    ]
    if state.best is not None:
        best = state.best
        runs = ", ".join(map(code, best.run_ids))
        commit = code((best.commit or "")[:12])
        parts.append(
            f"Best: {describe(best)}, iteration {best.iteration}, commit {commit}, runs {runs}."
        )
    warnings = [
        f"- {one.label}: {plain(warning)}" for one in state.verdicts for warning in one.warnings
    ]
    return "\n\n".join([*parts, *(["\n".join(warnings)] if warnings else [])])


def _row(verdict: Verdict) -> list[str]:
    cells = row_of(verdict)
    tag = f" ({code(cells.tag)})" if cells.tag else ""
    test = plain(cells.test or cells.why, DESCRIPTION_LENGTH)
    if verdict.refused:
        test += f", but {plain(verdict.refused, REASON_LENGTH)}"
    return [
        str(cells.iteration),
        cells.status.value,
        plain(cells.description, DESCRIPTION_LENGTH) + tag,
        test,
        _number(cells.metric),
        _number(cells.sd),
        str(cells.n),
        _number(cells.best_mean),
        _number(cells.p),
        _number(cells.limit),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
