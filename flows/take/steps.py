"""The steps of a night: which commits the new branch is to have, from the night's own.

Between two kept ideas there may be changes that no idea made: what the user had not committed when
the session began, what a reflection edited. Later ideas were measured on them, so they come along,
each as a commit of its own that says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from wildloop.flows.git.code import counted
from wildloop.flows.git.entries import Entry, entries
from wildloop.flows.git.restore import OWN_FOLDER, is_spared, resolve
from wildloop.flows.guards.patterns import normal
from wildloop.flows.models.take import Idea, NightView

FOUND_FIRST = "Work that was not committed when the night began"
FOUND = "Changes between {} and {} that no idea made"
NO_FILE = "it changed no file of the project"
NO_COMMIT = "it has no commit"
GONE = "its commit {} is not in this repository"
UNDONE = "undone by {}: after it every file is as it was before"
UNDOES = "it undoes {}: after it every file is as it was before"
NOT_CODE = "it cannot matter to a run"
Parted = tuple[tuple[Entry, ...], dict[str, str]]
"""Changes that come along, and files that stay behind with the reason."""


@dataclass(frozen=True)
class Step:
    """A commit to be: what it changes, from which of the night's commits on.

    Args:
        title: of the commit.
        base: the night's commit that it begins at.
        changes: what it changes.
        idea: which idea it is; None of changes that no idea made.
        left_out: files of it that stay behind, with the reason.
    """

    title: str
    base: str
    changes: tuple[Entry, ...]
    idea: Idea | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As texts name it."""
        return self.idea.label if self.idea else self.title


@dataclass(frozen=True)
class Aside:
    """An idea that was kept and needs no commit, and why."""

    idea: Idea
    why: str


@dataclass
class Steps:
    """What the new branch is to have, and what of the night needs no commit."""

    steps: list[Step]
    aside: list[Aside] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """Which files of a night stay behind.

    Args:
        prefix: the project's folder in the repository, as `sub/`.
        spared: `[keep] spare`: notes that stay when a change is taken back.
        protected: patterns of files that no idea may change.
        not_code: patterns of files that cannot matter to a run.
        command: the best's; a file that it names matters wherever it lies.
    """

    prefix: str = ""
    spared: Sequence[str] = ()
    protected: Sequence[str] = ()
    not_code: Sequence[str] = ()
    command: str = ""

    def of_idea(self, changes: Sequence[Entry]) -> Parted:
        """An idea's changes: all but notes and protected files."""
        guarded = GitIgnoreSpec.from_lines(f"/{normal(one)}" for one in self.protected)

        def why(one: Entry) -> str:
            is_guarded = guarded.match_file(one.path.removeprefix(self.prefix))
            return "protected" if is_guarded else self._why(one)

        return _parted(changes, why)

    def of_none(self, changes: Sequence[Entry]) -> Parted:
        """Changes that no idea made: of these only what can matter to a run comes along."""
        blobs = {one.path: one.after for one in changes}
        code = counted(blobs, self.prefix, self.command, self.not_code)
        return _parted(changes, lambda one: self._why(one) or NOT_CODE * (one.path not in code))

    def _why(self, one: Entry) -> str:
        return "[keep] spare" if is_spared(one.path, self.prefix, self.spared) else ""


def _parted(changes: Sequence[Entry], why: Callable[[Entry], str]) -> Parted:
    own = [one for one in changes if OWN_FOLDER not in PurePosixPath(one.path).parts]
    left = {one.path: reason for one in own if (reason := why(one))}
    return tuple(one for one in own if one.path not in left), left


async def steps_of(root: Path, night: NightView, rules: Rules) -> Steps:
    """The steps of a night, in order.

    Args:
        root: the top of the repository.
        night: what was kept.
        rules: which files stay behind.

    Raises:
        GitError: git refuses.
    """
    found, aside = list[Step](), list[Aside]()

    async def between(title: str, one: str, other: str) -> None:
        changes, left = rules.of_none(await entries(root, one, other))
        if changes:
            found.append(Step(title, one, changes, None, left))

    last, name = night.base_commit, "the beginning"
    if night.found and last and await resolve(root, night.found):
        await between(FOUND_FIRST, last, night.found)
        last = night.found
    for idea in night.ideas:
        base = await _base(root, idea)
        if idea.commit is None or base is None:
            aside.append(Aside(idea, await _lost(root, idea)))
            continue
        if base == night.base_commit and last is not None and name == "the beginning":
            # Its call has committed what the user had not: that is none of it.
            base = last
        if last is not None and last != base:
            await between(FOUND.format(name, idea.label), last, base)
        changes, left = rules.of_idea(await entries(root, base, idea.commit))
        if changes:
            found.append(Step(idea.title, base, changes, idea, left))
        else:
            aside.append(Aside(idea, NO_FILE))
        last, name = idea.commit, idea.label
    return without_undone(found, aside)


async def _base(root: Path, idea: Idea) -> str | None:
    """The commit that an idea begins at; None where that or its own cannot be had."""
    if idea.commit is None or await resolve(root, idea.commit) is None:
        return None
    return await resolve(root, idea.base or f"{idea.commit}^")


async def _lost(root: Path, idea: Idea) -> str:
    if idea.commit is None:
        return NO_COMMIT
    is_there = await resolve(root, idea.commit) is not None
    return GONE.format(((idea.base or "") if is_there else idea.commit)[:12])


def without_undone(steps: Sequence[Step], aside: Sequence[Aside] = ()) -> Steps:
    """The steps without those after which every file is again as it was some steps before."""
    standing: list[tuple[Step, dict[str, str]]] = []
    gone = list(aside)
    first: dict[str, str] = {}
    now: dict[str, str] = {}
    for step in steps:
        before = dict(now)
        for one in step.changes:
            if one.after == first.setdefault(one.path, one.before):
                now.pop(one.path, None)
            else:
                now[one.path] = one.after
        standing.append((step, before))
        back = next((at for at, (_, then) in enumerate(standing) if then == now), None)
        if back is None:
            continue
        names = ", ".join(one.label for one, _ in standing[back:-1])
        gone += [
            Aside(one.idea, UNDOES.format(names) if one is step else UNDONE.format(step.label))
            for one, _ in standing[back:]
            if one.idea is not None
        ]
        del standing[back:]
    return Steps([step for step, _ in standing], gone)
