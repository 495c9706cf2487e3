"""Protected files: which they are, and how they are put back."""

import os
import stat
from pathlib import Path

import pytest

from wildloop.flows.guards import baseline as module
from wildloop.flows.guards import places
from wildloop.flows.guards.baseline import take_baseline
from wildloop.flows.guards.patterns import TooManyFiles, matching
from wildloop.flows.guards.protected import ProtectedFiles
from wildloop.flows.guards.runs import ProtectedChanged, RunGuard, verdict

BINARY = bytes(range(256)) * 5


class Desk:
    """A project with protected files, and its guard."""

    def __init__(self, root: Path, *patterns: str) -> None:
        self.project = root / "my projekt ü"
        self.copies = root / "home" / "protected"
        self.aside = root / "aside"
        for name in ("evaluate.py", "wildloop.toml", "train.py", "data/test/a b.bin", "data/x.csv"):
            self.write(name, BINARY)
        (self.project / "evaluate.py").chmod(0o755)
        self.patterns = patterns or ("evaluate.py", "data/test/**")
        self.guard = self.fresh()

    def fresh(self) -> ProtectedFiles:
        """A guard as after a restart: it knows the baseline only."""
        if not hasattr(self, "baseline"):
            self.baseline = take_baseline(self.project, "s", self.patterns, self.copies)
        return ProtectedFiles(self.baseline, self.copies, self.aside)

    def write(self, name: str, content: bytes) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def found(self) -> list[tuple[str, str]]:
        return [(bad.path, bad.what) for bad in self.guard.enforce()]

    def kept(self) -> list[bytes]:
        """What was set aside."""
        files = [path for path in self.aside.rglob("*") if path.is_file()]
        return [path.read_bytes() for path in files if path.name != ".gitignore"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["evaluate.py"], ["evaluate.py"]),
        (["./evaluate.py"], ["evaluate.py"]),
        (["*.py"], ["evaluate.py", "train.py"]),
        (["data/test"], ["data/test/a b.bin"]),
        (["data/test/"], ["data/test/a b.bin"]),
        (["data/*"], ["data/test/a b.bin", "data/x.csv"]),
        (["**/*.csv"], ["data/x.csv"]),
        (["data/**/*.bin"], ["data/test/a b.bin"]),
        (["[et]*.py"], ["evaluate.py", "train.py"]),
        (["none.py", ".git/**", ".wild"], []),
        (["!evaluate.py"], []),
    ],
)
def test_patterns_name_files(desk: Desk, patterns: list[str], names: list[str]) -> None:
    desk.write(".git/config", b"")
    desk.write(".wild/runs/x", b"")
    desk.write("data/test/__pycache__/a.pyc", b"")
    assert matching(desk.project, patterns) == names


def test_links_are_named_and_never_followed(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("s")
    (desk.project / "data" / "big").symlink_to(outside)
    assert matching(desk.project, ["data/big/**"]) == ["data/big"]
    assert matching(desk.project, ["data/**"]) == ["data/big", "data/test/a b.bin", "data/x.csv"]
    found = take_baseline(desk.project, "s", ["data/big/**"], desk.copies)
    assert [file.path for file in found.files] == ["data/big", "wildloop.toml"]
    assert "link out of the project" in found.notes[0]


def test_too_many_files_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wildloop.flows.guards.patterns.MAX_FILES", 1)
    with pytest.raises(TooManyFiles, match=r"\*\*"):
        matching(desk.project, ["**"])


def test_pattern_without_a_file_is_noted(desk: Desk) -> None:
    found = take_baseline(desk.project, "s", ["evaluate.py", "gone/**"], desk.copies)
    assert found.notes == ["the pattern 'gone/**' names no file"]


def test_untouched_files_are_left_alone(desk: Desk) -> None:
    assert desk.found() == []
    assert desk.fresh().enforce() == []


def test_changed_file_comes_back_with_content_mode_and_time(desk: Desk) -> None:
    path = desk.project / "evaluate.py"
    before = path.stat()
    path.write_text("print('score: 1.0')")
    path.chmod(0o600)
    assert desk.found() == [("evaluate.py", "changed")]
    after = path.stat()
    assert path.read_bytes() == BINARY
    assert stat.S_IMODE(after.st_mode) == 0o755
    assert after.st_mtime_ns == before.st_mtime_ns
    assert desk.kept() == [b"print('score: 1.0')"]
    assert desk.found() == []


def test_change_is_found_after_a_restart_too(desk: Desk) -> None:
    (desk.project / "evaluate.py").write_text("cheat")
    assert [bad.path for bad in desk.fresh().enforce()] == ["evaluate.py"]


def test_same_size_and_time_do_not_hide_a_change(desk: Desk) -> None:
    path = desk.project / "data/test/a b.bin"
    desk.found()
    before = path.stat()
    path.write_bytes(BINARY[::-1])
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert desk.found() == [("data/test/a b.bin", "changed")]
    assert path.read_bytes() == BINARY


def test_file_put_back_by_the_agent_itself_was_still_touched(desk: Desk) -> None:
    path = desk.project / "evaluate.py"
    path.write_text("cheat")
    path.write_bytes(BINARY)
    os.utime(path, (1, 1))
    assert desk.found() == [("evaluate.py", "touched")]
    assert desk.found() == []


def test_deleted_files_and_folders_come_back(desk: Desk) -> None:
    for path in (desk.project / "data").rglob("*"):
        if path.is_file():
            path.unlink()
    (desk.project / "data/test").rmdir()
    (desk.project / "data").rmdir()
    assert desk.found() == [("data/test/a b.bin", "deleted")]
    assert (desk.project / "data/test/a b.bin").read_bytes() == BINARY
    assert not (desk.project / "data/x.csv").exists()


def test_added_file_is_moved_aside_and_caches_may_stay(desk: Desk) -> None:
    desk.write("data/test/easy.bin", b"easy")
    desk.write("data/test/__pycache__/m.pyc", b"")
    assert desk.found() == [("data/test/easy.bin", "added")]
    assert not (desk.project / "data/test/easy.bin").exists()
    assert desk.kept() == [b"easy"]


def test_flood_of_added_files_is_told_and_left(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wildloop.flows.guards.patterns.MAX_FILES", 3)
    for number in range(5):
        desk.write(f"data/test/{number}", b"")
    bad = desk.guard.enforce()[0]
    assert bad.what == "added"
    assert bad.fault is not None and "remove the new ones" in bad.fault


def test_link_in_place_of_a_folder_leads_nothing_astray(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a b.bin").write_text("mine")
    (desk.project / "data/test").rename(desk.project / "data/moved")
    (desk.project / "data/test").symlink_to(outside)
    assert ("data/test/a b.bin", "deleted") in desk.found()
    assert (outside / "a b.bin").read_text() == "mine"
    assert (desk.project / "data/test/a b.bin").read_bytes() == BINARY
    assert not (desk.project / "data/test").is_symlink()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_something_else_in_place_of_a_file_is_replaced(desk: Desk, kind: str) -> None:
    path = desk.project / "evaluate.py"
    path.unlink()
    match kind:
        case "link":
            path.symlink_to("train.py")
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    assert desk.found() == [("evaluate.py", "changed")]
    assert path.read_bytes() == BINARY
    assert not path.is_symlink()


def test_protected_link_comes_back(tmp_path: Path) -> None:
    project = tmp_path / "linked"
    project.mkdir()
    (project / "data").symlink_to("/mnt/data")
    copies = tmp_path / "copies"
    guard = ProtectedFiles(take_baseline(project, "s", ["data"], copies), copies, tmp_path / "a")
    (project / "data").unlink()
    (project / "data").symlink_to("/tmp")
    assert [bad.what for bad in guard.enforce()] == ["changed"]
    assert (project / "data").readlink() == Path("/mnt/data")


def test_list_of_protected_files_is_protected_itself(desk: Desk) -> None:
    desk.write("wildloop.toml", b"protected = []")
    assert desk.found() == [("wildloop.toml", "changed")]


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_what_cannot_be_put_back_is_said(desk: Desk, harm: str) -> None:
    for copy in desk.copies.iterdir():
        copy.unlink() if harm == "gone" else copy.write_text("cheat")
    (desk.project / "evaluate.py").write_text("cheat")
    bad = desk.guard.enforce()[0]
    assert bad.fault is not None
    assert "put it back by hand" in bad.text
    assert (desk.project / "evaluate.py").read_text() == "cheat"


def test_large_files_are_watched_without_a_copy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPY_BYTES", 10)
    monkeypatch.setattr(module, "HASHED_BYTES", 2000)
    large = Desk(desk.project.parent / "large")
    assert any("too large to be copied" in note for note in large.baseline.notes)
    assert {file.sha256 is None for file in large.baseline.files} == {True, False}
    assert large.found() == []
    for name in ("evaluate.py", "data/test/a b.bin", "wildloop.toml"):
        large.write(name, BINARY[::-1])
    found = large.guard.enforce()
    assert {bad.what for bad in found} == {"changed"}
    assert all(bad.fault for bad in found)


def test_copies_are_private(desk: Desk) -> None:
    assert stat.S_IMODE(desk.copies.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in desk.copies.iterdir()} == {0o600}


def test_unchanged_files_are_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wildloop.flows.guards.protected.CLOCK_TICK_NS", 0)
    desk.found()
    monkeypatch.setattr(places, "digest", lambda *_: pytest.fail("read again"))
    assert desk.found() == []


async def test_run_starts_with_the_files_as_they_were(desk: Desk) -> None:
    run = RunGuard(desk.guard)
    (desk.project / "evaluate.py").write_text("cheat")
    await run.before_launch(desk.project, in_checkout=False)
    assert run.restored == ["evaluate.py"]
    assert (desk.project / "evaluate.py").read_bytes() == BINARY
    started = desk.guard.violations[-1].at + 0.001
    assert await run.changed_since(started, None) == []


async def test_run_does_not_start_with_a_file_that_cannot_be_put_back(desk: Desk) -> None:
    for copy in desk.copies.iterdir():
        copy.unlink()
    (desk.project / "evaluate.py").write_text("cheat")
    with pytest.raises(ProtectedChanged, match=r"evaluate\.py"):
        await RunGuard(desk.guard).before_launch(desk.project, in_checkout=False)


async def test_run_under_which_a_file_was_changed_does_not_count(desk: Desk) -> None:
    run, other = RunGuard(desk.guard), RunGuard(desk.guard)
    await run.before_launch(desk.project, in_checkout=False)
    (desk.project / "evaluate.py").write_text("cheat")
    # Another run's start has put the file back meanwhile.
    await other.before_launch(desk.project, in_checkout=False)
    violations = await run.changed_since(0.0, None)
    assert "'evaluate.py'" in verdict(violations)


async def test_checkout_with_another_evaluation_is_refused(desk: Desk, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "evaluate.py").write_bytes(BINARY)
    await RunGuard(desk.guard).before_launch(checkout, in_checkout=True)
    (checkout / "evaluate.py").write_text("older")
    with pytest.raises(ProtectedChanged, match="the commit has another"):
        await RunGuard(desk.guard).before_launch(checkout, in_checkout=True)


async def test_without_protection_nothing_is_looked_at() -> None:
    run = RunGuard(None)
    await run.before_launch(Path("/nowhere"), in_checkout=False)
    assert await run.changed_since(0.0, None) == []
