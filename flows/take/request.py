"""The title and the text of a pull request, as Markdown."""

from collections.abc import Sequence

from wildloop.flows.models.take import Idea, NightView, Refused, Taken, TakenCommit
from wildloop.flows.report.text import code, fenced, plain, table
from wildloop.flows.take.message import subject
from wildloop.flows.text.plural import counted

SHOWN_OTHERS = 50
HEADER = ("commit", "idea", "before", "after", "p", "level")


def request_text(taken: Taken, night: NightView) -> str:
    """The whole file: the title in its first line, then the text."""
    parts = [
        f"# {title(taken, night)}",
        f"Goal: {plain(night.goal)}",
        plain(night.headline, 1000).rstrip(".") + "." if night.headline else "",
        _commits(taken.commits),
        _checks(taken),
        _best(taken, night),
        _refused(taken.refused, taken.not_tried),
        _list(
            "Kept, without a commit",
            [f"{one.label}: {one.title}: {one.why}" for one in taken.not_needed],
        ),
        _list("To be known", [*taken.notes, *_warnings(taken.commits)]),
        _others(night.others),
        f"Session {code(night.session_id)}, branch {code(night.branch or '-')}: `wildloop report` "
        "has all numbers, and each commit names its runs.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def title(taken: Taken, night: NightView) -> str:
    """The one idea's title; of several how many, and what for."""
    ideas = [one.idea for one in taken.commits if one.idea is not None]
    if len(ideas) == 1:
        return subject(ideas[0].title)
    metric = f" for {night.metric}" if night.metric else ""
    return subject(f"{counted(len(ideas), 'idea')}{metric}: {night.goal}")


def _commits(commits: Sequence[TakenCommit]) -> str:
    rows = [
        [
            code(one.commit[:12]),
            plain(one.title, 100),
            *(_cells(one.idea) if one.idea else ["", "", "", "no idea of the night"]),
        ]
        for one in commits
    ]
    return f"## Commits\n\n{table(HEADER, rows)}"


def _cells(idea: Idea) -> list[str]:
    return [
        plain(idea.before or ""),
        plain(idea.after or "not measured"),
        "" if idea.p is None else f"{idea.p:.2g}",
        idea.level.value if idea.level is not None and idea.after else "",
    ]


def _checks(taken: Taken) -> str:
    if not taken.checks:
        return (
            "No checks were run: wildloop.toml has no `[checks] commands`, or they were left out."
        )
    names = ", ".join(code(one) for one in taken.checks)
    return f"Each commit passes, in a checkout of its own: {names}."


def _best(taken: Taken, night: NightView) -> str:
    best = night.best
    if best is None:
        return ""
    metric = night.metric or "value"
    lines = [
        "## The best",
        f"{code(metric)} {plain(best.estimate.text)}, {best.level.value}: "
        f"{plain(best.configuration)}. Its run {code(best.run_name)} gave {best.value:.6g}:",
        fenced([best.command]),
    ]
    if taken.ran is not None:
        lines.append(plain(taken.ran.text, 1000) + ".")
    else:
        lines.append("That was measured on the night's branch, not on this one.")
    return "\n\n".join(lines)


def _refused(refused: Sequence[Refused], not_tried: Sequence[str]) -> str:
    lines = []
    for one in refused:
        lines.append(f"- {one.label}: {plain(one.title, 100)}: {plain(told(one), 1000)}")
        lines += [f"  - {code(file.path)}: {file.how}" for file in one.files]
    if not_tried:
        lines.append(f"- after it, not tried: {', '.join(not_tried)}")
    return "## Not on this branch\n\n" + "\n".join(lines) if lines else ""


def told(one: Refused) -> str:
    """Why something is not on the branch, in a few words."""
    if one.kind == "conflict":
        return f"conflict in {counted(len(one.files), 'file')}"
    return one.said if one.kind == "check" else f"the repository's hooks: {one.said}"


def _warnings(commits: Sequence[TakenCommit]) -> list[str]:
    return [
        f"{one.idea.label}: {text}" for one in commits if one.idea for text in one.idea.warnings
    ]


def _others(others: Sequence[Idea]) -> str:
    lines = [f"{one.label}: {one.status}: {one.title}: {one.why}" for one in others]
    more = len(lines) - SHOWN_OTHERS
    shown = lines[:SHOWN_OTHERS] + ([f"and {more} more"] if more > 0 else [])
    return _list("Tried and not kept", shown)


def _list(heading: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f"## {heading}\n\n" + "\n".join(f"- {plain(line, 400)}" for line in lines)
