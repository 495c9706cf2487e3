"""A run's log as text: whole, compressed, and by ranges."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support.records import made_run
from wildloop.shim.client.api import LOG_PART_BYTES, ApiClient
from wildloop.shim.deps import get_runs
from wildloop.shim.logs import LIMIT_BYTES
from wildloop.shim.routers.run_data import router

LOG = b"".join(b"step %d loss %.4f\n" % (number, 1 / (1 + number)) for number in range(5000))
TEXT = {"Accept": "text/plain"}


class OneRun:
    """Stands for the store: it has one run."""

    def __init__(self, folder: Path) -> None:
        self.run = made_run(1, run_dir=str(folder))

    async def get(self, _run_id: str) -> object:
        """The run."""
        return self.run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run.log").write_bytes(LOG)
    return tmp_path


@pytest.fixture
def http(folder: Path) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[get_runs] = lambda: OneRun(folder)
    with TestClient(app) as client:
        yield client


def test_the_whole_log_comes_as_text_and_compressed(http: TestClient) -> None:
    with http.stream("GET", "/runs/r/logs", headers=TEXT) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.status_code == 200 and answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(packed) < len(LOG) / 2
    assert http.get("/runs/r/logs", headers=TEXT).content == LOG
    plain = http.get("/runs/r/logs", headers=TEXT | {"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers["content-length"]) == (LOG, str(len(LOG)))


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, len(LOG)),
        ("bytes=-2000", len(LOG) - 2000, len(LOG)),
        ("bytes=-99999999", 0, len(LOG)),
        ("bytes=10-99999999", 10, len(LOG)),
    ],
)
def test_a_range_is_what_it_asks_for(http: TestClient, wanted: str, first: int, end: int) -> None:
    answer = http.get("/runs/r/logs", headers=TEXT | {"Range": wanted})
    assert (answer.status_code, answer.content) == (206, LOG[first:end])
    assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/{len(LOG)}"


def test_a_range_behind_the_end_is_refused_and_a_malformed_one_asks_for_all(
    http: TestClient,
) -> None:
    answer = http.get("/runs/r/logs", headers=TEXT | {"Range": f"bytes={len(LOG)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(LOG)}")
    for wanted in ("bytes=a-b", "lines=1-2", "bytes=0-1,5-6"):
        assert http.get("/runs/r/logs", headers=TEXT | {"Range": wanted}).content == LOG


def test_no_log_and_a_link_in_its_place_are_empty(http: TestClient, folder: Path) -> None:
    (folder / "run.log").rename(folder / "elsewhere")
    assert http.get("/runs/r/logs", headers=TEXT).content == b""
    (folder / "run.log").symlink_to(folder / "elsewhere")
    assert http.get("/runs/r/logs", headers=TEXT).content == b""


def test_who_asks_for_no_text_gets_json(http: TestClient) -> None:
    part = http.get("/runs/r/logs", params={"offset": -20}).json()
    assert part["content"].encode() == LOG[-20:] and part["size"] == len(LOG)


def test_the_command_line_asks_for_as_much_as_may_be_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, http: TestClient
) -> None:
    assert LOG_PART_BYTES == LIMIT_BYTES
    (folder / "run.log").write_bytes(LOG * 30)
    client, asked = ApiClient("http://localhost:1", "token"), list[str]()

    def send(method: str, path: str, **options: object) -> httpx.Response:
        asked.append(path)
        return http.request(method, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(client.http, "request", send)
    assert "".join(client.log("r", 0)).encode() == LOG * 30
    assert len(asked) <= 2 + len(LOG) * 30 // LIMIT_BYTES + 1
