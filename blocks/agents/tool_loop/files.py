"""The file tools: read, write, edit, inside the project unless told otherwise."""

import os
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from wildloop.blocks.agents.tool_loop.output import cut_middle

READ_LINES = 400
EDIT_LIMIT_BYTES = 20 * 1024 * 1024
LINE_CHARACTERS = 2_000


class ToolFault(Exception):
    """A tool cannot do what it is asked; the text tells the model why and what to do."""


@dataclass(frozen=True)
class Files:
    """The files that the model may touch."""

    workdir: Path
    outside: bool
    output_characters: int

    def read(self, path: str, cwd: Path, offset: int = 1, limit: int = READ_LINES) -> str:
        """Numbered lines of a text file, from line `offset` on.

        Raises:
            ToolFault: it cannot be read.
        """
        if offset < 1 or limit < 1:
            raise ToolFault("offset and limit count lines: give numbers from 1 on")
        place = self._existing(path, cwd)
        number = offset - 1
        lines: list[str] = []
        with place.open("rb") as file:
            if b"\0" in file.read(8192):
                raise ToolFault(f"'{path}' is no text: look at it with bash, as by xxd or file")
            file.seek(0)
            for number, line in enumerate(islice(file, offset - 1, offset - 1 + limit), offset):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                lines.append(f"{number:6}\t{cut_middle(text, LINE_CHARACTERS)}")
            more = bool(file.readline())
        if not lines:
            return "[the file is empty]" if offset == 1 else f"[the file ends before line {offset}]"
        end = [f"[more follows: go on with offset {number + 1}]"] if more else []
        return cut_middle("\n".join(lines), self.output_characters) + "".join(f"\n{e}" for e in end)

    def write(self, path: str, content: str, cwd: Path) -> str:
        """Make a file, or replace what stands in it; folders are made too.

        Raises:
            ToolFault: it cannot be written.
        """
        place = self._inside(path, cwd)
        if place.exists() and not place.is_file():
            raise ToolFault(f"'{path}' is no file: choose another path")
        place.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode("utf-8", "replace")
        _replace(place, data)
        return f"wrote {len(data)} bytes to {place}"

    def edit(self, path: str, old: str, new: str, cwd: Path, every: bool = False) -> str:
        """Replace `old`, which must occur once, by `new`; with `every` all occurrences.

        Raises:
            ToolFault: it cannot be done.
        """
        if not old:
            raise ToolFault("old_text is empty: use write_file to make a file")
        if old == new:
            raise ToolFault("old_text and new_text are the same: nothing to do")
        place = self._existing(path, cwd)
        if place.stat().st_size > EDIT_LIMIT_BYTES:
            raise ToolFault(f"'{path}' is too large to edit here: use bash, as by sed")
        try:
            text = place.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ToolFault(f"'{path}' is no UTF-8 text: use bash") from error
        if old not in text and "\r\n" in text:
            old, new = (part.replace("\n", "\r\n") for part in (old, new))
        count = text.count(old)
        if count == 0:
            raise ToolFault(
                f"old_text does not occur in '{path}': read the file, and copy the text exactly, "
                "blanks included and line numbers not"
            )
        if count > 1 and not every:
            raise ToolFault(
                f"old_text occurs {count} times in '{path}': give more of what stands around it, "
                "or set replace_all"
            )
        _replace(place, text.replace(old, new).encode("utf-8", "replace"))
        return f"replaced {count} occurrence{'s' if count > 1 else ''} in {place}"

    def _inside(self, path: str, cwd: Path) -> Path:
        if not path or "\0" in path:
            raise ToolFault("path is empty or holds a NUL: name a file")
        try:
            # Through links: one inside the project may lead out of it.
            place = (cwd / path).resolve()
        except (OSError, RuntimeError) as error:
            raise ToolFault(f"'{path}' cannot be followed: {error}") from error
        if not self.outside and not place.is_relative_to(self.workdir.resolve()):
            raise ToolFault(f"'{path}' is outside the project, {self.workdir}: stay inside it")
        return place

    def _existing(self, path: str, cwd: Path) -> Path:
        place = self._inside(path, cwd)
        if place.is_dir():
            raise ToolFault(f"'{path}' is a folder: list it with bash, as by ls")
        if not place.exists():
            raise ToolFault(f"'{path}' does not exist (relative paths start at {cwd})")
        if not place.is_file():
            raise ToolFault(f"'{path}' is no regular file: use bash")
        return place


def _replace(place: Path, data: bytes) -> None:
    """Put new content in a file's place at once, its permissions kept."""
    mode = place.stat().st_mode & 0o7777 if place.exists() else None
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if mode is None:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        fresh.chmod(mode)
        fresh.replace(place)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
