"""Installing skills from a git repository or a folder: all are checked before one is in place."""

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from wildloop.flows.errors import Conflict, InvalidRequest, NotAllowed, WildloopError
from wildloop.flows.git.process import GitError, git_line, run_git
from wildloop.flows.models.skill import MAX_FILES, SkillInstall, SkillsInstalled, SkillSummary
from wildloop.flows.settings import SKILL_INSTALL_VARIABLE
from wildloop.flows.skills import files
from wildloop.flows.skills.document import check_new_id
from wildloop.flows.skills.editing import SkillEditor, copy_skill, staging

SCHEMES = ("https", "ssh", "file")
CLONE_TIMEOUT_S = 120.0
CLONE_LIMIT_BYTES = 100 * 1024 * 1024
MAX_SKILLS = 100
MAX_DEPTH = 4
LOOK_S = 0.25
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
# Nothing of the repository or of the user's templates runs.
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
_ENVIRONMENT = {
    # Holds for redirects too, and overrides protocol.*.allow.
    "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS_REQUIRE": "never",
}


class SkillInstaller:
    """Puts skills from elsewhere into a project.

    Args:
        editor: of the project's skills.
        allowed: whether the user has switched it on.
        timeout_seconds: for a clone.
        limit_bytes: for a clone.
    """

    def __init__(
        self,
        editor: SkillEditor,
        *,
        allowed: bool,
        timeout_seconds: float = CLONE_TIMEOUT_S,
        limit_bytes: int = CLONE_LIMIT_BYTES,
    ) -> None:
        self.editor = editor
        self.allowed = allowed
        self.timeout_seconds = timeout_seconds
        self.limit_bytes = limit_bytes

    async def install(self, body: SkillInstall) -> SkillsInstalled:
        """Install every skill of a source, or none.

        Raises:
            NotAllowed: it is not switched on.
            InvalidRequest: the source is bad, cannot be had, or holds a skill that is broken.
            Conflict: a skill is there already, and `replace` is false.
        """
        if not self.allowed:
            raise NotAllowed(
                "installing skills is off, since they are prompts that agents obey: set "
                f"{SKILL_INSTALL_VARIABLE}=1 in the environment of the server and start it anew"
            )
        if body.source.startswith(("/", "~")):
            folder = Path(body.source).expanduser()
            if not folder.is_dir():
                raise InvalidRequest(f"source '{body.source}' is no folder: give one that exists")
            if body.ref is not None:
                raise InvalidRequest("ref: only a git URL has one: leave it out for a folder")
            installed = await asyncio.to_thread(self._place, folder, folder.resolve().name, body)
            return SkillsInstalled(source=body.source, installed=installed)
        name = check_url(body.source)
        with tempfile.TemporaryDirectory(prefix="wildloop-skills-") as temporary:
            folder = Path(temporary) / "clone"
            await self._clone(body, folder)
            commit = await git_line(folder, *_SAFE, "rev-parse", "HEAD")
            installed = await asyncio.to_thread(self._place, folder, name, body)
        return SkillsInstalled(source=body.source, commit=commit, installed=installed)

    async def _clone(self, body: SkillInstall, folder: Path) -> None:
        """A shallow clone within bounds of time and size."""
        if body.ref is not None and (_REF.fullmatch(body.ref) is None or ".." in body.ref):
            raise InvalidRequest("ref: give the name of a branch or tag")
        branch = () if body.ref is None else ("--branch", body.ref)
        arguments = ("clone", "--quiet", "--depth=1", "--single-branch", "--no-tags")
        options = ("--no-recurse-submodules", "--template=", *branch)
        command = run_git(
            folder.parent,
            *_SAFE,
            *arguments,
            *options,
            "--",
            body.source,
            str(folder),
            env=_ENVIRONMENT,
        )
        clone = asyncio.ensure_future(command)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                while not (await asyncio.wait({clone}, timeout=LOOK_S))[0]:
                    await self._check_size(folder)
                await clone
            await self._check_size(folder)
        except TimeoutError as error:
            raise InvalidRequest(
                f"source '{body.source}' could not be cloned within {self.timeout_seconds:g} s: "
                "try again, or clone it yourself and give the folder"
            ) from error
        except GitError as error:
            raise InvalidRequest(f"source '{body.source}' could not be cloned: {error}") from error
        finally:
            if not clone.done():
                clone.cancel()
                await asyncio.wait({clone})

    async def _check_size(self, folder: Path) -> None:
        if await asyncio.to_thread(_size, folder) > self.limit_bytes:
            raise InvalidRequest(
                f"the source is larger than {self.limit_bytes} bytes: give a repository that "
                "holds skills only"
            )

    def _place(self, folder: Path, name: str, body: SkillInstall) -> list[SkillSummary]:
        found = _chosen(find_skills(folder, name), body.ids)
        for id, source in found:
            self._check(id, source, body.replace)
        with staging(self.editor.root) as stage:
            staged = [(id, copy_skill(source, stage / "new" / id)) for id, source in found]
            _swap(staged, self.editor.root, stage / "old")
        library = self.editor.library
        return [SkillSummary.model_validate(library.get(id).model_dump()) for id, _ in staged]

    def _check(self, id: str, folder: Path, replace: bool) -> None:
        check_new_id(id)
        if not replace and self.editor.exists(id):
            raise Conflict(f"skill '{id}' exists: give `replace: true` to override it")
        listed = files.list_files(folder)
        if len(listed) > MAX_FILES:
            raise InvalidRequest(
                f"skill '{id}' has {len(listed)} files, more than {MAX_FILES}: make it smaller"
            )
        if link := next((path for path in folder.rglob("*") if path.is_symlink()), None):
            raise InvalidRequest(
                f"skill '{id}': '{link.relative_to(folder)}' is a link: put the file itself there"
            )
        for file in listed:
            content = files.read_bytes(folder, file.path)
            if file.path == files.FILE:
                self.editor.check(id, content)


def check_url(url: str) -> str:
    """The repository's name in a git URL.

    Raises:
        InvalidRequest: another scheme, a secret in it, or no URL at all.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidRequest("source is no URL: give https://host/path or a folder") from error
    if parts.scheme not in SCHEMES or "::" in url.partition("://")[0]:
        raise InvalidRequest(
            "source: give an https://, ssh:// or file:// URL of a git repository, or the absolute "
            "path of a folder"
        )
    if parts.password is not None or (parts.scheme == "https" and parts.username is not None):
        raise InvalidRequest(
            "source: no user name or secret may stand in the URL: use a git credential helper or "
            "ssh"
        )
    host = parts.hostname or ""
    if host.startswith("-") or (parts.username or "").startswith("-"):
        raise InvalidRequest("source: host and user may not begin with '-'")
    if not parts.path.strip("/") or bool(host) == (parts.scheme == "file"):
        raise InvalidRequest("source: give a whole URL, as https://host/team/skills.git")
    return parts.path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")


def find_skills(folder: Path, name: str) -> list[tuple[str, Path]]:
    """(id, folder) of every skill: the folder itself, or the folders in it that hold a SKILL.md.

    Raises:
        InvalidRequest: there is none, there are too many, or two have the same id.
    """
    if _holds_skill(folder):
        return [(name, folder)]
    found: dict[str, Path] = {}
    for root, folders, _ in os.walk(folder):
        path = Path(root)
        folders[:] = sorted(part for part in folders if not part.startswith("."))
        if _holds_skill(path):
            if path.name in found:
                raise InvalidRequest(f"the source has two skills '{path.name}': rename one")
            found[path.name] = path
            folders.clear()
        elif len(path.relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
    if not found:
        raise InvalidRequest(
            f"the source has no skill: no folder with a {files.FILE} within {MAX_DEPTH} levels"
        )
    if len(found) > MAX_SKILLS:
        raise InvalidRequest(f"the source has {len(found)} skills: choose some by `ids`")
    return list(found.items())


def _holds_skill(folder: Path) -> bool:
    return (folder / files.FILE).is_file()


def _chosen(found: Sequence[tuple[str, Path]], ids: Sequence[str] | None) -> list[tuple[str, Path]]:
    if ids is None:
        return list(found)
    known = {id for id, _ in found}
    if unknown := sorted(set(ids) - known):
        raise InvalidRequest(
            f"ids: the source has no skill {', '.join(map(ascii, unknown))}, but "
            f"{', '.join(sorted(known))}"
        )
    return [(id, folder) for id, folder in found if id in ids]


def _swap(staged: Sequence[tuple[str, Path]], root: Path, old: Path) -> None:
    """Rename all into place; if one cannot be, take back those before it."""
    old.mkdir()
    done: list[str] = []
    try:
        for id, folder in staged:
            with files.refusals(id):
                if os.path.lexists(root / id):
                    (root / id).rename(old / id)
                folder.rename(root / id)
            done.append(id)
    except WildloopError:
        for id, folder in reversed(staged[: len(done) + 1]):
            if id in done:
                (root / id).rename(folder)
            if os.path.lexists(old / id) and not os.path.lexists(root / id):
                (old / id).rename(root / id)
        raise


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total
