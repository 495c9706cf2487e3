"""What decides: metric, direction, target, the command of a run, and what nobody edits."""

from wildloop.flows.models.contract import SessionContract
from wildloop.flows.prompt.state import PromptState

SHOWN_PROTECTED = 8
BETTER = {"min": "smaller is better", "max": "larger is better"}
NO_METRIC = (
    "No primary metric is named: write `Primary metric: NAME (max|min)` into the plan's contract, "
    "else nothing is compared."
)


def decides_section(state: PromptState) -> str:
    """What decides, in a few sentences that stay the same throughout a session."""
    fixed = state.fixed
    lines = [_metric(fixed), _commands(fixed), _protected(state)]
    if fixed.metric is not None:
        lines.append("Only the user changes this.")
    return " ".join(filter(None, lines))


def train_command(state: PromptState) -> str | None:
    """The project's command, without its seed; None where wildloop.toml names none."""
    return " ".join((state.fixed.train or "").split()) or None


def _metric(fixed: SessionContract) -> str:
    if fixed.metric is None:
        return NO_METRIC
    told = f"`{fixed.metric}`, {BETTER[fixed.direction]}"
    if fixed.evaluate is not None:
        told += f", as `{fixed.evaluate}` gives it, run by Wildloop on a run's outputs."
    else:
        told += (
            ": the last value that a run records (a line in `$WILDLOOP_RUN_DIR/metrics.jsonl`, or "
            "`name: value` at the end of its output)."
        )
    if fixed.target is not None:
        words = ("at least", "above") if fixed.direction == "max" else ("at most", "below")
        told += f" Wanted: {words[not fixed.target_inclusive]} {fixed.target:g}."
    return told


def _commands(fixed: SessionContract) -> str:
    told = ""
    if fixed.train is not None:
        told = f"Command of a run: `{fixed.train}`, with `--{fixed.seed_parameter or 'seed'}=S`."
    if fixed.holdout is not None:
        told += " At the end what is confirmed is measured on data that nobody here can read."
    return told.strip()


def _protected(state: PromptState) -> str:
    patterns = state.project.protected_patterns if state.project is not None else []
    shown = [f"`{name}`" for name in dict.fromkeys([*patterns, "wildloop.toml"])]
    more = f" and {len(shown) - SHOWN_PROTECTED} more" if len(shown) > SHOWN_PROTECTED else ""
    names = ", ".join(shown[:SHOWN_PROTECTED])
    return f"Protected, put back if touched: {names}{more}."
