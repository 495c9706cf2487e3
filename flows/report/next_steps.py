"""The report's section about what to do now, by what has been shown."""

from collections.abc import Iterator

from wildloop.flows.evidence import texts
from wildloop.flows.evidence.ablation import NOT_NEEDED, ablation
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.evidence import Level, Standing
from wildloop.flows.models.run import RunStatus
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.reproduce import nearest
from wildloop.flows.report.text import call_link, code, link, plain
from wildloop.flows.text.plural import counted
from wildloop.flows.text.redaction import redact

IDEA_LENGTH = 400
ALIKE = 30
"""A text that holds so much of the headline tells the result over again."""


def next_steps(facts: ReportFacts) -> str:
    """What a person would do next, a step each: mend, keep, confirm, decide, leave out, go on."""
    return "\n".join(f"- {step}" for step in _steps(facts))


def _steps(facts: ReportFacts) -> Iterator[str]:
    account, metric = facts.account, facts.metric
    if metric is None:
        yield "**Name the metric** (`[metric] name` in wildloop.toml), and start again."
        return
    if not any(one.n for one in account.configurations):
        yield _without_values(facts, metric.name)
        return
    yield from _standing(facts)
    for one in _open(facts):
        yield f"**Decide** {plain(f'{one.name}: {one.score}')}: {_deciding(facts, one)}."
    found = ablation(account)
    for row in found.rows if found is not None else ():
        if row.verdict == NOT_NEEDED:
            yield f"**Simplify** ({plain(row.removed)}): it is as good without."
    yield from _idea(facts)


def _without_values(facts: ReportFacts, metric: str) -> str:
    """What there is to do where no run has a value: by what has become of them."""
    counts = facts.counts
    if counts[RunStatus.FAILED] or counts[RunStatus.FINISHED]:
        failures = link("Failures", "#failures")
        return f"**Mend the runs**: none has a value of {code(metric)}, see {failures}."
    if counts.total():
        return f"**Start again**: no run has come so far as to give a value of {code(metric)}."
    return "**Start again**: no run was made."


def _open(facts: ReportFacts) -> list[Configuration]:
    """The first candidate, where the baseline has a value and a few seeds may decide."""
    account = facts.account
    found = account.candidates[:1]
    if account.baseline is None or account.baseline.mean is None or not found:
        return []
    is_far = account.seeds_to_decide(found[0]) is None and account.standing(found[0]) in (
        Standing.UNDECIDED,
        Standing.CANDIDATE,
    )
    return [] if is_far and found[0].is_unchosen and not found[0].doubts else found


def _standing(facts: ReportFacts) -> Iterator[str]:
    """What follows for the best, or for a baseline that nothing beats or that has no value."""
    account = facts.account
    best, base = account.best, account.baseline
    if base is not None and base.mean is None:
        told = f"its command {code(redact(base.runs[0].command))} has to give a value first"
        yield f"**Mend the baseline**: {told}."
        return
    if best is None or best is base:
        yield _keep_baseline(facts)
        return
    if best.level is Level.CLAIMED:
        why = plain(best.doubts[0]) if best.doubts else "nobody but the run has measured it"
        yield f"**Check it before you keep it**, it is no more than claimed: {why}."
        yield f"**To have it**: {_keeping(facts, best)}."
        return
    yield f"**Keep it**: {_keeping(facts, best)}."
    if facts.session.keeps:
        taking = code(f"wildloop take {facts.session.id}")
        yield f"**Have it reviewed**: {taking} makes a branch with a commit for each kept idea."
    if best.level is Level.MEASURED:
        again = code(f"wildloop verify {facts.session.id}")
        yield f"**Confirm it**: {again} runs it and the baseline again on fresh seeds."
    elif (more := account.seeds_for_target) is not None:
        again = code(f"wildloop verify {facts.session.id} --seeds {more}")
        told = "the goal's number lies in the 95 % interval of the mean"
        yield f"**Decide the goal**: {told}; about {counted(more, 'more seed')} would do ({again})."


def _keep_baseline(facts: ReportFacts) -> str:
    account = facts.account
    others = any(one.n and one is not account.baseline for one in account.configurations)
    if not others:
        return "**Try something**: nothing but the baseline has a value, so there is no choice yet."
    what = "the baseline" if account.has_true_baseline else "what stands for the baseline"
    return f"**Keep {what}**: nothing that was tried is shown to be better."


def _keeping(facts: ReportFacts, best: Configuration) -> str:
    """Where the best is, and its command."""
    run, session = nearest(best), facts.session
    command = code(redact(run.command)) if run is not None else code(best.name)
    if facts.is_at_head and session.branch:
        return f"{code(f'git merge {session.branch}')}, then {command}"
    commit = f" on commit {code(run.git_commit[:12])}" if run is not None and run.git_commit else ""
    return f"{command}{commit}"


def _deciding(facts: ReportFacts, one: Configuration) -> str:
    """What would decide about a candidate, with the command where there is one."""
    told = plain(texts.what_decides(facts.account, one))
    if one.doubts or not one.runs:
        return told
    seeds = facts.account.seeds_to_decide(one)
    some = f" --seeds {seeds}" if seeds else ""
    return f"{told} ({code(f'wildloop verify {one.runs[0].id[:8]}{some}')})"


def _idea(facts: ReportFacts) -> Iterator[str]:
    """What the last reflection made of it all, where that is more than the result again."""
    result = texts.headline(facts.account)[:ALIKE].casefold()
    for it in reversed(facts.session.iterations):
        if it.kind == "reflection" and (said := it.reflection or it.summary):
            if result in said.casefold():
                return
            told = plain(said, IDEA_LENGTH)
            yield f"**The last reflection** ({call_link(it.label)}): {told}"
            return
