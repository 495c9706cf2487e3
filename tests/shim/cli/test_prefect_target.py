"""Which Prefect server commands and `up` talk to, and what they say of one that refuses."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.pace import patient
from tests.support.server import command_environment
from wildloop.shim.cli import prefect_target
from wildloop.shim.cli.prefect_target import Target, target_of_up

PROFILE = Target("http://prefect.lab/api", "profile 'lab'")


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/api"
    server.shutdown()


def test_deploy_goes_where_the_profile_says_and_a_refusal_is_one_line(
    refusing: str, tmp_path: Path
) -> None:
    prefect = tmp_path / "prefect"
    prefect.mkdir()
    (prefect / "profiles.toml").write_text(
        f'active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "{refusing}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "deploy"],
        env=command_environment(tmp_path / "home") | {"PREFECT_HOME": str(prefect)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert f"{refusing} refuses access (401)" in said and "PREFECT_API_AUTH_STRING" in said
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2


@pytest.fixture
def by_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(prefect_target, "configured", lambda: PROFILE)


@pytest.mark.usefixtures("by_profile")
def test_up_uses_the_server_of_a_profile_and_says_so(tmp_path: Path) -> None:
    found, said = target_of_up(tmp_path, wants_own=False)
    assert found == PROFILE
    assert "profile 'lab'" in said and PROFILE.url in said


@pytest.mark.usefixtures("by_profile")
def test_no_profile_takes_a_home_from_its_own_history(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data" / "PG_VERSION"
    data.parent.mkdir(parents=True)
    data.touch()
    found, said = target_of_up(tmp_path, wants_own=False)
    assert found is None
    assert "which is used" in said and f"PREFECT_API_URL={PROFILE.url}" in said


@pytest.mark.usefixtures("by_profile")
def test_options_of_an_own_server_start_one(tmp_path: Path) -> None:
    assert target_of_up(tmp_path, wants_own=True) == (None, "")


def test_the_variable_goes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://other/api")
    found, said = target_of_up(tmp_path, wants_own=True)
    assert (found, said) == (Target("http://other/api", "PREFECT_API_URL"), "")
