"""An evolutionary sweep in words: its artifact, and what the agent is told of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.evidence.table import row
from wildloop.flows.models.evo import EvoSweepSpec, Trial, TrialStatus, key_of
from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStatus
from wildloop.flows.models.run import Run
from wildloop.flows.text.plural import counted

TOLD_TRIALS = 5
TOLD_ERRORS = 3
ERROR_LENGTH = 300
VALUE_LENGTH = 60
TABLE_LIMIT = 500
CANDIDATE = (
    "Of many single runs the best is lucky as well as good: it is a candidate, until fresh seeds "
    "of it are compared with the baseline's."
)


def sweep_markdown(record: EvoSweepRecord) -> str:
    """The sweep as a person reads it: how far it is, the best trial, all trials."""
    state = record.state
    parts = [f"# {_line(record.name)}", progress(record), _best(record)]
    parts += [_table(state.spec, state.trials[-TABLE_LIMIT:])] if state.trials else []
    if len(state.trials) > TABLE_LIMIT:
        parts.append(f"The last {TABLE_LIMIT} of {len(state.trials)} trials.")
    if record.plots:
        parts.append("Plots: " + ", ".join(f"`{path}`" for path in record.plots))
    return "\n\n".join(parts) + "\n"


def progress(record: EvoSweepRecord) -> str:
    """Where the sweep is, in a sentence or two."""
    state = record.state
    counts = Counter(one.status for one in state.trials)
    numbers = ", ".join(f"{counts[status]} {status.value}" for status in TrialStatus)
    text = (
        f"Evolutionary sweep `{_line(record.name)}` (sweep {record.sweep_id}) is "
        f"{record.status.value}: {len(state.trials)} of {state.spec.budget} trials asked "
        f"({numbers}), generation {state.generation + 1} of {state.spec.generations}."
    )
    return f"{text} {_line(record.reason)}" if record.reason else text


def sweep_results(record: EvoSweepRecord) -> str:
    """What an ended sweep has found, for the next prompt: the best, the leaders, the failures."""
    state = record.state
    parts = [progress(record), _best(record)]
    ranked = sorted(
        (one for one in state.trials if one.status is TrialStatus.FINISHED),
        key=lambda one: ((one.value or 0.0) * _sign(state.spec), one.number),
    )
    if ranked:
        parts.append(_table(state.spec, ranked[:TOLD_TRIALS]))
    if len(ranked) > TOLD_TRIALS:
        parts.append(
            f"The best {TOLD_TRIALS} of {len(ranked)} finished trials; all are in "
            f"GET /wild/v2/evo-sweep/{record.session_id}."
        )
    errors = Counter(_line(one.error or "") for one in state.trials if one.error)
    parts += [
        f"- {counted(count, 'trial')} failed: {error[:ERROR_LENGTH]}"
        for error, count in errors.most_common(TOLD_ERRORS)
    ]
    if record.plots:
        folder = Path(record.plots[0]).parent
        parts.append(f"Plots: `{folder}` ({', '.join(Path(path).name for path in record.plots)})")
    return "\n\n".join(parts)


def told_by(record: EvoSweepRecord | None, run: Run) -> bool:
    """Whether a run is a trial that the sweep tells of, so that no other table need.

    Trials that outlived their sweep are told of as any run.
    """
    if record is None or run.sweep_id != record.sweep_id:
        return False
    return record.finished_at is None or (run.finished_at or 0) <= record.finished_at


def evo_sweep_section(enabled: bool, record: EvoSweepRecord | None) -> str:
    """What the agent must know of evolutionary sweeps now; empty where they are not enabled."""
    if not enabled:
        return ""
    lines = ["\n## Evolutionary sweeps\n"]
    if record is None or record.status.is_terminal:
        lines.append(
            "They are enabled: an `<evo_sweep>` block in an iteration's answer searches parameters "
            "by itself, run by run. None is under way."
        )
    else:
        lines += [
            progress(record),
            "",
            "It goes on by itself, also while you answer: do not ask for another one and do not "
            "create its trials by hand. Its result is told when it has ended. To end it early: "
            f"`POST /wild/v2/evo-sweep/{record.session_id}/stop`.",
        ]
    return "\n".join(lines) + "\n"


def _best(record: EvoSweepRecord) -> str:
    spec, best = record.state.spec, record.state.best
    metric = f"{_line(spec.fitness_metric)} ({spec.fitness_direction})"
    if best is None:
        return (
            f"No trial has finished with {metric} yet."
            if not _ended(record)
            else (f"No trial has finished with {metric}: there is no best one.")
        )
    parameters = ", ".join(f"{key}={_value(value)}" for key, value in best.parameters.items())
    return (
        f"Best single run: {metric} = {best.value:.6g} by trial {best.number} (run {best.run_id}) "
        f"with {parameters}. {CANDIDATE}"
    )


def _ended(record: EvoSweepRecord) -> bool:
    return record.status is not EvoSweepStatus.RUNNING


def _table(spec: EvoSweepSpec, trials: Sequence[Trial]) -> str:
    names = list(spec.search_space)
    header = ["trial", "generation", "status", spec.fitness_metric, *names, "run"]
    lines = [row([_line(cell) for cell in header]), "|" + " --- |" * len(header)]
    for one in trials:
        values = [_value(one.parameters[name]) if name in one.parameters else "" for name in names]
        fitness = "" if one.value is None else f"{one.value:.6g}"
        cells = [str(one.number), str(one.generation + 1), one.status.value, fitness]
        lines.append(row([*cells, *values, one.run_id or ""]))
    return "\n".join(lines)


def _value(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else value
    shown = _line(text if isinstance(text, str) else key_of(text))  # type: ignore[arg-type]
    return shown if len(shown) <= VALUE_LENGTH else shown[: VALUE_LENGTH - 3] + "..."


def _sign(spec: EvoSweepSpec) -> int:
    return -1 if spec.fitness_direction == "max" else 1


def _line(text: str) -> str:
    """Text of others on one line, so that it makes no heading and no row of its own."""
    return " ".join(text.split())
