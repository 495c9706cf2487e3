"""What would be believed: the rule of the comparison, and the smallest gain that it can show."""

from wildloop.flows.evidence.power import smallest_gain
from wildloop.flows.keep.decide import limit_of
from wildloop.flows.keep.texts import last_verdict
from wildloop.flows.prompt.state import PromptState

SEEDS = (2, 3, 5)
MANY_SEEDS = 3


def believed_section(state: PromptState) -> str:
    """The rule in words, and what so many seeds would show nine times in ten."""
    account, spec = state.account, state.spec
    metric = account.contract.metric
    if metric is None:
        return "Nothing is compared: no primary metric is named."
    reference = account.best or account.baseline
    if reference is None or reference.mean is None:
        first = (
            "Nothing is measured yet: the first iteration with runs sets the best. Run the "
            f"unchanged code on {MANY_SEEDS} or more seeds: their spread is what a gain must "
            "exceed."
        )
        return "\n\n".join(filter(None, [first, _rule(state), last_verdict(state.record.keep)]))
    if account.is_exact:
        said = "The metric has no spread between seeds: any difference is shown by one seed."
    else:
        said = _gains(state)
    kept = last_verdict(state.record.keep) if spec.keep == "better" else ""
    return "\n\n".join(filter(None, [_rule(state), said, kept]))


def _rule(state: PromptState) -> str:
    if state.spec.keep == "better":
        limit = limit_of(state.record.keep.tests, state.spec.keep_alpha)
        return (
            "A change stays only if its runs beat the best in a one-sided t test over seeds, p "
            f"below {limit:.2g} for the next one (all tests since the last keep share "
            f"{state.spec.keep_alpha:g}). What is not shown is taken back by git, except in "
            "`.wild`; its tag remains. So: one change an iteration, no commit of yours, the same "
            "seeds as the best, notes under `.wild/`. A configuration of which a seed failed does "
            "not count."
        )
    return (
        "Better is what a one-sided t test over seeds shows against the baseline (alpha "
        f"{state.account.contract.alpha:g}, shared by all configurations that have two seeds or "
        "more). A single seed is a candidate, a changed seed no improvement."
    )


def _gains(state: PromptState) -> str:
    account, found = state.account, dict[int, float]()
    for seeds in SEEDS:
        gain = smallest_gain(account, seeds, limit=_limit(state))
        if gain is not None:
            found[seeds] = gain
    reference = account.best or account.baseline
    score = reference.compared.text if reference is not None else ""
    if not found:
        return (
            f"The spread between seeds is not known yet ({score}): no gain can be shown until "
            f"something has run on {MANY_SEEDS} seeds."
        )
    told = ", ".join(f"{gain:.2g} with {seeds} seeds" for seeds, gain in found.items())
    return (
        f"The best has {score}. By the spread so far a true gain on it is shown nine times in ten "
        f"if it is at least {told}."
    )


def _limit(state: PromptState) -> float:
    """What the next test's p-value has to be below."""
    if state.spec.keep == "better":
        return limit_of(state.record.keep.tests, state.spec.keep_alpha)
    tested = sum(1 for one in state.account.comparisons.values() if one.tried > 1) or len(
        state.account.comparisons
    )
    return state.account.contract.alpha / (tested + 1)
