"""A run's folder on another host's disk, sent to the API as it grows."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.shim.test_folder_copy import a_run
from wildloop.flows.errors import Conflict
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.files.place import mark_place
from wildloop.flows.models.copy import FolderStep
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run import sending
from wildloop.flows.run.sending import FolderSender, send_left, sent_along
from wildloop.flows.settings import Settings
from wildloop.shim.folder_copy import take_step


class Api:
    """The API's side: its copy lies in `copy`; while `away`, it does not answer."""

    def __init__(self, copy: Path) -> None:
        self.run = a_run(copy)
        self.copy = Path(self.run.run_dir)
        self.away, self.steps = False, 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.steps += 1
        if self.away:
            raise httpx.ConnectError("away")
        try:
            state = take_step(self.run, FolderStep.model_validate_json(request.content))
        except Conflict as error:
            return httpx.Response(409, json={"detail": str(error)})
        return httpx.Response(200, content=state.model_dump_json())

    @asynccontextmanager
    async def client(self, _: Settings) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.MockTransport(self.answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            yield http


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api(tmp_path / "api")
    (tmp_path / "api").mkdir()
    monkeypatch.setattr(sending, "api", made.client)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", server_url="http://x", token=None, workdir=tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = RunPaths.of(tmp_path / "there", "r").root
    folder.mkdir(parents=True)
    return folder


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "copy.json" and not path.name.startswith(".")
    }


async def test_what_grows_is_added_and_what_changes_is_replaced(
    api: Api, settings: Settings, root: Path
) -> None:
    sender = FolderSender(root, "r", settings)
    (root / "run.log").write_text("one\n")
    (root / "model.bin").write_bytes(os.urandom(1_500_000))
    (root / "empty").touch()
    await sender.send()
    assert files(api.copy)["run.log"] == b"one\n"
    with (root / "run.log").open("a") as log:
        log.write("two\n")
    (root / "model.bin").write_bytes(b"other")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.pyc").touch()
    (root / "link").symlink_to("/etc/passwd")
    await sender.send(is_last=True)
    (root / "link").unlink()
    shutil.rmtree(root / "__pycache__")
    assert files(api.copy) == files(root)
    assert '"is_complete":true' in (api.copy / "copy.json").read_text()


async def test_nothing_is_lost_or_doubled_by_an_outage(
    api: Api, settings: Settings, root: Path
) -> None:
    sender = FolderSender(root, "r", settings)
    (root / "run.log").write_text("one\n")
    await sender.send()
    (root / "run.log").write_text("one\ntwo\n")
    api.away = True
    with pytest.raises(httpx.ConnectError):
        await sender.send()
    api.away = False
    # A worker that has begun anew knows nothing of what was sent.
    await FolderSender(root, "r", settings).send()
    await sender.send(is_last=True)
    assert files(api.copy) == files(root)


async def test_folder_that_the_api_sees_is_not_sent(api: Api, settings: Settings) -> None:
    api.copy.mkdir(parents=True)
    (api.copy / "run.log").write_text("one\n")
    sender = FolderSender(api.copy, "r", settings)
    await sender.send(is_last=True)
    assert sender.is_seen and api.steps == 1
    assert not (api.copy / "copy.json").exists()


async def test_what_the_api_missed_is_sent_later(
    api: Api, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, there = tmp_path / "origin", tmp_path / "there"
    for folder in (home, there):
        folder.mkdir()
    monkeypatch.setenv("WILDLOOP_HOME", str(settings.home))
    given: dict[str, Any] = {"name": "r", "command": "true", "workdir": str(there)}
    spec = RunSpec(**given, place=mark_place(home))
    api.away = True
    async with sent_along(spec, "r") as along:
        root = RunPaths.of(there, "r").root
        root.mkdir(parents=True)
        (root / "run.log").write_text("one\n")
        along.has_ended = True
    assert not api.copy.exists()
    await send_left(settings, {"r"})
    api.away = False
    await send_left(settings, set())
    assert files(api.copy) == files(root)
    steps = api.steps
    await send_left(settings, set())
    assert api.steps == steps
