"""The account in words: the same sentences in status, prompt and report."""

from collections.abc import Sequence

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.lessons import effect
from wildloop.flows.evidence.simplest import tie_text
from wildloop.flows.models.evidence import Comparison, Level, Standing

SHOWN_CANDIDATES = 3
SHOWN_SHARED = 3
# `python -m bench.claims` shows by how much.
SELECTED = "by the seeds that decided, so rather too high than too low"
NO_METRIC = "no primary metric is named, so nothing is compared"


def headline(account: Account) -> str:
    """What the session has shown, in one sentence."""
    metric, base, best = account.contract.metric, account.baseline, account.best
    if metric is None:
        return NO_METRIC
    if base is None:
        return "no run has ended yet" if not account.configurations else "no baseline"
    if base.mean is None:
        return (
            f"the baseline ({base.name}) has no value of {metric.name}: nothing can be shown to be "
            "better than it"
        )
    if best is None or best is base:
        held = " that keeps the guards" if account.shown else ""
        return (
            f"nothing{held} is shown to be better than {reference(account)}: {metric.name} "
            f"{scored(base, True)} ({base.name})"
        )
    gain = account.gain
    is_further = gain is not None and gain.further > 0
    text = f"{metric.name} {account.final(best).text if is_further else scored(best)} ({best.name})"
    if gain is not None:
        what = "the baseline's" if account.has_true_baseline else "what stands for the baseline,"
        text += f", {gain.gain:+.4g} on {what} {gain.theirs.text}{certainty(account)}"
        text += borne_out(gain)
    return text + standing_behind(best) + tie_text(account.ties, account.why_simplest)


def reference(account: Account) -> str:
    """What all is compared with: the baseline, or what stands for it."""
    if account.has_true_baseline:
        return "the baseline"
    return "what stands for the baseline (its own command has not run)"


def standing_behind(one: Configuration) -> str:
    """The level of what a configuration is compared by, and why it is no more than claimed."""
    if one.level is Level.CONFIRMED:
        return f"; confirmed by {len(one.behind)} runs of Wildloop's own"
    if one.level is Level.MEASURED:
        return "; measured, not confirmed"
    why = f" ({one.doubts[0]})" if one.doubts else ""
    return f"; no more than claimed{why}"


def certainty(account: Account) -> str:
    """How sure the gain of the best is."""
    gain = account.gain
    if gain is None or gain.p is None:
        return ""
    if account.is_exact:
        return ", exact: the metric has no spread"
    bounds = f", 95 % interval {gain.low:+.4g} to {gain.high:+.4g}" if gain.low is not None else ""
    if gain.further:
        return (
            f"{bounds}, by {gain.further} further seeds of each, which have decided nothing; by "
            f"those that decided p = {gain.p:.2g}"
        )
    return f"{bounds}, p = {gain.p:.2g} ({SELECTED})"


def borne_out(gain: Comparison) -> str:
    """Whether the seeds that have decided nothing bear a gain out; empty where they do."""
    if not gain.further or gain.gain > 0:
        return ""
    return "; THE FURTHER SEEDS DO NOT BEAR IT OUT"


def scored(one: Configuration, is_reference: bool = False) -> str:
    """A configuration's estimate, by the seeds that did not choose it where there are such."""
    if one.own.n > 1:
        return one.own.text
    if is_reference or one.compared is one.estimate or one.confirming is None:
        return one.estimate.text
    return f"{one.compared.text} by seeds that did not choose it"


def target_line(account: Account) -> str | None:
    """Whether the goal's number is reached; None where it sets none."""
    target, verdict = account.contract.target, account.target_verdict
    if target is None or account.contract.metric is None:
        return None
    best = account.best or account.baseline
    word = "above" if target.direction == "max" else "below"
    said = f"target {account.contract.metric.name} {word} {target.value:g}: {verdict}"
    if best is None or best.mean is None:
        return said
    found = account.final(best)
    if found.low is None or found.high is None or account.is_exact or found.sd == 0:
        return f"{said} ({found.text})"
    return f"{said} ({found.text}, 95 % interval {found.low:.4g} to {found.high:.4g})"


def candidate_lines(account: Account) -> list[str]:
    """What looks better and is not shown to be, with what would decide."""
    lines = []
    for one in account.candidates[:SHOWN_CANDIDATES]:
        lines.append(f"{one.name}: {one.score}; {what_decides(account, one)}")
    if (more := len(account.candidates) - SHOWN_CANDIDATES) > 0:
        lines.append(f"and {more} more")
    return lines


def what_decides(account: Account, one: Configuration) -> str:
    """What would decide about a configuration that looks better."""
    standing = account.standing(one)
    if standing is Standing.INCOMPLETE:
        return f"seed {', '.join(one.missing_seeds)} has no value"
    if account.contract.confirms and one.doubts:
        return f"no more than claimed: {one.doubts[0]}"
    if not one.is_unchosen:
        return "one seed beside those that chose it: another one or more would decide"
    more = account.seeds_to_decide(one)
    if more is None:
        return f"{standing.value}; more than 50 seeds would be needed as things look"
    return f"{standing.value}; about {more} more seed{'s' if more > 1 else ''} would decide"


def findings(account: Account) -> list[str]:
    """What is established, a sentence each: the lessons of a session."""
    found = effect(account)
    return [found] if found is not None else []


def notes(account: Account) -> list[str]:
    """What the numbers do not tell."""
    found = [
        f"{run.name} is of unknown code and not compared: {run.code_note}"
        for run in account.unknown
    ]
    if account.baseline is not None and not account.has_true_baseline:
        found.append(
            f"{account.baseline.name} stands for the baseline: no run has executed the baseline "
            "command on the code that the session began with"
        )
    found += shared_note(account)
    for one in account.shown:
        if said := account.breaches(one):
            found.append(f"{one.name} is better, but breaks a guard ({'; '.join(said)})")
    for one in account.configurations:
        if one.withdrawn:
            found.append(f"{one.name} was withdrawn: {one.withdrawn}")
        if one.has_label_seeds:
            found.append(
                f"the seeds of {one.name} are labels: its command is the same for each of them, so "
                "they count as one"
            )
        if one.has_idle_seeds and not account.is_exact:
            found.append(
                f"the seeds of {one.name} change nothing, while other configurations vary: all of "
                f"them gave {one.estimate.values[0]:.6g}"
            )
        if one.not_reproducible and account.is_exact:
            seeds = ", ".join(one.not_reproducible)
            found.append(f"{one.name} is not reproducible: seed {seeds} gave different values")
        if one.missing_seeds and one.n:
            found.append(f"{one.name} has no value for seed {', '.join(one.missing_seeds)}")
    return found


def shared_note(account: Account) -> list[str]:
    """The outputs that runs beside each other may all have written."""
    runs = [run for one in account.configurations for run in one.runs if run.shared_files]
    files = list(dict.fromkeys(name for run in runs for name in run.shared_files))
    if not files:
        return []
    names = _some([run.name for run in runs])
    return [
        f"{names} ran beside others in one folder, and each may have read what another wrote there "
        f"({_some(files)}): write to $WILDLOOP_RUN_DIR, or run with --isolate"
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_SHARED} more" if len(names) > SHOWN_SHARED else ""
    return ", ".join(names[:SHOWN_SHARED]) + more
