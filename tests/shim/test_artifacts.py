"""The files of a run: what is listed, and that no path leads out of the folder."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wildloop.flows.errors import NotFound
from wildloop.shim.artifacts import list_artifacts, open_artifact

SECRET = "outside the run"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with files, links and a pipe, beside another run's."""
    runs = tmp_path_factory.mktemp("my projekt ü") / "runs"
    root = runs / "abc"
    (root / "out" / "deep").mkdir(parents=True)
    (runs / "abcd").mkdir()
    (runs / "abcd" / "secret").write_text(SECRET)
    (runs / "secret").write_text(SECRET)
    (root / "run.log").write_text("log\n")
    (root / "out" / "deep" / "füß %2e.txt").write_text("umlaut")
    (root / "latest").symlink_to("out/deep")
    (root / "link.log").symlink_to("run.log")
    (root / "away").symlink_to(runs)
    (root / "away.txt").symlink_to(runs / "secret")
    (root / "next").symlink_to(runs / "abcd")
    (root / "loop").symlink_to("loop")
    (root / "broken").symlink_to("nothing")
    os.mkfifo(root / "pipe")
    return root


def read(run_dir: Path, path: str) -> bytes:
    """The whole of a file that may be opened."""
    with open_artifact("abc", run_dir, path).file as file:
        return file.read()


def test_regular_files_are_listed_with_links_that_stay_inside(run_dir: Path) -> None:
    listed = list_artifacts("abc", run_dir)
    assert [file.path for file in listed.files] == [
        *("link.log", "run.log", "out/deep/füß %2e.txt")
    ]
    log = listed.files[1]
    assert (log.name, log.size) == ("run.log", 4)
    assert abs(log.modified - time.time()) < 86_400
    assert listed.notes == []


def test_every_listed_file_can_be_opened(run_dir: Path) -> None:
    for file in list_artifacts("abc", run_dir).files:
        assert len(read(run_dir, file.path)) == file.size
    assert read(run_dir, "latest/füß %2e.txt") == b"umlaut"


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "/", "..", "../secret", "../abcd/secret", "out/../../secret", "away/secret"),
        *("away.txt", "next/secret", "loop", "broken", "pipe", "out", "/etc/passwd", "run.log\x00"),
        *("run.log/..", "run.log/x", "\ud800", "x" * 5000, "out/" * 3000, "\u2025/secret"),
        *("..\\secret", "%2e%2e/secret", "~/x", "./../secret"),
    ],
)
def test_what_is_no_file_inside_is_not_found(run_dir: Path, path: str) -> None:
    with pytest.raises(NotFound):
        open_artifact("abc", run_dir, path)


PARTS = st.one_of(
    st.sampled_from(
        [
            *("..", ".", "", "/", "~", "away", "next", "out", "deep", "latest", "loop", "secret"),
            *("abcd", "abc", "run.log", "away.txt", "link.log", "pipe", "\x00", "%2e%2e", "\\"),
            *("\uff0e\uff0e", "\u2024\u2024", "..\u200b", "\u202e", "run.log\x00.txt", "\udc2e"),
        ]
    ),
    st.text(max_size=6),
)


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(PARTS, max_size=8).map("/".join))
def test_no_path_leads_out_of_the_folder(run_dir: Path, path: str) -> None:
    try:
        found = read(run_dir, path)
    except NotFound:
        return
    assert found in (b"log\n", b"umlaut")


def test_descriptors_are_not_left_open(run_dir: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("run.log", "pipe", "away/secret", "out", "latest/nothing") * 20:
        try:
            read(run_dir, path)
        except NotFound:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_that_are_no_text_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("x")
    (tmp_path / os.fsdecode(b"bad\xff")).write_text("y")
    listed = list_artifacts("abc", tmp_path)
    assert [file.path for file in listed.files] == ["good"]
    assert "1 files whose names are not UTF-8" in listed.notes[0]


def test_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list_artifacts("abc", tmp_path / "gone").files == []


async def test_growing_file_is_sent_up_to_the_size_it_had(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1000)
    found = open_artifact("abc", tmp_path, "log")
    with (tmp_path / "log").open("ab") as file:
        file.write(b"y" * 1000)
    sent = b"".join([part async for part in found.content()])
    assert sent == b"x" * 1000
    assert found.headers["Content-Length"] == "1000"
    assert found.file.closed
