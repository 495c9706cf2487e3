"""Putting the steps of a night onto another commit, in a worktree that nobody else sees."""

import os
from datetime import UTC, datetime
from pathlib import Path

from wildloop.flows.git.entries import tree_with
from wildloop.flows.git.process import (
    NO_HOOKS,
    GitError,
    git_line,
    git_names,
    run_git,
    run_git_locking,
)
from wildloop.flows.git.snapshot import commit_tree
from wildloop.flows.models.take import ConflictedFile
from wildloop.flows.take.steps import Step

# What the user has set must neither resolve a conflict by memory nor note one.
_PICK = ("-c", "rerere.enabled=false", "-c", "commit.gpgSign=false", *NO_HOOKS)
_STAGES = {
    "123": "both have changed it",
    "13": "changed by the idea, deleted there",
    "12": "deleted by the idea, changed there",
    "23": "both have added it",
    "1": "both have moved or deleted it",
    "2": "moved or replaced there",
    "3": "moved or replaced by the idea",
}
SHOWN_COMMITS = 3


class Conflicts(Exception):
    """A step does not go onto the branch as it is."""

    def __init__(self, files: list[ConflictedFile]) -> None:
        super().__init__(", ".join(one.path for one in files))
        self.files = files


class Replay:
    """The branch to be, checked out in a worktree of its own, HEAD detached.

    Args:
        root: the top of the repository.
        tree: the worktree.
        fork: the commit that the night began at; tells which commits of the target are news.
        hooks: run the repository's hooks.
    """

    def __init__(self, root: Path, tree: Path, fork: str | None, hooks: bool) -> None:
        self.root, self.tree, self.fork, self.hooks = root, tree, fork, hooks
        self.change = ""

    @property
    def by_hand(self) -> str:
        """The command that brings the last step onto a branch by hand, conflicts in the files."""
        return f"git cherry-pick --no-commit {self.change}"

    async def head(self) -> str:
        """The last commit."""
        return await git_line(self.tree, "rev-parse", "HEAD")

    async def put(self, step: Step) -> bool:
        """Bring a step's changes into the worktree; False where the target has them already.

        Raises:
            Conflicts: they do not go together; the worktree is as it was.
            GitError: git refuses for another reason.
        """
        before = await commit_tree(self.root, step.base + "^{tree}", [], "Wildloop: before")
        after = await tree_with(self.root, step.base, step.changes)
        self.change = await commit_tree(self.root, after, [before], f"Wildloop: {step.label}")
        try:
            await run_git(self.tree, *_PICK, "cherry-pick", "--no-commit", self.change)
        except GitError:
            files = await self._conflicted()
            await self.reset()
            if not files:
                raise
            raise Conflicts(files) from None
        here = await git_line(self.tree, "write-tree")
        return here != await git_line(self.tree, "rev-parse", "HEAD^{tree}")

    async def commit(self, message: str, at: float | None) -> str:
        """Commit what was put there, in the user's name.

        Args:
            message: of the commit.
            at: the author's date, Unix seconds (default: now).

        Raises:
            GitError: a hook refuses it.
        """
        env = {}
        if at is not None:
            env["GIT_AUTHOR_DATE"] = datetime.fromtimestamp(at, UTC).isoformat()
        options = ("-q", "--no-gpg-sign", "--cleanup=whitespace", "-F", "-")
        text = message.encode("utf-8", "replace")
        settings = ("-c", "i18n.commitEncoding=UTF-8", *(() if self.hooks else NO_HOOKS))
        await run_git_locking(self.tree, *settings, "commit", *options, stdin=text, env=env)
        return await self.head()

    async def reset(self, commit: str = "HEAD") -> None:
        """Make the worktree that of a commit again, whatever was left in it."""
        await run_git(self.tree, *NO_HOOKS, "reset", "-q", "--hard", commit)
        await run_git(self.tree, "clean", "-ffdxq")

    async def _conflicted(self) -> list[ConflictedFile]:
        stages: dict[str, str] = {}
        for line in await git_names(self.tree, "ls-files", "--unmerged", "-z"):
            head, _, path = line.partition("\t")
            stages[path] = stages.get(path, "") + head.split(" ")[2]
        return [
            ConflictedFile(
                path=_shown(path),
                how=_STAGES.get(found, "unmerged"),
                commits=await self._news(path),
            )
            for path, found in stages.items()
        ]

    async def _news(self, path: str) -> list[str]:
        if self.fork is None:
            return []
        options = ("--no-show-signature", f"--max-count={SHOWN_COMMITS}", "--format=%h %s")
        literal = ("--literal-pathspecs", "log", *options)
        told = await git_line(self.tree, *literal, f"{self.fork}..HEAD", "--", path)
        return told.splitlines()


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
