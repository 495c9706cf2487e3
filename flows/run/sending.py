"""The folder of a run, sent to the API that does not see it: as the run writes, and at its end."""

import asyncio
import base64
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from prefect.logging import get_logger
from pydantic import BaseModel

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.copy import NOTE, FolderState
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run.elsewhere import api, is_elsewhere
from wildloop.flows.settings import Settings

logger = get_logger("wildloop.sending")
LOOK_SECONDS = 1.0
LAST_SECONDS = 30.0
STEP_BYTES = 512 * 1024
MOST_PARTS = 200
MOST_FILES = 5000
LIMIT_VARIABLE = "WILDLOOP_SENT_FILE_MB"
LIMIT_MB = 256
SETTLED_SECONDS = 2.0
KEPT_SECONDS = 14 * 86_400.0
# What is only ever appended to; of others the middle may change.
GROWING = (".log", ".jsonl", ".out", ".err", ".txt", ".csv", ".tsv")


class Sent(BaseModel):
    """How much of a file the API has, and of which file."""

    inode: int
    size: int
    changed: int


class FolderSender:
    """Sends what is new in a run's folder.

    Args:
        root: the run's folder.
        run_id: whose.
        settings: where the API is.
    """

    def __init__(self, root: Path, run_id: str, settings: Settings) -> None:
        self._root, self._run_id, self._settings = root, run_id, settings
        self._limit = int(os.environ.get(LIMIT_VARIABLE) or LIMIT_MB) * 1024 * 1024
        self._sent: dict[str, Sent] = {}
        self._is_new = True
        self.is_seen = False
        """Whether the API sees the folder itself, so that there is nothing to send."""

    async def send(self, is_last: bool = False) -> None:
        """Send what is new; with `is_last` all of it, and that nothing more will come.

        Raises:
            httpx.HTTPError: the API is not reached, or refuses it.
            OSError: the folder cannot be read.
        """
        if self.is_seen or not self._root.is_dir():
            return
        async with api(self._settings) as http:
            if self._is_new:
                await self._begin(http)
            if self.is_seen:
                return
            files, left_out = await asyncio.to_thread(self._changed, is_last)
            batch = Batch()
            for new in files:
                async for part in self._parts(new):
                    batch.add(new, part)
                    if batch.is_full:
                        await self._send_batch(http, batch)
                        batch = Batch()
            if batch.parts:
                await self._send_batch(http, batch)
            if is_last:
                await self._post(http, is_complete=True, left_out=left_out)

    async def _send_batch(self, http: httpx.AsyncClient, batch: "Batch") -> None:
        await self._post(http, parts=batch.parts)
        self._sent |= batch.sent

    async def _begin(self, http: httpx.AsyncClient) -> None:
        """Tell whether the API sees this folder, by a file that only this process knows of."""
        mark = secrets.token_hex(16)
        file = self._root / f".{mark}"
        file.touch()
        try:
            state = await self._post(http, mark=mark)
        finally:
            file.unlink(missing_ok=True)
        self.is_seen, self._is_new = state.is_same_folder, False
        for name, size in state.sizes.items():
            path = self._root / name
            if path.suffix in GROWING and path.is_file():
                self._sent[name] = Sent(inode=path.lstat().st_ino, size=size, changed=0)

    async def _post(self, http: httpx.AsyncClient, **fields: object) -> FolderState:
        body = {"host": socket.gethostname(), **fields}
        answer = await http.post(f"/runs/{self._run_id}/copy", json=body)
        if answer.status_code == httpx.codes.CONFLICT:
            # The API's copy is not as it was left: it is sent anew.
            self._sent.clear()
        answer.raise_for_status()
        return FolderState.model_validate_json(answer.content)

    def _changed(self, is_last: bool) -> tuple[list["News"], list[str]]:
        """Files with new bytes, and the names of those that are too large."""
        files: list[News] = []
        left_out: list[str] = []
        for path in _walk(self._root):
            name = path.relative_to(self._root).as_posix()
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue
            if seen.st_size > self._limit:
                left_out.append(name)
                continue
            known = self._sent.get(name)
            now = Sent(inode=seen.st_ino, size=seen.st_size, changed=seen.st_mtime_ns)
            grows = path.suffix in GROWING
            still = grows or is_last or time.time() - seen.st_mtime >= SETTLED_SECONDS
            if known == now or not still:
                continue
            goes_on = grows and known and known.inode == now.inode and known.size < now.size
            files.append(News(name, known.size if goes_on and known else 0, now))
        return files, sorted(left_out)[:MOST_PARTS]

    async def _parts(self, new: "News") -> AsyncIterator[tuple[int, bytes]]:
        """A file's new bytes, with their offsets; one that is empty has a part too."""
        try:
            file = await asyncio.to_thread(open_to_read, self._root / new.name)
        except OSError as error:
            logger.warning("'%s' of run %s is not sent: %s", new.name, self._run_id, error)
            return
        with file:
            at = new.start
            file.seek(at)
            while True:
                data = await asyncio.to_thread(file.read, min(STEP_BYTES, new.now.size - at))
                yield at, data
                at += len(data)
                if not data or at >= new.now.size:
                    return


class News(NamedTuple):
    """A file that has changed: from which byte on, and how it is now."""

    name: str
    start: int
    now: Sent


class Batch:
    """What goes by one request, and what the API has when it has taken that."""

    def __init__(self) -> None:
        self.parts: list[dict[str, object]] = []
        self.sent: dict[str, Sent] = {}
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be added."""
        return self._size >= STEP_BYTES or len(self.parts) >= MOST_PARTS

    def add(self, new: News, part: tuple[int, bytes]) -> None:
        """Add bytes of a file."""
        offset, data = part
        text = base64.b64encode(data).decode("ascii")
        self.parts.append({"path": new.name, "offset": offset, "data": text})
        self._size += len(data)
        self.sent[new.name] = new.now.model_copy(update={"size": offset + len(data)})


def _walk(root: Path) -> Iterator[Path]:
    """The files of a folder that are the run's: no links, nothing that Python has compiled."""
    found = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if one != "__pycache__")
        for name in sorted(names):
            path = Path(folder) / name
            if name == NOTE or (folder == str(root) and name.startswith(".")) or path.is_symlink():
                continue
            found += 1
            if found > MOST_FILES:
                logger.warning("of '%s' only the first %d files are sent", root, MOST_FILES)
                return
            if path.is_file():
                yield path


class Sending:
    """Whether a run has ended here: else more will come, from this host or another."""

    def __init__(self) -> None:
        self.has_ended = False


@asynccontextmanager
async def sent_along(spec: RunSpec, run_id: str) -> AsyncIterator[Sending]:
    """Have the API get the folder of a run while the run works here, where it does not see it.

    What could not be sent by the end is noted in WILDLOOP_HOME, and sent later: see `send_left`.
    """
    settings, sending = Settings.from_environment(), Sending()
    workdir = Path(spec.workdir or settings.workdir)
    if not await asyncio.to_thread(is_elsewhere, spec, workdir):
        yield sending
        return
    root = RunPaths.of(workdir, run_id).root
    sender, note = FolderSender(root, run_id, settings), _note(settings, run_id)
    await asyncio.to_thread(_write, note, str(root))
    following = asyncio.create_task(_follow(sender, run_id))
    try:
        yield sending
    finally:
        following.cancel()
        await asyncio.wait({following})
        if sending.has_ended and await _finish(sender, run_id):
            note.unlink(missing_ok=True)


async def _follow(sender: FolderSender, run_id: str) -> None:
    said = ""
    while not sender.is_seen:
        try:
            await sender.send()
            said = ""
        except (httpx.HTTPError, OSError) as error:
            if str(error) != said:
                said = str(error)
                logger.warning("files of run %s are not sent for now: %s", run_id, said)
        await asyncio.sleep(LOOK_SECONDS)


async def _finish(sender: FolderSender, run_id: str) -> bool:
    """Send the rest, within bounds: the outcome of a run does not wait for it any longer."""
    try:
        async with asyncio.timeout(LAST_SECONDS):
            await sender.send(is_last=True)
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        logger.warning("files of run %s are sent later: %s", run_id, error)
        return False
    return True


async def send_left(settings: Settings, under_way: Collection[str]) -> None:
    """Send what earlier runs of this host have left, while the API did not answer.

    Args:
        settings: where the API and Wildloop's own folder are.
        under_way: ids of runs that are sent along.
    """
    folder = _note(settings, "x").parent
    notes = await asyncio.to_thread(lambda: sorted(folder.glob("*")) if folder.is_dir() else [])
    for note in notes:
        if note.name in under_way:
            continue
        root = Path(await asyncio.to_thread(note.read_text, "utf-8"))
        too_old = time.time() - note.stat().st_mtime > KEPT_SECONDS
        sender = FolderSender(root, note.name, settings)
        try:
            if root.is_dir() and not too_old:
                await sender.send(is_last=True)
        except (httpx.HTTPError, OSError) as error:
            if _is_gone(error):
                logger.warning("run %s is not known any more: its files stay here", note.name)
            else:
                # One that is not reached now would not be for the others either.
                return
        note.unlink(missing_ok=True)


def _is_gone(error: Exception) -> bool:
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.status_code == httpx.codes.NOT_FOUND
    )


def _note(settings: Settings, run_id: str) -> Path:
    return settings.home / "unsent" / run_id


def _write(note: Path, text: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.write_text(text, encoding="utf-8")
