"""`wildloop up`, its commands, runs and agents in an environment that names a proxy."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import make_project
from tests.support.proxy import listening_proxy
from tests.support.server import start_server
from wildloop.blocks.interpreter import own_command

pytestmark = pytest.mark.e2e
OUTSIDE = "http://outside.example/"
CALL = """\
import os, sys, urllib.request
for url in (os.environ["WILDLOOP_SERVER_URL"] + "/health", "http://outside.example/"):
    try:
        print(url, urllib.request.urlopen(url).status)
    except OSError as error:
        print(url, error)
"""


@pytest.mark.timeout(600)
def test_no_request_of_ours_comes_to_a_proxy(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    (project / "call.py").write_text(CALL, encoding="utf-8")
    with listening_proxy() as proxy:
        home = tmp_path / "home"
        server = start_server(home, project, slots=1, extra=proxy.environment())
        try:
            for arguments in (["status"], ["runs"], ["sessions"], ["doctor", "--json"]):
                done = subprocess.run(
                    own_command("wildloop", *arguments),
                    env=server.env,
                    cwd=project,
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
            assert f"http_proxy=http://127.0.0.1:{proxy.port}" in done.stdout
            assert "password" not in done.stdout
            run = server.ended(server.run(f"{sys.executable} call.py")["id"], 120)
            log = Path(run["run_dir"], "run.log").read_text(encoding="utf-8")
            assert "/health 200" in log
            assert f"{OUTSIDE} HTTP Error 403" in log
            session = server.start(project, f"command:{sys.executable} call.py", max_iterations=1)
            server.session_ended(session, 180)
        finally:
            server.stop()
        assert not proxy.with_secret
        # The run's own, and that of each call of the agent, which had the proxy for the outside.
        assert set(proxy.asked) == {f"GET {OUTSIDE} HTTP/1.1"}
        assert len(proxy.asked) > 1
