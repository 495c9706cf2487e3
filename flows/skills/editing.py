"""Changing a project's skills. A shipped one is never touched: a change makes a copy of it."""

import base64
import binascii
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from wildloop.flows.errors import Conflict, InvalidRequest, NotFound
from wildloop.flows.models.skill import (
    Skill,
    SkillCreate,
    SkillDeleted,
    SkillFileContent,
    SkillFileWrite,
    SkillUpdate,
)
from wildloop.flows.skills import files
from wildloop.flows.skills.document import SkillDocument, check_new_id, parse_document, to_skill
from wildloop.flows.skills.library import SkillLibrary, check_folder, read_text
from wildloop.flows.skills.template import used_variables


class SkillEditor:
    """Create, change and delete the skills of a project.

    Args:
        library: where the skills are.
        root: folder of the project's skills, made when needed.
        loop_variables: what the research loop gives to skills: one that shadows a shipped skill
            may use no others, or the loop could not render it.
    """

    def __init__(
        self, library: SkillLibrary, root: Path, loop_variables: Collection[str] = ()
    ) -> None:
        self.library = library
        self.root = root
        self.loop_variables = frozenset(loop_variables)

    def create(self, body: SkillCreate) -> Skill:
        """A new skill.

        Raises:
            InvalidRequest: the id or the template is bad.
            Conflict: the id is taken.
        """
        check_new_id(body.id)
        if self.exists(body.id):
            raise Conflict(f"skill '{body.id}' exists: change it by PUT /prompt-skills/{body.id}")
        document = SkillDocument(front_matter={"name": body.name or body.id}, body="")
        document = self._changed(body.id, document, body)
        with staging(self.root) as stage:
            folder = stage / body.id
            folder.mkdir()
            files.write_bytes(folder, files.FILE, document.text().encode())
            with files.refusals(body.id):
                folder.rename(self.root / body.id)
        return self.library.get(body.id)

    def update(self, id: str, body: SkillUpdate) -> Skill:
        """Change a skill; a shipped one is copied into the project first.

        Raises:
            NotFound: there is no such skill.
            InvalidRequest: nothing is given, or the template is bad.
        """
        source, folder = self.library.locate(id)
        if not body.model_fields_set:
            raise InvalidRequest(
                "nothing to change: give name, description, category, version, variables or "
                "template"
            )
        document = self._changed(id, self._readable(id, folder, body), body)
        content = document.text().encode()
        if source == "shipped":
            self._copy_of_shipped(id, files.FILE, content)
        else:
            files.write_bytes(folder, files.FILE, content)
        return self.library.get(id)

    def delete(self, id: str) -> SkillDeleted:
        """Delete the project's skill; a shipped one that it shadowed is in force again.

        Raises:
            NotFound: there is no such skill.
            Conflict: it is a shipped one.
        """
        source, folder = self.library.locate(id)
        if source == "shipped":
            raise Conflict(
                f"skill '{id}' ships with Wildloop and cannot be deleted: shadow it by "
                f"PUT /prompt-skills/{id}"
            )
        with staging(self.root) as stage, files.refusals(id):
            folder.rename(stage / id)
        return SkillDeleted(id=id, restored_shipped=self.library.is_shipped(id))

    def write_file(self, id: str, path: str, body: SkillFileWrite) -> SkillFileContent:
        """Write one file of a skill; a shipped skill is copied into the project first.

        Raises:
            NotFound: there is no such skill.
            InvalidRequest: the path or the content is bad; SKILL.md must be a skill.
        """
        files.check_path(path)
        source, folder = self.library.locate(id)
        content = _content(body)
        if path == files.FILE:
            self.check(id, content)
        if source == "shipped":
            folder = self._copy_of_shipped(id, path, content)
        else:
            check_folder(folder, id)
            files.write_bytes(folder, path, content)
        return files.read_file(folder, path)

    def exists(self, id: str) -> bool:
        """Whether there is a skill of this id, shipped or the project's."""
        try:
            self.library.locate(id)
        except NotFound:
            return False
        return True

    def check(self, id: str, content: bytes) -> None:
        """Raise InvalidRequest if this is no SKILL.md that can be put in force."""
        try:
            document = parse_document(id, content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"skill '{id}': SKILL.md is not UTF-8: save it so") from error
        to_skill(id, document, "project")
        self._check_used(id, used_variables(id, document.body, document.first_line))

    def _changed(self, id: str, document: SkillDocument, update: SkillUpdate) -> SkillDocument:
        """The document with the update, checked."""
        template = document.body if update.template is None else update.template
        used = used_variables(id, template)
        self._check_used(id, used)
        variables = update.variables
        if variables is None and update.template is not None:
            variables = used
        if missing := set(used) - set(used if variables is None else variables):
            raise InvalidRequest(
                f"variables: the template also uses {', '.join(sorted(missing))}: list them, or "
                "leave `variables` out"
            )
        changed = document.changed(update, variables)
        to_skill(id, changed, "project")
        return changed

    def _check_used(self, id: str, used: Collection[str]) -> None:
        unknown = set(used) - self.loop_variables
        if unknown and self.loop_variables and self.library.is_shipped(id):
            raise InvalidRequest(
                f"skill '{id}': the research loop does not give {', '.join(sorted(unknown))}: a "
                f"skill that shadows a shipped one may use {', '.join(sorted(self.loop_variables))}"
            )

    def _readable(self, id: str, folder: Path, body: SkillUpdate) -> SkillDocument:
        """The document as it is; a broken one may be mended by an update that gives it all."""
        try:
            return parse_document(id, read_text(folder, id))
        except InvalidRequest:
            if body.template is None or body.description is None or folder.is_symlink():
                raise
            return SkillDocument(front_matter={"name": body.name or id}, body="")

    def _copy_of_shipped(self, id: str, path: str, content: bytes) -> Path:
        """The project's copy of a shipped skill, with one file changed; appears whole."""
        with staging(self.root) as stage:
            folder = copy_skill(self.library.shipped / id, stage / id)
            files.write_bytes(folder, path, content)
            with files.refusals(id):
                folder.rename(self.root / id)
        return self.root / id


def copy_skill(source: Path, target: Path) -> Path:
    """Copy the readable files of a skill's folder; links and hidden files stay behind."""
    target.mkdir(parents=True)
    for file in files.list_files(source):
        executable = bool((source / file.path).stat(follow_symlinks=False).st_mode & 0o100)
        content = files.read_bytes(source, file.path)
        files.write_bytes(target, file.path, content, executable=executable)
    return target


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A folder beside the skills, gone afterwards: what is made in it can be renamed into place."""
    with files.refusals(str(root)):
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _content(body: SkillFileWrite) -> bytes:
    if body.encoding == "utf-8":
        return body.content.encode("utf-8")
    try:
        return base64.b64decode(body.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"content: not base64 ({error}): encode it, or use utf-8") from error
