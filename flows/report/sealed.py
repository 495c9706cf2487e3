"""What the hold-out has said, beside what was validated."""

from wildloop.flows.models.sealed import SealedValue
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.text import number, plain, signed, table


def sealed_values(facts: ReportFacts) -> str:
    """Baseline and best on the hold-out and in validation; empty where nothing was asked."""
    found = facts.session.sealed
    if found is None or facts.metric is None:
        return ""
    if not found.values:
        return f"Nothing is sealed: {plain(found.fault)}."
    word = "sealed" if found.is_sealed else "hold-out"
    head = "**Sealed**, measured on data that neither agent nor runs could read"
    if not found.is_sealed:
        head = f"**Hold-out, not sealed**, as {plain(found.fault)}"
    header = ["", "settings", f"{word} {plain(facts.metric.name, 40)}", "95 % interval", "runs"]
    header += ["validation", "95 % interval", "seeds", f"{word} - validation"]
    rows = [_row(one) for one in found.values]
    gains = {one.role: one.value for one in found.values if one.value is not None}
    parts = [f"{head}:", table(header, rows, right=7)]
    if {"baseline", "best"} <= gains.keys():
        sign = 1.0 if facts.account.direction == "max" else -1.0
        gain = sign * (gains["best"] - gains["baseline"])
        parts.append(f"Gain of the best on the baseline there: {signed(gain)}.")
    asked = next((one for one in found.values if one.role == "best"), None)
    best = facts.account.best
    if asked is not None and best is not None and best.id != asked.configuration:
        parts.append(
            "What was the best when the hold-out was asked, at the session's end, is not what is "
            "the best by now."
        )
    return "\n\n".join(parts)


def held_out(facts: ReportFacts) -> str:
    """What the hold-out has said, in the first paragraph's words; empty where it released nothing.

    Only what is the best by now is told: another's value would be taken for it.
    """
    found, best = facts.session.sealed, facts.account.best
    if found is None or best is None:
        return ""
    by_role = {one.role: one for one in found.values if one.value is not None}
    mine = by_role.get("best") or by_role.get("baseline")
    if mine is None or mine.configuration != best.id:
        return ""
    data = "sealed data" if found.is_sealed else "the hold-out, which is not sealed"
    against = ""
    if mine.role == "best" and "baseline" in by_role:
        against = f" against {number(by_role['baseline'].value)}"
    return f"On {data}: {number(mine.value)}{against}."


def _row(one: SealedValue) -> list[str]:
    low, high = one.bounds
    seen = one.validation
    difference = None
    if one.value is not None and seen.mean is not None:
        difference = one.value - seen.mean
    return [
        one.role,
        plain(one.label, 100),
        number(one.value) if one.value is not None else plain(one.text),
        _interval(low, high),
        str(one.runs) if one.runs else "-",
        number(seen.mean),
        _interval(seen.low, seen.high),
        str(seen.n),
        signed(difference) if difference is not None else "-",
    ]


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.4g} to {high:.4g}"
