"""A project's environment on a host that has but a clone of it: by its own set-up lines, once.

They are carried out in a worktree of the run's commit, which stays: what they make there, as
`.venv`, is linked into the runs' own worktrees. Another set-up or another
lock file makes another one.
"""

import asyncio
import hashlib
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

from prefect.logging import get_logger
from prefect_shell import ShellOperation
from pydantic import ValidationError

from wildloop.flows.files.paths import make_ignored
from wildloop.flows.files.setups import NAME_LENGTH, mark_of, setups_of
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import NO_HOOKS, GitError, run_git, run_git_locking
from wildloop.flows.project import FILE, ProjectConfig
from wildloop.flows.run.checkout import alone, link_all
from wildloop.flows.run.elsewhere import CannotServe
from wildloop.flows.settings import TOKEN_VARIABLE

# What says which packages there are to be; all of them count, those that are not there too.
LOCK_FILES = (
    *("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml"),
    *("requirements.txt", "environment.yml", "environment.yaml", "pyproject.toml", "setup.py"),
    *("setup.cfg", "package-lock.json", ".python-version"),
)
logger = get_logger("wildloop.hosts")


class SetupFailed(CannotServe):
    """The project's set-up lines do not work on this host; the text says which, and what to do."""


async def environment_for(workdir: Path, commit: str) -> Path | None:
    """The folder whose environment a run of this commit is to have; None where nothing is set up.

    Args:
        workdir: the project in the clone.
        commit: the run's.

    Raises:
        SetupFailed: a set-up line fails, or git refuses.
    """
    try:
        return await _environment_for(workdir, commit)
    except GitError as error:
        raise SetupFailed(f"'{workdir}' cannot be set up for the run's commit: {error}") from error


async def _environment_for(workdir: Path, commit: str) -> Path | None:
    root = await top_of(workdir)
    inner = workdir.resolve().relative_to(root.resolve())
    commands = await _setup_of(root, inner, commit)
    if not commands:
        return None
    home = setups_of(workdir)
    make_ignored(home)
    home.mkdir(exist_ok=True)
    tree = home / await _name(root, inner, commit, commands)
    # Runs that begin at once wait for the first one's set-up.
    async with alone(home / ".lock"):
        if not mark_of(tree).exists():
            await _make(root, workdir, tree, inner, commit, commands)
        # Its time is that of the last use, for `wildloop prune`.
        mark_of(tree).touch()
    return tree


async def _setup_of(root: Path, inner: Path, commit: str) -> Sequence[str]:
    """The set-up lines of the commit; none where its wildloop.toml is not there or is broken."""
    path = (inner / FILE).as_posix()
    if not await run_git(root, "ls-tree", commit, "--", path):
        return ()
    try:
        text = (await run_git(root, "show", f"{commit}:{path}")).decode("utf-8-sig")
        return ProjectConfig.model_validate(tomllib.loads(text)).project.setup
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SetupFailed(f"{FILE} of commit {commit[:12]} cannot be read: {error}") from error


async def _name(root: Path, inner: Path, commit: str, commands: Sequence[str]) -> str:
    """Equal for equal set-up lines and lock files."""
    listed = await run_git(
        root, "ls-tree", commit, "--", *((inner / name).as_posix() for name in LOCK_FILES)
    )
    content = "\n".join(commands).encode() + b"\0" + listed
    return hashlib.sha256(content).hexdigest()[:NAME_LENGTH]


async def _make(
    root: Path, workdir: Path, tree: Path, inner: Path, commit: str, commands: Sequence[str]
) -> None:
    if tree.exists():
        # Interrupted in the making, or a set-up line has failed.
        await asyncio.to_thread(shutil.rmtree, tree)
    await run_git(root, "worktree", "prune", "--expire", "now")
    await run_git_locking(
        root, *NO_HOOKS, "worktree", "add", "--detach", "-f", str(tree.resolve()), commit
    )
    await asyncio.to_thread(link_all, root, workdir, tree)
    logger.info("setting '%s' up for commit %s", workdir, commit[:12])
    async with ShellOperation(
        commands=["set -e", *commands],
        working_dir=tree / inner,
        env={TOKEN_VARIABLE: "", "PREFECT_API_AUTH_STRING": ""},
    ) as operation:
        process = await operation.trigger()
        try:
            await process.wait_for_completion()
        except RuntimeError as error:
            raise SetupFailed(
                f"a set-up line of {FILE} fails in the clone '{workdir}' ({error}): see the "
                "worker's log on that host"
            ) from error
