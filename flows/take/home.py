"""Taking a night home: a new branch on another, one commit an idea, each checked."""

from collections.abc import Sequence

from wildloop.flows.errors import Conflict
from wildloop.flows.git.place import prefix_of
from wildloop.flows.git.process import GitError, run_git_locking
from wildloop.flows.git.scratch import scratch_worktree
from wildloop.flows.models.take import NightView, NotNeeded, Refused, Taken, TakenCommit
from wildloop.flows.project import ChecksConfig, ProjectConfig, load_project
from wildloop.flows.take.checks import failed_on
from wildloop.flows.take.message import message_of
from wildloop.flows.take.place import Place, Wanted, place_of
from wildloop.flows.take.replay import Conflicts, Replay
from wildloop.flows.take.steps import Rules, Step, steps_of

THERE = "{} has it already"
NOTHING = (
    "session '{}' has kept nothing that changes a file of the project: there is nothing to take "
    "home ({})"
)
SECONDS = 600.0


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
        checks = ChecksConfig(commands=self.taken.checks, timeout_seconds=self.seconds)
        return await failed_on(place.root, place.workdir, commit, checks)

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


async def _rules(place: Place, night: NightView, project: ProjectConfig | None) -> Rules:
    prefix = await prefix_of(place.workdir)
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
