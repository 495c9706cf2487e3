"""The verdict: what a session has reached and how sure that is, in one short sentence."""

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.evidence import Comparison, Level
from wildloop.flows.text.plural import counted

NO_METRIC = "No primary metric is named, so nothing is compared"
NO_RUN = "No run has ended yet"


def verdict(account: Account) -> str:
    """The first sentence of everything that tells of a session, without a full stop.

    Each way in which a session can end has its own; nothing is called the baseline or the best
    that is not.
    """
    metric, base = account.contract.metric, account.baseline
    if metric is None:
        return NO_METRIC
    if not any(one.n for one in account.configurations):
        return _nothing_measured(account, metric.name)
    if base is None:
        return "There is no baseline: all that ran was withdrawn"
    if base.mean is None:
        return _without_baseline(account, base, metric.name)
    if account.gain is not None and account.best is not None:
        return _gain(account, account.best, metric.name)
    return _nothing_better(account, base, metric.name) + _goal(account)


def share(account: Account) -> float | None:
    """The best's mean by the baseline's, less one; None where that is no share."""
    gain = account.gain
    if gain is None or gain.ours.mean is None or gain.theirs.mean is None:
        return None
    if gain.ours.mean <= 0 or gain.theirs.mean <= 0:
        return None
    return gain.ours.mean / gain.theirs.mean - 1


def _nothing_measured(account: Account, metric: str) -> str:
    count = sum(len(one.runs) for one in account.configurations) + len(account.unknown)
    if not count:
        return NO_RUN
    if not all(one.is_over for one in account.configurations):
        return f"No run has a value of {metric} yet"
    which = "The only run has no" if count == 1 else f"None of the {count} runs has a"
    return f"{which} value of {metric}: nothing was measured"


def _without_baseline(account: Account, base: Configuration, metric: str) -> str:
    """Others have values, but there is nothing to compare them with."""
    what = "The baseline" if account.has_true_baseline else "What would stand for the baseline"
    failed = len(base.failures)
    why = f" ({counted(failed, 'run')} failed)" if failed else ""
    pick = max if account.direction == "max" else min
    word = "highest" if account.direction == "max" else "lowest"
    top = pick((one for one in account.configurations if one.n), key=lambda one: one.mean or 0.0)
    return (
        f"{what} has no value of {metric}{why}, so no gain can be told; the {word} mean without it "
        f"is {top.score} ({top.name})"
    )


def _nothing_better(account: Account, base: Configuration, metric: str) -> str:
    told = f"{metric} {base.compared.text}"
    others = [one for one in account.configurations if one.n and one is not base]
    if not others and base.n == 1 and len(base.runs) == 1:
        return f"One run only, so nothing is compared: {told}"
    what = "the baseline" if account.has_true_baseline else "what stands for the baseline"
    if not others:
        return f"Only {what} has been measured: {told}"
    held = " that keeps the guards" if account.shown else ""
    looks = len(account.candidates)
    more = f"; {counted(looks, 'candidate')} not decided" if looks else ""
    return f"Nothing{held} is shown to be better than {what}: {told}{more}"


def _gain(account: Account, best: Configuration, metric: str) -> str:
    gain, part = account.gain, share(account)
    assert gain is not None
    is_higher = (gain.ours.mean or 0.0) > (gain.theirs.mean or 0.0)
    word = "higher" if is_higher else "lower"
    told = f"{metric} is {100 * abs(part):.2g} % {word}" if part else f"{metric} is {word}"
    base = "" if account.has_true_baseline else ", compared with what stands for the baseline"
    text = f"{gain.ours.text} against {gain.theirs.text}: {told}{base}{_goal(account)}"
    if account.is_exact:
        text += ", exact"
    return f"{text}, {_level(best, gain)}{_tie(account)}"


def _level(best: Configuration, gain: Comparison) -> str:
    if best.level is Level.CONFIRMED:
        told = f"confirmed on {counted(best.compared.n, 'fresh seed')}"
        if not gain.further:
            return told
        if gain.gain <= 0:
            return f"{told}, BUT {counted(gain.further, 'FURTHER SEED')} DO NOT BEAR IT OUT"
        return f"{told} and told by {gain.further} further ones"
    if best.level is Level.MEASURED:
        return "measured, not confirmed"
    return "no more than claimed"


def _tie(account: Account) -> str:
    equal = len(account.ties) - 1
    return f"; {counted(equal, 'other configuration')} as good" if equal > 0 else ""


def _goal(account: Account) -> str:
    """Whether the goal's number is reached; empty where it sets none."""
    target, said = account.contract.target, account.target_verdict
    if target is None or said is None:
        return ""
    word = "above" if target.direction == "max" else "below"
    return f", goal {word} {target.value:g} {said}"
