"""Taking a night home: a new branch on another, one commit an idea, each checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.git.process import GitError, git_answer, git_line, run_git, run_git_locking
from wildloop.flows.git.repository import is_repository
from wildloop.flows.git.restore import resolve
from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.models.take import NightView, NotNeeded, Refused, Taken, TakenCommit
from wildloop.flows.project import ProjectConfig, load_project
from wildloop.flows.take.checks import failed_on
from wildloop.flows.take.message import message_of
from wildloop.flows.take.replay import Conflicts, Replay
from wildloop.flows.take.steps import Rules, Step, steps_of

THERE = "{} has it already"
NOTHING = (
    "session '{}' has kept nothing that changes a file of the project: there is nothing to take "
    "home ({})"
)
SECONDS = 600.0


@dataclass(frozen=True)
class Wanted:
    """How a night is to be taken home.

    Args:
        onto: branch, tag or commit (default: the user's branch that the session began on).
        branch: name of the new branch (default: `take/<first 8 of the session>`).
        checks: commands that each commit is to pass, beside `[checks] commands`.
        with_checks: run checks at all.
        skip: leave out an idea that does not go, and go on; else stop there.
        hooks: run the repository's hooks at each commit, also where `[git] hooks` does not say so.
        now: also of a session that goes on.
    """

    onto: str | None = None
    branch: str | None = None
    checks: Sequence[str] = ()
    with_checks: bool = True
    skip: bool = False
    hooks: bool = False
    now: bool = False


@dataclass(frozen=True)
class Place:
    """Where the new branch is to be: checked before anything is done."""

    root: Path
    workdir: Path
    onto: str
    commit: str
    branch: str


async def take_home(night: NightView, wanted: Wanted) -> Taken:
    """Make the new branch. The user's checkout and the night's own branch stay as they are.

    Raises:
        Conflict: the session goes on, the name is taken, or nothing is to be taken home.
        InvalidRequest: the project is not here, there is no such target, or git knows no user.
        GitError: git refuses.
    """
    place = await place_of(night, wanted)
    project = load_project(place.workdir)
    found = await steps_of(place.root, night, await _rules(place, night, project))
    not_needed = [
        NotNeeded(label=one.idea.label, title=one.idea.title, why=one.why) for one in found.aside
    ]
    if not any(step.idea for step in found.steps):
        why = "; ".join(f"{one.label}: {one.why}" for one in not_needed) or night.headline
        runs = f"; the best is run by: {night.best.command}" if night.best is not None else ""
        raise Conflict(NOTHING.format(night.session_id, why) + runs)
    taken = Taken(
        session_id=night.session_id,
        branch=None,
        onto=place.onto,
        onto_commit=place.commit,
        not_needed=not_needed,
        checks=_checks(project, wanted),
        notes=_notes(night),
    )
    await _Taking(place, night, wanted, project, taken).go(found.steps)
    return taken


class _Taking:
    """One taking home: the steps put onto the target, one after the other."""

    def __init__(
        self,
        place: Place,
        night: NightView,
        wanted: Wanted,
        project: ProjectConfig | None,
        taken: Taken,
    ) -> None:
        self.place, self.night, self.wanted, self.taken = place, night, wanted, taken
        self.seconds = project.checks.timeout_seconds if project is not None else SECONDS
        self.hooks = wanted.hooks or (project is not None and project.git.hooks)

    async def go(self, steps: Sequence[Step]) -> None:
        place, taken = self.place, self.taken
        async with scratch_worktree(place.root, place.commit) as tree:
            replay = Replay(place.root, tree, self.night.base_commit, self.hooks)
            for at, step in enumerate(steps):
                refused = await self._put(replay, step)
                if refused is None:
                    continue
                taken.refused.append(refused)
                if refused.is_idea and not self.wanted.skip:
                    taken.not_tried = [one.idea.label for one in steps[at + 1 :] if one.idea]
                    break
            # What no idea made is only there for the ideas after it.
            while taken.commits and taken.commits[-1].idea is None:
                taken.commits.pop()
            if taken.commits:
                await self._name(taken.commits[-1].commit)

    async def _put(self, replay: Replay, step: Step) -> Refused | None:
        """Commit a step; what stands against it, the branch as it was, where it does not go."""
        taken, before = self.taken, await replay.head()
        try:
            if not await replay.put(step):
                if step.idea is not None:
                    why = THERE.format(self.place.onto if not taken.commits else "the branch")
                    one = NotNeeded(label=step.label, title=step.title, why=why)
                    taken.not_needed.append(one)
                return None
        except Conflicts as conflicts:
            return _refused(step, "conflict", files=conflicts.files, by_hand=replay.by_hand)
        try:
            made = await replay.commit(
                message_of(step, self.night), step.idea.at if step.idea else None
            )
        except GitError as error:
            if not self.hooks:
                raise
            await replay.reset(before)
            return _refused(step, "hook", said=str(error), by_hand=replay.by_hand)
        said = await self._failed(made)
        if said is not None:
            await replay.reset(before)
            own = await self._failed(before) if before == self.place.commit else None
            if own is not None:
                said += f"; {self.place.onto} itself fails its checks: {own}"
            return _refused(step, "check", said=said, by_hand=replay.by_hand)
        taken.commits.append(TakenCommit(commit=made, title=step.title, idea=step.idea))
        return None

    async def _failed(self, commit: str) -> str | None:
        place = self.place
        return await failed_on(place.root, place.workdir, commit, self.taken.checks, self.seconds)

    async def _name(self, tip: str) -> None:
        place = self.place
        ref = ("update-ref", "-m", "wildloop: taken home", f"refs/heads/{place.branch}")
        try:
            await run_git_locking(place.root, *ref, tip, "0" * len(tip))
        except GitError as error:
            raise GitError(
                f"{error}; the commits are made: `git branch NAME {tip}` gives them another name"
            ) from error
        self.taken.branch, self.taken.tip = place.branch, tip


def _refused(step: Step, kind: str, **fields: object) -> Refused:
    is_idea = step.idea is not None
    told = {"label": step.label, "title": step.title, "is_idea": is_idea, "kind": kind}
    return Refused.model_validate(told | fields)


async def place_of(night: NightView, wanted: Wanted) -> Place:
    """Where the branch is to be made; everything that stands against it is said here.

    Raises:
        Conflict, InvalidRequest: as `take_home`.
    """
    if night.is_active and not wanted.now:
        raise Conflict(
            f"session '{night.session_id}' goes on ({night.status.value}): wait for its end, or "
            "take what it has kept until now with --now"
        )
    root, workdir = await _project(night)
    onto, commit = await _target(root, night, wanted.onto)
    branch = wanted.branch or f"take/{night.session_id[:8]}"
    await _check_name(root, branch)
    await _check_user(root)
    return Place(root, workdir, onto, commit, branch)


async def _project(night: NightView) -> tuple[Path, Path]:
    workdir = Path(night.workdir)
    mend = "run `wildloop take` on the machine where the project is"
    if not workdir.is_dir():
        raise InvalidRequest(f"the session's project '{workdir}' is not on this machine: {mend}")
    if not await is_repository(workdir):
        raise InvalidRequest(
            f"'{workdir}' is in no git repository: nothing can be taken home of it"
        )
    root = Path(await git_line(workdir, "rev-parse", "--show-toplevel"))
    known = [one.commit for one in night.ideas if one.commit]
    if known and not any([await resolve(root, one) for one in known]):
        raise InvalidRequest(
            f"'{workdir}' here has none of the session's commits ({known[0][:12]}...): {mend}"
        )
    return root, workdir


async def _target(root: Path, night: NightView, onto: str | None) -> tuple[str, str]:
    """The target's name and commit."""
    if onto is None and night.base_branch is None:
        where = (
            "on a detached HEAD"
            if night.is_own_branch and night.base_commit
            else f"on '{night.branch}' itself"
        )
        raise InvalidRequest(
            f"the session has begun {where}, so there is no branch to go back to: name one by "
            "--onto, as --onto main"
        )
    name = onto or night.base_branch or ""
    ref = name if onto else f"refs/heads/{name}"
    try:
        arguments = ("--verify", "-q", "--end-of-options", ref + "^{commit}")
        commit = await git_answer(root, "rev-parse", *arguments)
    except GitError:
        commit = None
    if commit is None:
        raise InvalidRequest(
            f"there is no branch or commit '{name}' in '{root}': name another by --onto "
            "(`git branch --all` lists them)"
        )
    return name, commit


async def _check_name(root: Path, branch: str) -> None:
    """See that a branch of this name can be made.

    Raises:
        InvalidRequest: git takes no such name.
        Conflict: it is there, or one that is in its way.
    """
    try:
        await run_git(root, "check-ref-format", "--branch", branch)
    except GitError as error:
        raise InvalidRequest(f"'{branch}' is no name of a branch that git takes") from error
    parts = branch.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    listed = await git_line(
        root, "for-each-ref", "--format=%(refname:strip=2)", f"refs/heads/{branch}/"
    )
    known = [one for one in above if await resolve(root, f"refs/heads/{one}")]
    if taken := [*known, *listed.splitlines()]:
        raise Conflict(
            f"there is a branch '{taken[0]}' already: give another name by --branch, or remove it "
            f"(`git branch -D {taken[0]}`)"
        )


async def _check_user(root: Path) -> None:
    """See that git knows in whose name to commit.

    Raises:
        InvalidRequest: it does not.
    """
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        try:
            await run_git(root, "-c", "user.useConfigOnly=true", "var", who)
        except GitError as error:
            raise InvalidRequest(
                "the commits are to be yours, and git does not know your name and address: `git "
                'config --global user.name "Your Name"`, and user.email likewise'
            ) from error


async def _rules(place: Place, night: NightView, project: ProjectConfig | None) -> Rules:
    prefix = await git_line(place.workdir, "rev-parse", "--show-prefix")
    command = night.best.command if night.best else ""
    if project is None:
        return Rules(prefix, command=command)
    return Rules(
        prefix, project.keep.spare, project.protected_patterns, project.project.not_code, command
    )


def _checks(project: ProjectConfig | None, wanted: Wanted) -> list[str]:
    if not wanted.with_checks:
        return []
    own = project.checks.commands if project is not None else []
    return list(dict.fromkeys([*own, *wanted.checks]))


def _notes(night: NightView) -> list[str]:
    notes = []
    if night.keep != "better":
        notes.append(
            "the session has judged no change (`--keep all`): every change that stands is taken"
        )
    if night.left_in:
        notes.append(
            f"{', '.join(night.left_in)} was not kept, but git could not take it back: what was "
            "kept after it was measured with it"
        )
    return notes
