"""`wildloop up` and its supervisor, with small stand-ins for the worker, the API and Prefect."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.support.pace import patient
from tests.support.small_disk import fill, small_disk
from tests.support.waiting import wait_for
from wildloop.blocks.interpreter import own_command
from wildloop.shim.lock import AlreadyRuns, only_one
from wildloop.shim.net import free_ports
from wildloop.shim.supervisor import (
    Child,
    ChildFailed,
    LeftoverChild,
    LeftoverChildren,
    Supervisor,
    stop_leftovers,
)

LASTS = "import time; time.sleep(300)"
API = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from wildloop.blocks.proof import answer, own_key

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        challenge = self.path.rpartition("=")[2]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer(own_key(), self.server.server_port, challenge).encode())

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
WORKER = """
import os, pathlib, sys, time
pathlib.Path("worker-env").write_text(repr((sys.argv, dict(os.environ))))
pathlib.Path(sys.argv[sys.argv.index("--ready-file") + 1]).touch()
time.sleep(300)
"""
UP = """
import sys
from functools import partial
import typer
from wildloop.shim.cli import up
from wildloop.shim.cli.faults import guarded_command
up.Plan = partial(
    up.Plan, worker=(sys.executable, "worker.py"), api=(sys.executable, "api.py")
)
guarded_command(lambda: typer.run(up.up))
"""


def never() -> bool:
    return False


def child(folder: Path, code: str, name: str = "child") -> Child:
    return Child(
        name=name,
        command=[sys.executable, "-c", code],
        env=dict(os.environ),
        log=folder / "logs" / f"{name}.log",
        ready=lambda: True,
        grace_s=1.0,
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "children.json", said.append)
    yield supervisor
    supervisor.stop()


def test_children_stop_before_those_they_need(tmp_path: Path, supervisor: Supervisor) -> None:
    note = tmp_path / "order"
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    with open({str(note)!r}, 'a') as file: file.write(NAME + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path)!r}, NAME).touch()\n"
        "time.sleep(300)"
    )
    children = {}
    for name in ("server", "worker", "database"):
        children[name] = child(tmp_path, f"NAME = {name!r}\n{code}", name)
        supervisor.start(children[name], before=children["server"] if name == "database" else None)
    wait_for(lambda: all((tmp_path / name).exists() for name in children), "all run")
    supervisor.stop()
    assert note.read_text().split() == ["worker", "server", "database"]
    assert not (tmp_path / "children.json").exists()


def test_child_deaf_to_term_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    marker = tmp_path / "deaf"
    deaf = child(
        tmp_path,
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(marker)!r}).touch(); time.sleep(300)",
    )
    supervisor.start(deaf)
    wait_for(marker.exists, "it runs")
    supervisor.stop()
    assert deaf.end() == "was killed by SIGKILL"


def test_child_that_died_is_started_again(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    mortal = child(tmp_path, LASTS)
    supervisor.start(mortal)
    assert supervisor.wait_ready([mortal], never)
    first = mortal.process
    assert first is not None
    first.kill()
    first.wait()

    def back() -> bool:
        supervisor.keep()
        return mortal.running

    wait_for(back, "it is back")
    assert said[1:] == ["child was killed by SIGKILL: starting it again"]
    known = LeftoverChildren.model_validate_json((tmp_path / "children.json").read_bytes())
    assert mortal.process is not None
    assert [kept.pid for kept in known.children] == [mortal.process.pid]


@pytest.mark.parametrize("how", ["no byte is free", "nothing can be made there"])
def test_a_full_disk_ends_nothing_and_the_child_is_started_and_written_down(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("wildloop.shim.supervisor.BACK_OFF_S", (0.1,))
    with small_disk(tmp_path / "home", size="1m", files=12) as home:
        supervisor = Supervisor(home / "children.json", said.append)
        mortal = child(home, LASTS)
        supervisor.start(mortal)
        assert supervisor.wait_ready([mortal], never) and mortal.process is not None
        if how == "no byte is free":
            fill(home)
        else:
            for number in range(12):
                with contextlib.suppress(OSError):
                    (home / f"file-{number}").touch()
            (home / "children.json").unlink()
            (home / "last").touch()
        mortal.process.kill()
        mortal.process.wait()

        def back() -> bool:
            supervisor.keep()
            return mortal.running

        wait_for(back, "it is back")
        for path in [*home.glob("file-*"), *home.glob("fill")]:
            path.unlink()
        supervisor.keep()
        known = LeftoverChildren.model_validate_json((home / "children.json").read_bytes())
        assert [kept.pid for kept in known.children] == [mortal.process.pid]
        supervisor.stop()


def test_child_that_cannot_be_started_now_is_tried_again(
    tmp_path: Path, supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildloop.shim.supervisor.BACK_OFF_S", (0.1,))
    mortal = child(tmp_path, LASTS)
    supervisor.start(mortal)
    assert supervisor.wait_ready([mortal], never) and mortal.process is not None
    mortal.log.unlink()
    mortal.log.mkdir()
    mortal.process.kill()
    mortal.process.wait()

    def told() -> bool:
        supervisor.keep()
        return any("cannot be started now" in line for line in said)

    wait_for(told, "it is told")
    mortal.log.rmdir()

    def back() -> bool:
        supervisor.keep()
        return mortal.running

    wait_for(back, "it is back")


def test_child_that_has_answered_is_never_given_up(
    tmp_path: Path, supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildloop.shim.supervisor.BACK_OFF_S", (0.0,))
    starts = tmp_path / "starts"
    code = (
        "import pathlib, sys, time\n"
        f"with open({str(starts)!r}, 'a') as file: file.write('x')\n"
        f"if 1 < len(pathlib.Path({str(starts)!r}).read_text()) < 10: sys.exit('no server yet')\n"
        "time.sleep(300)"
    )
    unlucky = child(tmp_path, code)
    unlucky.ready = starts.exists
    supervisor.start(unlucky)
    assert supervisor.wait_ready([unlucky], never)
    assert unlucky.process is not None
    unlucky.process.kill()

    def back() -> bool:
        supervisor.keep()
        return unlucky.running and len(starts.read_text()) == 10

    wait_for(back, "it is back")
    assert said.count("child ended with exit code 1: starting it again") == 8
    assert [line for line in said if "no server yet" in line]


def test_child_that_cannot_start_is_given_up_with_its_own_words(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "child.log").write_text("words of last week\n")
    broken = child(tmp_path, "import sys; sys.exit('no such setting')")
    broken.ready = never
    supervisor.start(broken)
    with pytest.raises(ChildFailed, match="3 times at start") as caught:
        supervisor.wait_ready([broken], never)
    assert "no such setting" in str(caught.value)
    assert "last week" not in str(caught.value)


def test_child_that_lives_is_waited_for_and_told(
    tmp_path: Path, supervisor: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wildloop.shim.supervisor.WORD_AFTER_S", 0.1)
    slow = child(tmp_path, LASTS)
    slow.ready = lambda: len(said) >= 2
    supervisor.start(slow)
    assert supervisor.wait_ready([slow], never)
    assert all("child: no answer yet" in line and str(slow.log) in line for line in said[:2])
    assert said[-1].startswith("child answers, after")


def test_waiting_ends_with_the_wish_to_stop(tmp_path: Path, supervisor: Supervisor) -> None:
    mute = child(tmp_path, LASTS)
    mute.ready = never
    supervisor.start(mute)
    assert not supervisor.wait_ready([mute], lambda: True)


def test_log_that_has_grown_is_put_aside_at_start(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "logs" / "child.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(21 * 1024 * 1024)
    supervisor.start(child(tmp_path, LASTS))
    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").exists()


def test_stranger_with_the_pid_of_a_leftover_is_spared(tmp_path: Path) -> None:
    record = tmp_path / "children.json"
    stranger = subprocess.Popen([sys.executable, "-c", LASTS])
    try:
        created = psutil.Process(stranger.pid).create_time()
        kept = LeftoverChild(
            name="worker", pid=stranger.pid, created=created - 60, stop_signal=15, grace_s=1
        )
        record.write_text(LeftoverChildren(children=[kept]).model_dump_json())
        assert stop_leftovers(record) == []
        assert stranger.poll() is None
        assert not record.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_lock_is_refused_while_its_holder_lives(tmp_path: Path) -> None:
    with only_one(tmp_path / "lock", print) as _:
        with pytest.raises(AlreadyRuns) as caught, only_one(tmp_path / "lock", print):
            pass
        assert caught.value.pid == str(os.getpid())
    with only_one(tmp_path / "lock", print):
        pass


class Ups:
    """Starts `up` with stand-ins, on a home of its own, against a stand-in Prefect."""

    def __init__(self, folder: Path, prefect_url: str) -> None:
        self.folder, self.home = folder, folder / "home"
        (folder / "api.py").write_text(API)
        (folder / "worker.py").write_text(WORKER)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "WILDLOOP_"))}
        self.env = kept | {"WILDLOOP_HOME": str(self.home), "PREFECT_API_URL": prefect_url}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", UP, *arguments],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def start_ready(self, port: int, *arguments: str) -> "tuple[subprocess.Popen[str], str]":
        process = self.start("--port", str(port), *arguments)
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith("Wildloop ready:"):
                return process, output
        raise AssertionError(process.communicate())

    def children(self) -> list[psutil.Process]:
        known = LeftoverChildren.model_validate_json(
            (self.home / "run" / "children.json").read_bytes()
        )
        return [psutil.Process(kept.pid) for kept in known.children]


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[Ups]:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    prefect = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=prefect.serve_forever, daemon=True).start()
    ups = Ups(tmp_path, f"http://127.0.0.1:{prefect.server_port}/api")
    yield ups
    for process in ups.started:
        process.terminate()
        process.communicate(timeout=patient(30))
    prefect.shutdown()
    prefect.server_close()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def test_up_says_when_all_answer_and_stops_them_with_exit_code_0(ups: Ups) -> None:
    (port,) = free_ports(1)
    process, output = ups.start_ready(port, "--slots", "3")
    token = (ups.home / "token").read_text().strip()
    note = json.loads((ups.home / "run" / "up.json").read_text())
    children = ups.children()
    commands = [" ".join(one.cmdline()) for one in [psutil.Process(process.pid), *children]]
    assert output.splitlines()[-1] == f"Wildloop ready: http://127.0.0.1:{port}"
    assert str(ups.home / "token") in output
    assert token not in output
    assert not any(token in command for command in commands)
    assert note["pid"] == process.pid
    assert note["server_url"] == f"http://127.0.0.1:{port}"
    assert (ups.home / "run" / "up.json").stat().st_mode & 0o077 == 0
    seen = (ups.folder / "worker-env").read_text()
    assert "'--slots', '3'" in seen
    assert token in seen
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=patient(30))
    assert process.returncode == 0
    assert gone(children)
    assert not (ups.home / "run" / "up.json").exists()


def test_children_of_a_killed_up_end_and_the_next_up_works(ups: Ups) -> None:
    (port,) = free_ports(1)
    process, _ = ups.start_ready(port)
    children = ups.children()
    process.kill()
    process.communicate()
    again, output = ups.start_ready(port)
    assert gone(children)
    assert f"Wildloop ready: http://127.0.0.1:{port}" in output
    again.terminate()
    again.communicate(timeout=patient(30))
    assert again.returncode == 0


def test_children_of_a_killed_up_end_without_another_up(ups: Ups) -> None:
    process, _ = ups.start_ready(free_ports(1)[0])
    children = ups.children()
    process.kill()
    process.communicate()
    wait_for(lambda: gone(children), "all have ended")


def test_second_up_on_the_same_home_names_the_first(ups: Ups) -> None:
    first, _ = ups.start_ready(free_ports(1)[0])
    second = ups.start("--port", str(free_ports(1)[0]))
    _, error = second.communicate(timeout=patient(30))
    assert second.returncode == 1
    assert f"(pid {first.pid})" in error
    assert first.poll() is None


@pytest.mark.parametrize("option", ["--port", "--prefect-port"])
def test_taken_port_is_named_with_its_option(ups: Ups, option: str) -> None:
    taken, free = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler), free_ports(1)[0]
    del ups.env["PREFECT_API_URL"]
    other = "--prefect-port" if option == "--port" else "--port"
    process = ups.start(option, str(taken.server_port), other, str(free))
    output, error = process.communicate(timeout=patient(30))
    taken.server_close()
    assert process.returncode == 1
    assert len(error.strip().splitlines()) == 1
    assert str(taken.server_port) in error
    assert option in error
    assert output == ""
    assert not (ups.home / "logs").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--host", "0.0.0.0", "--no-token"], "without a token"),
        (["--workdir", "not-there"], "--workdir"),
        (["--prefect-port", "many"], "--prefect-port 'many'"),
    ],
)
def test_unusable_options_are_refused_in_one_line(
    ups: Ups, arguments: list[str], word: str
) -> None:
    process = ups.start(*arguments)
    _, error = process.communicate(timeout=patient(30))
    assert process.returncode == 1
    assert word in error
    assert len(error.strip().splitlines()) == 1
    assert not (ups.home / "token").exists()


def test_up_goes_on_when_its_terminal_hangs_up(ups: Ups) -> None:
    (port,) = free_ports(1)
    # Under `nohup`, where these tests may run too, a hang-up is nothing to go on from.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process, _ = ups.start_ready(port)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    victim = ups.children()[-1]
    victim.kill()
    log = ups.home / "logs" / "up.log"
    wait_for(lambda: log.exists() and "starting it again" in log.read_text(), "it is kept")
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=patient(30))
    assert process.returncode == 0
    assert "stopped; experiments" in log.read_text()


def test_a_server_that_is_not_ours_is_not_taken_for_it(ups: Ups) -> None:
    (ups.folder / "api.py").write_text(API.replace("own_key()", "'of another'"))
    process = ups.start("--port", str(free_ports(1)[0]))
    log = ups.folder / "said"
    assert process.stdout is not None
    wait_for((ups.home / "logs" / "shim.log").exists, "the API is started")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.terminate()
    output, _ = process.communicate(timeout=patient(30))
    assert "Wildloop ready" not in output
    assert not log.exists()


def down(ups: Ups, *arguments: str) -> str:
    done = subprocess.run(
        own_command("wildloop", "down", *arguments),
        env=ups.env,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_down_stops_it_and_says_what_goes_on(ups: Ups) -> None:
    (port,) = free_ports(1)
    process, _ = ups.start_ready(port)
    own = {**ups.env, "WILDLOOP_SERVER_URL": f"http://127.0.0.1:{port}"}
    agent = subprocess.Popen(["sleep", "300"], env=own | {"WILDLOOP_SESSION_ID": "s" * 36})
    run = subprocess.Popen(
        ["sleep", "300"], env=own | {"WILDLOOP_SESSION_ID": "s" * 36, "WILDLOOP_RUN_ID": "r"}
    )
    other = own | {"WILDLOOP_SERVER_URL": "http://127.0.0.1:1", "WILDLOOP_SESSION_ID": "o" * 36}
    stranger = subprocess.Popen(["sleep", "300"], env=other)
    try:
        said = down(ups)
        output, _ = process.communicate(timeout=patient(30))
        assert process.returncode == 0
        assert f"stopped `wildloop up` (pid {process.pid})" in said
        for text in (said, output):
            assert f"the agent of session ssssssss works on (pid {agent.pid})" in text
            assert "1 run of this host: left running" in text
        assert agent.poll() is None
        said = down(ups, "--agents")
        assert "no `wildloop up` runs" in said
        assert "ended the agent of session ssssssss" in said
        assert agent.wait(10) == -signal.SIGTERM
        assert run.poll() is None
        assert stranger.poll() is None
    finally:
        for one in (agent, run, stranger):
            one.kill()
            one.wait()


def test_detached_up_passes_on_its_words_until_it_is_ready(ups: Ups) -> None:
    (port,) = free_ports(1)
    # What it starts is the real command, which finds no Prefect at a dead address.
    ups.env["PREFECT_API_URL"] = "ftp://127.0.0.1/api"
    done = subprocess.run(
        own_command("wildloop", "up", "-d", f"--port={port}"),
        cwd=ups.folder,
        env=ups.env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "PREFECT_API_URL 'ftp://127.0.0.1/api' does not answer" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "`wildloop up` ended with exit code 1" in done.stderr
