"""The embedded PostgreSQL: who may reach it, where it runs, and what it survives."""

import asyncio
import os
import pwd
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import asyncpg  # type: ignore[import-untyped]
import psutil
import pytest

from tests.support.pace import patient
from tests.support.waiting import wait_for
from wildloop.shim import children, database
from wildloop.shim.database import (
    DatabaseKind,
    DatabaseUnavailable,
    EmbeddedPostgres,
    RunAs,
    check_sqlite,
    choose_database,
    find_postgres,
    find_run_as,
    postgres_environment,
    socket_folder,
)
from wildloop.shim.plan import Plan
from wildloop.shim.supervisor import Child, Supervisor


@contextmanager
def running(postgres: EmbeddedPostgres) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        postgres.command(), env=postgres_environment(), stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: postgres.is_ready() or process.poll() is not None, "PostgreSQL answers")
        assert process.poll() is None, "PostgreSQL ended at start"
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(patient(20))


def query(postgres: EmbeddedPostgres, sql: str, password: str | None = None) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(
            host=str(postgres.socket_dir),
            port=database.PORT,
            user=database.USER,
            database=database.DATABASE,
            password=password or postgres.secret.read_text().strip(),
        )
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_data_outlives_kill_9_and_a_second_start(tmp_path: Path) -> None:
    home = tmp_path / "a home, größer"
    postgres = find_postgres(home)
    postgres.create()
    with running(postgres) as process:
        query(postgres, "create table kept as select 7 as value")
        process.kill()
        process.wait(patient(20))
    again = find_postgres(home)
    again.create()
    again.stop_leftover()
    with running(again):
        assert query(again, "select value from kept") == 7
    again.socket_dir.rmdir()


def test_other_users_and_wrong_passwords_are_kept_out(tmp_path: Path) -> None:
    postgres = find_postgres(tmp_path)
    postgres.create()
    with running(postgres) as process:
        listening = psutil.Process(process.pid).net_connections("tcp")
        assert listening == []
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(postgres, "select 1", password="wrong")
        command = " ".join(psutil.Process(process.pid).cmdline())
        assert postgres.secret.read_text().strip() not in command
    assert postgres.secret.stat().st_mode & 0o077 == 0
    assert (tmp_path / "postgres").stat().st_mode & 0o077 == 0


def test_server_left_behind_is_stopped(tmp_path: Path) -> None:
    postgres = find_postgres(tmp_path)
    postgres.create()
    with running(postgres) as process:
        postgres.stop_leftover()
        assert process.wait(patient(20)) == 0


def test_pid_note_that_now_names_a_stranger_is_no_obstacle(tmp_path: Path) -> None:
    postgres = find_postgres(tmp_path)
    postgres.create()
    with running(postgres) as process:
        note = (postgres.data / "postmaster.pid").read_text()
        process.kill()
        process.wait(patient(20))
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        path = postgres.data / "postmaster.pid"
        path.write_text(note.replace(str(process.pid), str(stranger.pid), 1))
        postgres.stop_leftover()
        assert stranger.poll() is None
        with running(postgres):
            assert query(postgres, "select 1") == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_data_folder_half_made_by_a_killed_start_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres = find_postgres(tmp_path)
    assert not postgres.exists()
    postgres.create()
    with running(postgres):
        assert query(postgres, "select 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give itself up")
def test_root_without_user_namespaces_runs_it_as_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_postgres(tmp_path)
    first.create()
    real = database._works
    monkeypatch.setattr(
        database, "_works", lambda prefix, user: prefix[0] != "unshare" and real(prefix, user)
    )
    postgres = find_postgres(tmp_path)
    assert postgres.run_as.prefix[0] == "setpriv"
    postgres.create()
    with running(postgres) as process:
        assert psutil.Process(process.pid).uids().effective == postgres.run_as.owner != 0
        assert query(postgres, "select 1") == 1


def test_plain_user_runs_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_uid=uid))
    assert find_run_as() == RunAs()


def test_root_that_cannot_become_another_user_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(database, "_works", lambda prefix, user: False)
    with pytest.raises(DatabaseUnavailable, match="unshare"):
        find_run_as()


def test_platform_without_a_wheel_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PACKAGE", "no_such_package_of_ours")
    with pytest.raises(DatabaseUnavailable, match="no_such_package_of_ours"):
        find_postgres(tmp_path)


def test_long_home_has_its_socket_in_a_short_private_folder(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 100)
    folder = socket_folder(root)
    try:
        assert len(str(folder)) < 60
        assert folder.stat().st_mode & 0o077 == 0
        folder.chmod(0o777)
        with pytest.raises(DatabaseUnavailable, match="private"):
            socket_folder(root)
    finally:
        folder.rmdir()


@pytest.mark.parametrize(
    ("asked", "kept", "chosen"),
    [
        (None, [], DatabaseKind.POSTGRES),
        (None, ["prefect/prefect.db"], DatabaseKind.SQLITE),
        (None, ["prefect/prefect.db", "postgres/data/PG_VERSION"], DatabaseKind.POSTGRES),
        (DatabaseKind.SQLITE, ["postgres/data/PG_VERSION"], DatabaseKind.SQLITE),
        (DatabaseKind.POSTGRES, ["prefect/prefect.db"], DatabaseKind.POSTGRES),
    ],
)
def test_home_stays_with_the_database_that_has_its_history(
    tmp_path: Path, asked: DatabaseKind | None, kept: list[str], chosen: DatabaseKind
) -> None:
    for name in kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert choose_database(tmp_path, asked) is chosen


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PACKAGE", "no_such_package_of_ours")


@pytest.mark.usefixtures("no_wheel")
def test_new_home_falls_back_to_sqlite_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    assert children.find_or_none(tmp_path, said.append) is None
    assert said[0].startswith("using SQLite")


@pytest.mark.usefixtures("no_wheel")
def test_home_with_history_in_postgres_never_falls_back(tmp_path: Path) -> None:
    version = tmp_path / "postgres" / "data" / "PG_VERSION"
    version.parent.mkdir(parents=True)
    version.touch()
    with pytest.raises(DatabaseUnavailable, match="--database sqlite"):
        children.find_or_none(tmp_path, print)


def test_failed_initdb_leaves_a_server_on_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def server(plan: Plan, database_url: str | None, ready_file: Path | None) -> Child:
        name = "on sqlite" if database_url is None else "on postgres"
        return Child(name, ["sleep", "60"], {}, tmp_path / "log", lambda: True)

    monkeypatch.setattr(children, "prefect_server", server)
    monkeypatch.setattr(EmbeddedPostgres, "_program", lambda self, name: ["false"])
    supervisor = Supervisor(tmp_path / "children.json", print)
    plan = Plan(tmp_path, "127.0.0.1", 1, tmp_path, "")
    try:
        children.start_prefect(supervisor, plan, DatabaseKind.POSTGRES, lambda: False, said.append)
        assert [child.name for child in supervisor.children] == ["on sqlite"]
        assert "initdb failed" in said[0]
        assert not (tmp_path / "postgres" / "data").exists()
    finally:
        supervisor.stop()


def test_a_broken_sqlite_file_is_named_before_a_server_ends_over_it(tmp_path: Path) -> None:
    path = tmp_path / "prefect" / "prefect.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to have a header " * 20)
    plan = Plan(tmp_path, "127.0.0.1", 1, tmp_path, "")
    supervisor = Supervisor(tmp_path / "children.json", print)
    with pytest.raises(DatabaseUnavailable, match="file is not a database") as refused:
        children.start_prefect(supervisor, plan, DatabaseKind.SQLITE, lambda: False, print)
    assert str(path) in str(refused.value) and "move it away" in str(refused.value)
    assert supervisor.children == []


def test_a_sqlite_file_that_another_writes_to_is_none_the_worse(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as writer:
        writer.execute("CREATE TABLE kept (value)")
        writer.execute("BEGIN EXCLUSIVE")
        check_sqlite(tmp_path)
