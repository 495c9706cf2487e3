"""The message of a commit that a colleague is to review."""

import textwrap

from wildloop.flows.models.take import Idea, NightView
from wildloop.flows.take.steps import Step

SUBJECT_LENGTH = 72
WIDTH = 76
SHOWN_FILES = 20


def subject(title: str) -> str:
    """One line of at most 72 characters, cut at a word."""
    line = " ".join(title.split()).rstrip(".") or "no summary"
    cut = textwrap.shorten(line, SUBJECT_LENGTH, placeholder="…")
    return f"{line[: SUBJECT_LENGTH - 1]}…" if cut == "…" else cut


def message_of(step: Step, night: NightView) -> str:
    """Title, what was thought, the numbers in the account's words, the runs, where it is from."""
    if step.idea is None:
        return _of_none(step, night)
    idea = step.idea
    parts = [subject(idea.title), _rest(idea), *numbers(idea)]
    if idea.warnings:
        parts.append("\n".join(_wrapped(f"- {one}", "  ") for one in idea.warnings))
    if step.left_out:
        names = ", ".join(
            f"{name} ({why})" for name, why in list(step.left_out.items())[:SHOWN_FILES]
        )
        parts.append(_wrapped(f"Left behind: {names}"))
    source = f"{idea.label}, commit {(idea.commit or '')[:12]}"
    trailers = [f"Wildloop-Session: {night.session_id}", f"Wildloop-Idea: {source}"]
    trailers += [f"Wildloop-Run: {id}" for id in idea.run_ids]
    return "\n\n".join([*filter(None, parts), "\n".join(trailers)]) + "\n"


def change_line(idea: Idea) -> str:
    """`score: 0.80 ± 0.01 (n=3) -> 0.90 ± 0.01 (n=3)`; empty where nothing was measured."""
    if idea.after is None:
        return ""
    sides = f"{idea.before} -> {idea.after}" if idea.before else idea.after
    return f"{idea.metric or 'value'}: {sides}"


def numbers(idea: Idea) -> list[str]:
    """What the account says of an idea, a paragraph each."""
    lines = [change_line(idea)]
    if idea.now is not None:
        lines.append(f"as it is known now: {idea.now}")
    if idea.level is not None and idea.after is not None:
        lines.append(f"level: {idea.level.value}")
    if idea.configuration:
        lines.append(_wrapped(f"configuration: {idea.configuration}"))
    said = "\n".join(filter(None, lines))
    return [
        one for one in (said, _wrapped(f"{idea.status}: {idea.why}" if idea.why else "")) if one
    ]


def _rest(idea: Idea) -> str:
    """The summary, where it says more than the title."""
    whole = " ".join(idea.summary.split())
    if not whole or whole.rstrip(".").endswith(subject(idea.title)):
        return ""
    return "\n".join(_wrapped(line) for line in idea.summary.strip().splitlines())


def _of_none(step: Step, night: NightView) -> str:
    said = (
        "No idea of the night made this, but the ideas after it were measured with it. Drop the "
        "commit if it is not wanted."
    )
    left = [f"{name} ({why})" for name, why in step.left_out.items()]
    parts = [subject(step.title), _wrapped(said)]
    if left:
        parts.append(_wrapped(f"Left behind: {', '.join(left[:SHOWN_FILES])}"))
    return "\n\n".join([*parts, f"Wildloop-Session: {night.session_id}"]) + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
