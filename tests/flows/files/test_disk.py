"""A full disk is seen before it does harm, and waited for where it is met."""

import asyncio
import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pace import patient
from tests.support.small_disk import fill, small_disk
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.files import disk
from wildloop.flows.files.disk import (
    DiskLimits,
    disk_fault,
    full_note,
    home_fault,
    is_for_want_of_room,
    when_there_is_room,
)

LIMITS = DiskLimits()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small") as folder:
        yield folder


def test_a_disk_with_room_has_no_fault(small: Path) -> None:
    assert disk_fault(small, LIMITS, probe=True) is None
    assert disk_fault(small / "not" / "there", LIMITS) is None


def test_a_disk_below_the_limit_is_told_with_its_place_and_the_mend(small: Path) -> None:
    fill(small, leave=100_000)
    found = disk_fault(small, LIMITS)
    assert found == f"disk full: 0.1 MB left of 8.4 MB at {small}: make room there"
    assert disk_fault(small, DiskLimits(free_percent=0.5)) is None
    assert full_note(small) == ""
    (small / "rest").write_bytes(bytes(80_000))
    assert "the disk is full: 0.0 MB left" in full_note(small)


def test_a_disk_without_files_left_is_full_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", files=12) as folder:
        assert disk_fault(folder, LIMITS) is None
        for number in range(11):
            (folder / str(number)).touch()
        assert "0 files (inodes) left" in str(disk_fault(folder, LIMITS))


def test_a_disk_that_has_become_read_only_takes_nothing(small: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for probe in (True, False):
        assert "mounted read-only" in str(disk_fault(small, LIMITS, probe=probe))
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    assert disk_fault(small, LIMITS, probe=True) is None


def test_a_spent_quota_shows_by_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", refuse)
    assert "quota spent" in str(disk_fault(tmp_path, DiskLimits(free_gb=0), probe=True))


def test_the_database_of_a_home_may_lie_elsewhere(tmp_path: Path, small: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "prefect").symlink_to(small)
    limits = DiskLimits(free_gb=0.0005)
    assert home_fault(home, limits) is None
    fill(small)
    assert f"{home}/prefect" in str(home_fault(home, limits))


async def test_what_cannot_be_written_is_written_once_there_is_room(
    small: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "PAUSE_SECONDS", 0.05)
    filled, target = fill(small), small / "target"
    with caplog.at_level(logging.WARNING, "wildloop.disk"):
        writing = asyncio.create_task(
            when_there_is_room(lambda: target.write_bytes(bytes(50_000)), small)
        )
        await asyncio.sleep(0.4)
        assert not writing.done()
        filled.unlink()
        assert await asyncio.wait_for(writing, patient(10)) == 50_000
    assert target.read_bytes() == bytes(50_000)
    assert len(caplog.records) == 2


async def test_other_faults_are_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await when_there_is_room(lambda: (tmp_path / "no" / "file").touch(), tmp_path)


def test_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disk.FREE_GB_VARIABLE, "0.5")
    assert DiskLimits.from_environment() == DiskLimits(free_gb=0.5)
    monkeypatch.setenv(disk.FREE_PERCENT_VARIABLE, "much")
    with pytest.raises(InvalidRequest, match="WILDLOOP_DISK_FREE_PERCENT must be numbers"):
        DiskLimits.from_environment()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "whatever"), True),
        (RuntimeError("git: fatal: write error: No space left on device"), True),
        (RuntimeError("git: Disk quota exceeded"), True),
        (PermissionError(errno.EACCES, "denied"), False),
    ],
)
def test_want_of_room_is_known_by_number_or_words(error: Exception, expected: bool) -> None:
    assert is_for_want_of_room(error) is expected
