"""All that was tried, as one table: a row a configuration; folded by kind of change as it grows."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

from wildloop.flows.evidence import texts
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.estimate import are_equal
from wildloop.flows.evidence.settings import differences, is_seed, plain_value
from wildloop.flows.evidence.table import row
from wildloop.flows.models.evidence import Standing
from wildloop.flows.models.keep import KeepStatus
from wildloop.flows.prompt.changed import changed_by
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.struggle.failures import causes
from wildloop.flows.text.redaction import redact
from wildloop.flows.text.shortened import shortened

HEAD = ["it.", "change", "exact command (seed left out) at commit", "result", "gain", "verdict"]
CHANGE_LENGTH = 90
COMMAND_LENGTH = 140
CAUSE_LENGTH = 90
IN_LINE = 4
"""The last configurations of the line of bests that are always shown."""
LATEST = 6
FOLD_VERDICTS = 2
FOLD_LENGTH = 40
MOST_ROWS = 40
UNSAID = "kind not said"
SHOWN_RUNS = 5
NEAR = "Looks better, undecided"
COMMIT = 10
SEE_COMMAND = "see its command"
LOST = "beats the baseline only"
FAILED = "failed"
ALL_KINDS = "of all kinds"
WORDS = {
    KeepStatus.KEEP: "kept",
    KeepStatus.DISCARD: "taken back",
    KeepStatus.CRASH: "crashed, taken back",
}
_SEED_WORD = re.compile(r"(?:--?|\+{0,2})(?P<name>[\w.-]+?)(?:=(?P<value>.*))?")


@dataclass(frozen=True)
class Row:
    """A configuration with what was the best before it."""

    one: Configuration
    iteration: int | None
    kind: str
    before: Configuration | None
    is_step: bool
    state: PromptState = field(repr=False)

    @cached_property
    def verdict(self) -> str:
        """What was found of it, in a word or two."""
        return _verdict(self.state, self)

    @cached_property
    def merit(self) -> float:
        """How good it is, the larger the better."""
        return _merit(self.state.account, self)


def tried_section(state: PromptState, most_tokens: int) -> str:
    """The table, within about `most_tokens`.

    The baseline, the best, the line of bests, what looks better and what came last have a row as
    long as there is room, then the best of the others; one row for each kind of change tells the
    rest.
    """
    rows = list(_rows(state))
    if not rows:
        return "Nothing yet: no run has been launched."
    notes = _notes(state, rows)
    order = _ranked(state, rows)
    fewest = len({one.id for one in (state.account.baseline, state.account.best) if one})
    cells, used = dict[int, str](), 0
    for place in order[:MOST_ROWS]:
        cells[place] = _cells(state, rows[place])
        used += token_count(cells[place])
        if used > most_tokens:
            break
    fewer = [note for note in notes if not note.startswith(NEAR)]

    def table(number: int, by_kind: bool, told: Sequence[str]) -> str:
        shown = sorted(order[:number])
        lines = [row(HEAD), "|" + " --- |" * len(HEAD), *(cells[place] for place in shown)]
        return "\n".join([*lines, *_folded(state, _others(rows, shown), by_kind), "", *told])

    for by_kind, told in ((True, notes), (True, fewer), (False, fewer)):
        low, high = fewest, len(cells)
        text = table(low, by_kind, told)
        if token_count(text) > most_tokens:
            continue
        # Each row more makes it longer.
        while low < high:
            number = (low + high + 1) // 2
            longer = table(number, by_kind, told)
            if token_count(longer) <= most_tokens:
                low, text = number, longer
            else:
                high = number - 1
        return text
    return text


def _others(rows: Sequence[Row], shown: Collection[int]) -> list[Row]:
    places = set(shown)
    return [one for place, one in enumerate(rows) if place not in places]


def command_of(one: Configuration) -> str:
    """The command as it ran, without its seed; not redacted."""
    words, kept, skip = one.runs[0].command.split(" "), list[str](), False
    for index, word in enumerate(words):
        if skip:
            skip = False
            continue
        match = _SEED_WORD.fullmatch(word)
        if match is not None and is_seed(match["name"]) and (match["value"] or word[0] == "-"):
            skip = match["value"] is None and index + 1 < len(words)
            continue
        kept.append(word)
    return " ".join(kept)


def _rows(state: PromptState) -> Iterator[Row]:
    account, iterations = state.account, state.iteration_of
    kinds = {index: change.kind.value for index, change in state.declared.items()}
    sign = 1.0 if account.direction == "max" else -1.0
    best: Configuration | None = None
    for one in account.configurations:
        index = iterations.get(one.runs[0].id)
        mean = one.mean
        is_step = mean is not None and not one.withdrawn
        if best is not None and is_step and mean is not None:
            before = best.mean or 0.0
            is_step = sign * (mean - before) > 0 and not are_equal([mean, before])
        yield Row(one, index, kinds.get(index or 0, UNSAID), best, is_step, state)
        if is_step and _counts(account, one):
            best = one


def _counts(account: Account, one: Configuration) -> bool:
    """Whether it may be the best of its time: single lucky seeds are none."""
    return one.n > 1 or one is account.baseline or account.is_exact


def _cells(state: PromptState, found: Row) -> str:
    one, account = found.one, state.account
    commit = one.runs[0].git_commit
    command = state.redact(command_of(one))
    if len(command) > COMMAND_LENGTH:
        command = command[: COMMAND_LENGTH - 3] + "..."
    place = f"`{command}`" + (f" {commit[:7]}" if commit else "")
    is_best = one is account.best
    score = f"**{one.score}**" if is_best else one.score
    score += f" {one.level.value}" if one.n else ""
    index = "" if found.iteration is None else str(found.iteration)
    return row(
        [index, _change(state, found), place, score, _gain(state, found), _judged(state, found)]
    )


def _judged(state: PromptState, found: Row) -> str:
    """The verdict; of a change that its test has shown, why it was not kept all the same."""
    verdict, decided = found.verdict, state.decided.get(found.one.id)
    if decided is None or not decided.refused:
        return verdict
    return f"{verdict}: {shortened(redact(decided.refused), CAUSE_LENGTH)}"


def _change(state: PromptState, found: Row) -> str:
    """What it changed: as its iteration declared it, or its settings against those beside it."""
    one = found.one
    if one is state.account.baseline:
        return "baseline" if state.account.has_true_baseline else "stands for the baseline"
    first = state.by_iteration.get(found.iteration or 0, [one])[0]
    if first is not one and first is not state.account.baseline and first.code == one.code:
        changes = differences(first.settings, one.settings)
        if len(changes) == 1:
            ((name, (_, now)),) = changes.items()
            return shortened(f"the same, {name}={plain_value(now)}", CHANGE_LENGTH)
    return shortened(_said(state, found) or SEE_COMMAND, CHANGE_LENGTH)


def _said(state: PromptState, found: Row) -> str:
    """What its iteration says of it; the text of a task is of one configuration or of none."""
    is_alone = len(state.by_iteration.get(found.iteration or 0, [])) == 1
    return changed_by(state, found.iteration, by_task=is_alone)


def _gain(state: PromptState, found: Row) -> str:
    """On the best of then, by the account's one comparison (or the decision's)."""
    verdict = state.decided.get(found.one.id)
    if verdict is not None and verdict.comparison is not None:
        compared = verdict.comparison
    elif found.before is None or found.one.mean is None or found.before.mean is None:
        return ""
    else:
        compared = state.account.compare(found.one, found.before)
    told = f"{compared.gain:+.4g}"
    return f"{told}, p {compared.p:.2g}" if compared.p is not None else told


def _verdict(state: PromptState, found: Row) -> str:
    one, account = found.one, state.account
    standing = account.standing(one)
    if not one.n and not one.withdrawn:
        return _no_value(state, one)
    verdict = state.decided.get(one.id)
    if one is account.best:
        if one is not account.baseline:
            return "**the best**"
        return "**the best**" + (" (the baseline)" if account.has_true_baseline else " so far")
    if verdict is not None and one is not account.baseline:
        return WORDS[verdict.status]
    if standing is Standing.BETTER:
        return "once the best" if found.is_step else LOST
    if standing is Standing.UNDECIDED:
        found_gain = account.comparisons.get(one.id)
        is_worse = found_gain is not None and (found_gain.high or 0.0) < 0
        return "worse" if is_worse else "not shown"
    return standing.value


def _no_value(state: PromptState, one: Configuration) -> str:
    found = causes(one.runs, state.logs)
    if found:
        return f"failed: {shortened(redact(found[0].text), CAUSE_LENGTH)}"
    return "under way" if not one.is_over else "no value"


def _ranked(state: PromptState, rows: Sequence[Row]) -> list[int]:
    """The places of the rows, the most telling first."""
    account, places = state.account, range(len(rows))
    marked = {one.id for one in (account.baseline, account.best) if one is not None}
    wanted = [place for place in places if rows[place].one.id in marked]
    steps = [place for place in places if rows[place].is_step][-IN_LINE:]
    candidates = {one.id for one in account.candidates[: texts.SHOWN_CANDIDATES]}
    near = [place for place in places if rows[place].one.id in candidates]
    top = [place for place in near if rows[place].one is account.candidates[0]]
    latest = list(places)[-LATEST:]
    others = sorted(places, key=lambda place: -rows[place].merit)
    return list(dict.fromkeys([*wanted, *top, *latest[::-1], *steps[::-1], *near, *others]))


def _merit(account: Account, found: Row) -> float:
    """Of the rest, the good ones first."""
    mean = found.one.mean
    if mean is None or found.one.withdrawn:
        return float("-inf")
    return mean if account.direction == "max" else -mean


def _fold_key(found: Row) -> str:
    return FAILED if not found.one.n and found.one.failures else found.kind


def _folded(state: PromptState, rest: Sequence[Row], by_kind: bool) -> list[str]:
    """A row for each kind of change (or one for all), with the best of it; failures by cause."""
    groups: dict[str, list[Row]] = {}
    for one in rest:
        key = _fold_key(one)
        groups.setdefault(key if by_kind or key == FAILED else ALL_KINDS, []).append(one)
    return [_folded_row(state, kind, found) for kind, found in groups.items()]


def _folded_row(state: PromptState, kind: str, found: Sequence[Row]) -> str:
    indices = sorted({one.iteration for one in found if one.iteration is not None})
    span = f"{indices[0]}-{indices[-1]}" if len(indices) > 1 else "".join(map(str, indices))
    if kind == FAILED:
        told = causes([run for one in found for run in one.one.runs], state.logs)
        said = "; ".join(
            f"{len(cause.runs)} x {shortened(redact(cause.text), FOLD_LENGTH)}"
            for cause in told[-1:]
        )
        names = "; ".join(shortened(_change(state, one), FOLD_LENGTH) for one in found[-2:])
        return row([span, f"{len(found)} that failed, the last: {names}", "", "", "", said])
    top = max(found, key=attrgetter("merit"))
    shown = FOLD_VERDICTS if state.account.branch is not None else 1
    counts = Counter(one.verdict for one in found).most_common(shown)
    said = ", ".join(f"{number} of {len(found)} {word}" for word, number in counts)
    is_told = top.one.mean is not None and not top.one.withdrawn
    best = f"{top.one.mean:.5g}" if is_told else ""
    it = f" (it. {top.iteration})" if top.iteration is not None else ""
    said_of_it = shortened(_said(state, top) or top.one.label, FOLD_LENGTH)
    change = f"{len(found)} x {kind}, best{it}: {said_of_it}"
    return row([span, change, "", best, "", said])


def _notes(state: PromptState, rows: Sequence[Row]) -> list[str]:
    """What stands below the table: the state of the best, the target, what would decide."""
    account = state.account
    best = account.best or account.baseline
    ids = ", ".join(run.id[:8] for run in best.measured[:SHOWN_RUNS]) if best is not None else ""
    lines = [f"Stands: {texts.headline(account)}" + (f"; runs {ids}." if ids else ".")]
    if (target := texts.target_line(account)) is not None:
        lines.append(f"{target[0].upper()}{target[1:]}{_distance(account)}.")
    near = texts.candidate_lines(account)
    more = f" {len(account.candidates) - 1} more look better." if len(near) > 1 else ""
    lines += [f"{NEAR}: {told}.{more}" for told in near[:1]]
    lines += _code(state, rows)
    if any(one.one.failures or (one.one.mean is not None and not one.is_step) for one in rows):
        lines.append("What failed, lost or was taken back is not to be tried again as it was.")
    idle = _idle(state)
    if idle:
        lines.append(f"Iterations without runs: {idle}.")
    return lines


def _code(state: PromptState, rows: Sequence[Row]) -> list[str]:
    """What code the project holds now, and where the best's is."""
    best = state.account.best
    if best is None:
        return []
    if state.start is not None:
        return [f"The project holds the code of {state.start.node}, not the best's."]
    if state.spec.keep == "better":
        return ["The project holds the best's code; what was taken back remains by its tag."]
    index = next((row.iteration for row in rows if row.one is best), None)
    calls = [it for it in state.record.iterations if it.kind == "iteration" and it.index == index]
    place = next((it.tag for it in reversed(calls) if it.tag), best.runs[0].git_commit)
    if place is None:
        return []
    place = place[:COMMIT] if re.fullmatch("[0-9a-f]{40}", place) else place
    if rows[-1].one.code == best.code:
        return [f"The project holds the best's code ({place})."]
    return [
        "The project holds the code of the last iterations, not the best's: `git checkout "
        f"{place} -- FILE` brings that back."
    ]


def _distance(account: Account) -> str:
    target, best = account.contract.target, account.best or account.baseline
    mean = best.compared.mean if best is not None else None
    if target is None or mean is None or target.met_by(mean):
        return ""
    return f": {abs(target.value - mean):.4g} to go"


def _idle(state: PromptState) -> str:
    made = {it.index for it in state.record.iterations if it.run_ids}
    calls = {it.index for it in state.record.iterations if it.kind == "iteration"}
    idle = sorted(calls - made - {state.index})
    if not idle:
        return ""
    shown = ", ".join(map(str, idle[-6:]))
    return shown if len(idle) <= 6 else f"{len(idle)}, the last {shown}"
