"""Many who follow one log, some of them slow, on a real server."""

import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.gates import Gate
from tests.support.pace import patient
from tests.support.server import Server, wait_for

pytestmark = pytest.mark.e2e

FOLLOWERS = 30


def follow(
    server: Server, run_id: str, begun: threading.Semaphore | None = None
) -> tuple[str, str]:
    """The whole log by the stream, and the status in its end; `begun` is told of the first part."""
    content, status = [], ""
    with server.http.stream("GET", f"/runs/{run_id}/logs/stream") as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if begun is not None and not content:
                    begun.release()
                content.append(data.get("content", ""))
                status = data.get("status", status)
    return "".join(content), status


def test_all_followers_of_a_run_see_the_whole_log(server: Server, tmp_path: Path) -> None:
    gate, begun = Gate(tmp_path / "gate"), threading.Semaphore(0)
    rest = "for i in $(seq 11 20); do echo line $i; sleep 0.1; done"
    run = server.run(f"for i in $(seq 10); do echo line $i; done; {gate.command}; {rest}")
    with ThreadPoolExecutor(FOLLOWERS) as pool:
        following = [pool.submit(follow, server, run["id"], begun) for _ in range(FOLLOWERS)]
        for _ in range(FOLLOWERS):
            assert begun.acquire(timeout=patient(60)), "not all have begun to follow"
        gate.open()
        found = {one.result() for one in following}
    assert found == {("".join(f"line {n}\n" for n in range(1, 21)), "finished")}


@pytest.mark.long
def test_follower_that_reads_nothing_costs_no_memory(server: Server) -> None:
    size = 100 * 1024 * 1024
    run = server.ended(server.run(f"yes 'a line' | head -c {size}")["id"])
    shim = server.child("wildloop.shim.main")
    server.get(f"/runs/{run['id']}/logs", offset=-5)
    before = shim.memory_info().rss
    request = (
        f"GET /runs/{run['id']}/logs/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-Auth-Token: {server.token}\r\n\r\n"
    )
    lazy = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
    for one in lazy:
        one.sendall(request.encode())
        assert one.recv(15) == b"HTTP/1.1 200 OK"
    # Another follower gets all of it meanwhile: the lazy ones have had their chance to pile up.
    content, status = follow(server, run["id"])
    assert (len(content), status) == (size, "finished")
    assert shim.memory_info().rss - before < 64 * 1024 * 1024
    for one in lazy:
        one.close()


def test_cli_goes_on_after_a_restart_of_the_api(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    loop = f"echo begun; until [ -e '{go}' ]; do sleep 0.1; done; echo done"
    run = server.run(loop, gpus=0)
    command = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "logs", "-f", run["id"]]
    follower = subprocess.Popen(
        command, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert follower.stdout is not None
    assert follower.stdout.readline() == "begun\n"
    shim = server.child("wildloop.shim.main")
    shim.kill()
    shim.wait(patient(30))
    wait_for(lambda: server.child("wildloop.shim.main").pid != shim.pid, "the API is started again")
    go.touch()
    rest, told = follower.communicate(timeout=patient(120))
    assert (follower.returncode, rest) == (0, "done\n")
    assert told.count("trying again") == 1
    wait_for(lambda: answers(server), "the API answers the next test")


def answers(server: Server) -> bool:
    """Whether the API answers."""
    with suppress(httpx.HTTPError):
        return server.http.get("/health").is_success
    return False


def test_open_stream_does_not_keep_the_server_from_stopping(own_server: Server) -> None:
    run = own_server.run("echo begun; while [ ! -e enough ]; do sleep 0.1; done")
    lines: list[str] = []

    def read() -> None:
        path = f"/runs/{run['id']}/logs/stream"
        with suppress(httpx.HTTPError), own_server.http.stream("GET", path) as response:
            for line in response.iter_lines():
                lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wait_for(lambda: any("begun" in line for line in lines), "the stream tells of the beginning")
    assert own_server.stop() == 0
    (own_server.workdir / "enough").touch()
    reader.join(30)
    assert not reader.is_alive()
