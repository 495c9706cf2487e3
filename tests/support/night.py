"""A night made by hand: a repository with the branch that a session would have left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.project import git
from tests.support.repository import sh, write
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.session import SessionStatus
from wildloop.flows.models.take import Idea, NightView

SESSION = "abcdef12-3456-4789-8abc-def012345678"
BRANCH = f"wild/{SESSION}"
OWN = f".wild/sessions/{SESSION}"
Files = Mapping[str, str | bytes | None]


def put(folder: Path, files: Files) -> None:
    """Write files; None removes one."""
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        elif isinstance(text, bytes):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
        else:
            write(folder / name, text)


class Night:
    """A session at work on its branch, as `settle` leaves it: ideas kept, others taken back."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0
        self.base = sh(root, "rev-parse", "HEAD")
        self.ideas: list[Idea] = []
        self.others: list[Idea] = []
        sh(root, "switch", "-qc", BRANCH)
        self._commit({}, "wild: planning: planned")

    def _commit(self, files: Files, message: str) -> str:
        put(self.root, files)
        log = self.root / OWN / "iteration_log.md"
        write(log, (log.read_text() if log.exists() else "") + f"## {message}\n")
        sh(self.root, "add", "-A")
        sh(self.root, "add", "-f", ".wild/sessions")
        sh(self.root, "commit", "-qm", message)
        return sh(self.root, "rev-parse", "HEAD")

    def idea(self, title: str, *calls: Files, keep: bool = True, **fields: Any) -> Idea:
        """An iteration of so many calls; what is not kept is taken back by a commit of its own."""
        self.number += 1
        label, base = f"iteration-{self.number:02d}", sh(self.root, "rev-parse", "HEAD")
        for number, files in enumerate(calls or ({},)):
            turn = f".{number + 1}" if number else ""
            commit = self._commit(files, f"wild: {label}{turn}: {title}")
        tag = f"wild/{SESSION[:8]}/iter-{self.number:02d}"
        sh(self.root, "tag", tag, commit)
        values = {
            "iteration": self.number,
            "label": label,
            "title": title,
            "summary": f"P1-T{self.number}: {title}",
            "status": "keep" if keep else "discard",
            "why": f"{'better' if keep else 'not shown to be better'}: difference +0.01, p = 0.001",
            "metric": "score",
            "before": f"0.{self.number + 10} ± 0.001 (n=3)",
            "after": f"0.{self.number + 11} ± 0.001 (n=3)",
            "p": 0.001,
            "level": Level.MEASURED,
            "configuration": "train.sh",
            "run_ids": [f"run-{self.number}-{seed}" for seed in (1, 2, 3)],
            "base": base,
            "commit": commit,
            "tag": tag,
            "at": 1_700_000_000.0 + self.number,
        } | fields
        idea = Idea.model_validate(values)
        if keep:
            self.ideas.append(idea)
        else:
            self.others.append(idea)
            names = [name for files in calls for name in files]
            there = set(sh(self.root, "ls-tree", "-r", "--name-only", base).splitlines())
            for name in dict.fromkeys(names):
                if name in there:
                    sh(self.root, "restore", "--staged", "--worktree", f"--source={base}", name)
                else:
                    (self.root / name).unlink()
            self._commit({}, f"wild: {label}: discard: its change is taken back")
        self._commit({f"{OWN}/results.tsv": f"{label}\n"}, f"wild: {label}: in results.tsv")
        return idea

    def between(self, files: Files) -> None:
        """Changes that no idea makes."""
        self._commit(files, "wild: before an iteration: changes found")

    def ends(self) -> None:
        """The user's branch is checked out again."""
        sh(self.root, "switch", "-q", "main")

    def view(self, **fields: Any) -> NightView:
        """What the server would say of it."""
        values = {
            "session_id": SESSION,
            "goal": "Get score above 0.5",
            "workdir": str(self.root),
            "status": SessionStatus.COMPLETED,
            "is_active": False,
            "keep": "better",
            "metric": "score",
            "headline": "score 0.30 ± 0.001 (n=3), measured",
            "branch": BRANCH,
            "is_own_branch": True,
            "base_branch": "main",
            "base_commit": self.base,
            "ideas": self.ideas,
            "others": self.others,
        } | fields
        return NightView.model_validate(values)


def state_of(root: Path) -> Sequence[str]:
    """All that a user would see changed: HEAD, index, files, other branches, worktrees."""
    return [
        sh(root, "rev-parse", "--symbolic-full-name", "HEAD"),
        sh(root, "rev-parse", "HEAD"),
        git(root, "status", "--porcelain=v2", "--untracked-files=all"),
        git(root, "diff"),
        git(root, "diff", "--cached"),
        git(root, "for-each-ref", "--format=%(refname) %(objectname)"),
        git(root, "worktree", "list"),
        git(root, "stash", "list"),
    ]
