"""Ablations: what each change of a reference is worth."""

import re
from collections.abc import Mapping, Sequence

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.compare import EXACT, seeds_to_decide
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.settings import differences
from wildloop.flows.models.evidence import AblationRecord, AblationRow, Comparison
from wildloop.flows.models.run import Run

# `ablation`, `ablate`, `p4-ablate-03`; also what authors write for it.
_WORD = re.compile(r"ablat", re.IGNORECASE)
RULE = (
    "A run counts as an ablation if its name, or its sweep's name or goal, has the word "
    "*ablation* or *ablate* in it. The reference is the configuration that these runs differ "
    "least from, of those that were there before them; each row is one change from it. The tests "
    "of the rows are corrected after Holm; where the reference itself is not shown to be better "
    "than the baseline, nothing is said of its parts."
)
NEEDED = "needed"
NOT_NEEDED = "not needed: simpler without"
UNDECIDED = "undecided"
NO_SINGLE_CHANGE = "no single change"


def is_ablation(run: Run, sweep_texts: Mapping[str, str]) -> bool:
    """Whether a run belongs to an ablation; `sweep_texts`: name and goal of each sweep, by id."""
    text = f"{run.name} {sweep_texts.get(run.sweep_id or '', '')}"
    return _WORD.search(text) is not None


def ablation(account: Account) -> AblationRecord | None:
    """The ablation of a session; None where there was none.

    A configuration whose first run is none of an ablation's was there before: it may be the
    reference, run once more as a control.
    """
    texts = account.sweep_texts
    planned = [one for one in account.configurations if is_ablation(one.runs[0], texts)]
    reference = _reference(account, planned)
    if reference is None or reference.mean is None:
        return None
    rows = [one for one in planned if one is not reference]
    single = [one for one in rows if one.changes_from(reference) == 1]
    may_tell = account.has_been_shown(reference) or reference is account.best
    may_tell = may_tell and reference is not account.baseline
    found = _tests(account, reference, single) if may_tell else {}
    return AblationRecord(
        reference=reference.id,
        reference_label=reference.name,
        estimate=reference.compared,
        rows=[_row(account, one, reference, found.get(one.id)) for one in rows],
    )


def _reference(account: Account, planned: Sequence[Configuration]) -> Configuration | None:
    """What the rows differ least from, of what was there before the first of them."""
    if not planned:
        return None
    begun = min(one.runs[0].created_at for one in planned)
    earlier = [
        one
        for one in account.configurations
        if one.n and one not in planned and one.runs[0].created_at < begun
    ]
    if not earlier:
        return None
    sign = -1.0 if account.direction == "max" else 1.0
    return min(
        earlier,
        key=lambda one: (
            one is account.baseline,
            sum(other.changes_from(one) for other in planned),
            sign * (one.mean or 0.0),
        ),
    )


def _tests(
    account: Account, reference: Configuration, rows: Sequence[Configuration]
) -> dict[str, Comparison]:
    """The reference against each row, both ways, corrected after Holm (two-sided)."""
    usable = [one for one in rows if one.n and not one.missing_seeds and not one.withdrawn]

    def both(one: Configuration, limit: float) -> Comparison:
        ways = [
            account.compare(*pair, limit, len(usable))
            for pair in ((reference, one), (one, reference))
        ]
        return min(ways, key=lambda way: 1.0 if way.p is None else way.p)

    alpha = account.contract.alpha
    order = sorted(usable, key=lambda one: both(one, alpha).p or 0.0)
    found, is_on = {}, True
    for place, one in enumerate(order):
        tested = both(one, alpha / (2 * (len(order) - place)))
        is_on = is_on and tested.established
        found[one.id] = tested if is_on else tested.model_copy(update={"established": False})
    return found


def _row(
    account: Account, one: Configuration, reference: Configuration, found: Comparison | None
) -> AblationRow:
    removed = removed_from(reference, one)
    row = AblationRow(
        removed=removed, configuration=one.id, comparison=found, verdict="undecided", text=""
    )
    if one.changes_from(reference) != 1:
        text = f"{removed}: {one.changes_from(reference)} changes at once, so of none of them"
        return row.model_copy(update={"verdict": NO_SINGLE_CHANGE, "text": text})
    with_it, without = reference.compared.text, one.compared.text
    if found is None:
        text = f"{removed}: {UNDECIDED}, {without} against {with_it}: nothing can be tested"
        return row.model_copy(update={"text": text})
    told = f"with it {with_it}, without {without}, p = {found.p or 0.0:.2g}"
    if found.test == EXACT:
        told = f"with it {with_it}, without {without}, exact"
    is_for = found.ours.values == reference.compared.values
    is_equal = found.test == EXACT and found.gain == 0
    if found.established and is_for:
        return row.model_copy(update={"verdict": NEEDED, "text": f"{removed}: {NEEDED} ({told})"})
    if found.established or is_equal:
        text = f"{removed}: {NOT_NEEDED} ({told})"
        return row.model_copy(update={"verdict": NOT_NEEDED, "text": text})
    more = seeds_to_decide(found)
    word = f" ({more} more seeds would decide)" if more else ""
    text = f"{removed}: {UNDECIDED}{word} ({told})"
    return row.model_copy(update={"seeds_to_decide": more, "text": text})


def removed_from(reference: Configuration, without: Configuration) -> str:
    """What the reference has and the ablated configuration has not."""
    changes = differences(reference.settings, without.settings)
    said = [f"{name}: {_said(was)} -> {_said(now)}" for name, (was, now) in changes.items()]
    if without.code != reference.code:
        said.append(f"code: {without.code_name or 'other code'}")
    return ", ".join(said) or without.runs[0].name


def _said(value: object) -> str:
    return "not set" if value is None else str(value)
