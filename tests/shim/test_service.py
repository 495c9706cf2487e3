"""A server that begins with the machine, as systemd and launchd are told of it."""

import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from wildloop.shim import service
from wildloop.shim.service import Service, ServiceFault

SYSTEMCTL = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *is-enabled*) echo enabled;; *is-active*) echo active;; esac
exit {code}
"""


@pytest.fixture
def wanted(tmp_path: Path) -> Service:
    folder = tmp_path / 'an "odd" 100% folder'
    folder.mkdir()
    return Service(
        home=tmp_path / "home",
        workdir=folder,
        command=("/usr/bin/python3", "-m", "wildloop", "up", f"--workdir={folder}", "$HOME"),
        environment={"WILDLOOP_HOME": str(tmp_path / "home"), "PATH": "/a b:/bin"},
    )


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Path:
    log, program = folder / "calls", folder / "bin" / "systemctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(SYSTEMCTL.format(log=log, code=code))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    return log


def test_the_unit_starts_up_and_leaves_experiments_alone(wanted: Service) -> None:
    unit = wanted.unit()
    assert 'an \\"odd\\" 100%% folder" "$$HOME"' in unit
    assert 'Environment="PATH=/a b:/bin"' in unit
    assert "KillMode=process" in unit
    assert "Restart=on-failure" in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(wanted: Service, tmp_path: Path) -> None:
    path = tmp_path / "wildloop.service"
    path.write_text(wanted.unit())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(path)], capture_output=True, text=True
    )
    assert "wildloop.service" not in done.stderr


def test_the_property_list_starts_it_at_login(wanted: Service) -> None:
    told = plistlib.loads(wanted.plist())
    assert told["ProgramArguments"] == list(wanted.command)
    assert told["EnvironmentVariables"]["WILDLOOP_HOME"] == str(wanted.home)
    assert told["RunAtLoad"] is True
    assert told["AbandonProcessGroup"] is True


def test_no_secret_is_written_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WILDLOOP_AUTH_TOKEN", "top-secret-token")
    monkeypatch.setenv("PREFECT_API_KEY", "top-secret-key")
    made = Service.of(tmp_path, tmp_path, ["--port=1"])
    assert b"top-secret" not in made.plist() + made.unit().encode()
    assert made.command[-1] == "--port=1"


def test_it_is_installed_told_of_and_removed(
    wanted: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = systemctl(tmp_path, monkeypatch)
    assert "not installed" in service.status("systemd")
    path = service.install("systemd", wanted)
    assert path.read_text() == wanted.unit()
    assert "--user enable --now wildloop.service" in log.read_text()
    assert service.status("systemd") == "enabled, active"
    assert service.remove("systemd")
    assert not path.exists()
    assert "--user disable --now wildloop.service" in log.read_text()
    assert not service.remove("systemd")


def test_a_refusal_of_the_system_is_one_line(
    wanted: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl(tmp_path, monkeypatch, code=1)
    with pytest.raises(ServiceFault, match="daemon-reload` failed: exit code 1"):
        service.install("systemd", wanted)
