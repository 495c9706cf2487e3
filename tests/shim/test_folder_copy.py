"""The API's copy of a run's folder that lies on another host."""

import base64
import time
from pathlib import Path
from typing import Any

import pytest

from wildloop.flows.errors import Conflict
from wildloop.flows.models.copy import FilePart, FolderStep
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.folder_copy import is_whole, notes_of, take_step
from wildloop.shim.logs import read_log


def a_run(folder: Path, **fields: Any) -> Run:
    known: dict[str, Any] = {
        "id": "r",
        "name": "r",
        "command": "true",
        "workdir": str(folder),
        "status": RunStatus.FINISHED,
        "created_at": 1.0,
        "started_at": 1.0,
        "finished_at": time.time(),
        "run_dir": str(folder / ".wild" / "runs" / "r"),
        "host": "there",
    }
    return Run.model_validate(known | fields)


def part(path: str, text: str, offset: int = 0) -> FilePart:
    return FilePart(path=path, offset=offset, data=base64.b64encode(text.encode()).decode())


def step(*parts: FilePart, **fields: Any) -> FolderStep:
    return FolderStep(host="there", parts=list(parts), **fields)


def test_log_that_comes_bit_by_bit_ends_when_all_is_there(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    assert take_step(run, step(part("run.log", "one "), part("out/a/b.txt", "b"))).sizes == {
        "run.log": 4,
        "out/a/b.txt": 1,
    }
    assert not read_log(run, 0, 100).eof
    take_step(run, step(part("run.log", "two", offset=4)))
    # Sent again, since the answer was lost.
    take_step(run, step(part("run.log", "two", offset=4), is_complete=True))
    log = read_log(run, 0, 100)
    assert (log.content, log.eof, log.notes) == ("one two", True, [])
    assert (Path(run.run_dir) / "out" / "a" / "b.txt").read_text() == "b"


def test_log_of_which_only_a_part_has_come_says_so(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    take_step(run, step(part("run.log", "one "), left_out=["model.pt"]))
    assert read_log(run, 0, 2).notes == []
    assert read_log(run, 2, 100).notes == ["more may come from 'there'"]
    late = run.model_copy(update={"finished_at": 1.0})
    assert read_log(late, 0, 100).eof and read_log(late, 0, 100).notes
    take_step(run, step(is_complete=True, left_out=["run.log"]))
    assert read_log(run, 0, 100).notes == ["run.log is too large to be sent: it lies on 'there'"]


def test_part_behind_the_end_of_its_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="has 0 bytes"):
        take_step(a_run(tmp_path), step(part("run.log", "two", offset=4)))


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "copy.json"])
def test_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        part(path, "x")


def test_link_is_not_followed(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    take_step(run, step(part("a", "x")))
    root = Path(run.run_dir)
    (root / "link").symlink_to(tmp_path)
    (root / "file").symlink_to(tmp_path / "secret")
    for path in ("link/x", "file"):
        with pytest.raises(Conflict, match="cannot be written"):
            take_step(run, step(part(path, "x")))
    assert not (tmp_path / "x").exists() and not (tmp_path / "secret").exists()


def test_nothing_is_written_over_a_folder_of_this_host(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    root = Path(run.run_dir)
    root.mkdir(parents=True)
    (root / "process.json").write_text("{}")
    (root / ".0123456789abcdef").touch()
    assert take_step(run, step(mark="0123456789abcdef")).is_same_folder
    with pytest.raises(Conflict, match="own"):
        take_step(run, step(part("process.json", "x")))


def test_what_a_worker_has_forgotten_is_told(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    take_step(run, step(part("run.log", "one ")))
    assert take_step(run, step(mark="0123456789abcdef")).sizes["run.log"] == 4


def test_files_that_are_not_here_are_said_to_be_elsewhere(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    log = read_log(run, 0, 100)
    assert not log.eof and "lie on host 'there'" in log.notes[0]
    # Whoever waits is not left waiting for ever.
    assert is_whole(run.model_copy(update={"finished_at": time.time() - 3600}))
    take_step(run, step(left_out=["big.pt"], is_complete=True))
    assert notes_of(run) == ["big.pt is too large to be sent: it lies on 'there'"]
