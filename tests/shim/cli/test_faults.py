"""Whatever is wrong with the machine: one line with the mend, an exit code, no traceback."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import command_environment
from wildloop.blocks.interpreter import own_command, own_python
from wildloop.shim.home import HomeFault, explained, open_home


def command(
    home: Path, *arguments: str, cwd: Path | None = None, **extra: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        own_command("wildloop", *arguments),
        env=command_environment(home) | extra,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def one_line(done: "subprocess.CompletedProcess[str]", code: int = 1) -> str:
    """What a refused command says; nothing else may be said."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("wildloop: ")
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted read-only."""
    folder = tmp_path / "read only"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", str(folder)]
    if subprocess.run(mounting, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_home_on_a_read_only_mount_is_one_line(read_only: Path, tmp_path: Path) -> None:
    said = one_line(command(read_only / "home", "up", cwd=tmp_path))
    assert "it is mounted read-only: set WILDLOOP_HOME" in said
    assert str(read_only) in said


@pytest.mark.parametrize("place", ["home", "home/run", "home/logs"])
def test_a_file_in_a_folders_place_is_one_line(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.touch()
    said = one_line(command(tmp_path / "home", "up", cwd=tmp_path))
    assert f"'{path}'" in said
    assert "move it away" in said


def test_a_folder_in_the_tokens_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home" / "token").mkdir(parents=True)
    said = one_line(command(tmp_path / "home", "up", cwd=tmp_path))
    assert "token" in said and "move it away" in said


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"\xff\xfe\x00", "t\u00f6ken".encode()]
)
def test_a_token_file_without_a_token_is_one_line(tmp_path: Path, content: bytes) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "token").write_bytes(content)
    with pytest.raises(HomeFault, match="holds no token: remove it"):
        open_home(home)


def test_a_token_file_without_a_token_stops_up(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"")
    assert "holds no token" in one_line(command(tmp_path, "up", cwd=tmp_path))


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd '{gone}' && rmdir '{gone}' && exec {' '.join(own_command('wildloop', 'status'))}"
    env = command_environment(tmp_path / "home") | {"PYTHONPATH": "."}
    done = subprocess.run(
        ["sh", "-c", script], env=env, capture_output=True, text=True, timeout=120
    )
    assert "has been removed" in one_line(done)


def test_a_temporary_folder_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    done = command(tmp_path / "home", "doctor", "--json", cwd=tmp_path, TMPDIR="/not/there")
    assert "Traceback" not in done.stderr


FAULT = """\
import sys
from wildloop.shim.cli.faults import guarded_command
def command():
    raise {error}
guarded_command(command)
"""


def faulty(home: Path, error: str) -> "subprocess.CompletedProcess[str]":
    env = command_environment(home) | {"WILDLOOP_AUTH_TOKEN": "a-long-secret-token"}
    return subprocess.run(
        [*own_python(), "-c", FAULT.format(error=error)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_fault_of_ours_is_written_down_whole_and_told_in_a_line(tmp_path: Path) -> None:
    said = one_line(faulty(tmp_path, "KeyError('a-long-secret-token')"), 70)
    log = tmp_path / "logs" / "cli.log"
    assert said.endswith(f"the full text is in {log}\n")
    assert "Traceback" in log.read_text()
    assert "a-long-secret-token" not in said + log.read_text()


def test_where_the_home_cannot_be_written_the_text_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    said = one_line(faulty(tmp_path / "home", "RuntimeError('odd')"), 70)
    place = Path(said.strip().rpartition("the full text is in ")[2])
    assert "odd" in place.read_text()
    place.unlink()


def test_a_reader_that_has_enough_is_no_fault(tmp_path: Path) -> None:
    done = faulty(tmp_path, "BrokenPipeError()")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_full_disk_names_the_place_and_the_mend(tmp_path: Path) -> None:
    said = explained(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "x")))
    assert said == (
        f"'{tmp_path / 'x'}': No space left on device; the disk is full: free some space, or set "
        "WILDLOOP_HOME to a folder that can be written"
    )


def test_a_home_is_made_for_its_user_alone(tmp_path: Path) -> None:
    open_home(tmp_path / "a" / "home")
    assert (tmp_path / "a" / "home" / "run").stat().st_mode & 0o077 == 0
    (tmp_path / "file").touch()
    with pytest.raises(HomeFault, match="move it away"):
        open_home(tmp_path / "file" / "home")


LOW = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); " + (
    "from wildloop.shim.home import raise_file_limit; print(raise_file_limit(), "
    "resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
)


@pytest.mark.parametrize(
    ("hard", "said"), [(4096, "None 1024"), (256, "only 256 files may be open")]
)
def test_a_low_limit_of_files_is_raised_or_told(hard: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOW.format(hard=hard)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(said)
