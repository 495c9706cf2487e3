"""A server that begins with the machine: a user's unit of systemd, an agent of launchd."""

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wildloop.blocks.interpreter import own_command
from wildloop.flows.errors import WildloopError
from wildloop.flows.settings import HOME_VARIABLE

Kind = Literal["systemd", "launchd"]
UNIT = "wildloop.service"
LABEL = "dev.wildloop.up"
KEPT = ("PATH", "PREFECT_API_URL", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SLURM_CONF")
"""Variables of the shell that the service gets too; no secret, which its file would show."""
STOP_SECONDS = 60
COMMAND_SECONDS = 60.0
RETRY_SECONDS = 10


class ServiceFault(WildloopError):
    """The service cannot be set up; the text says why and what to do."""


@dataclass(frozen=True)
class Service:
    """What is started, and with which surroundings."""

    home: Path
    workdir: Path
    command: Sequence[str]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, home: Path, workdir: Path, options: Sequence[str]) -> "Service":
        """The `wildloop up` of this installation, with these options."""
        kept = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
        return cls(
            home,
            workdir,
            own_command("wildloop", "up", f"--workdir={workdir}", *options),
            kept | {HOME_VARIABLE: str(home)},
        )

    def unit(self) -> str:
        """Its unit of systemd."""
        lines = [f'Environment="{name}={_quoted(v)}"' for name, v in self.environment.items()]
        command = " ".join(f'"{_quoted(word, "$")}"' for word in self.command)
        return "\n".join(
            [
                "[Unit]",
                "Description=Wildloop: Prefect server, worker and API",
                "After=network-online.target",
                "",
                "[Service]",
                f"ExecStart={command}",
                f"WorkingDirectory={str(self.workdir).replace('%', '%%')}",
                *lines,
                # Experiments and agents outlive it, and are taken up again by the next start.
                "KillMode=process",
                f"TimeoutStopSec={STOP_SECONDS}",
                "Restart=on-failure",
                f"RestartSec={RETRY_SECONDS}",
                "",
                "[Install]",
                "WantedBy=default.target",
                "",
            ]
        )

    def plist(self) -> bytes:
        """Its property list of launchd."""
        log = str(self.home / "logs" / "up.log")
        return plistlib.dumps(
            {
                "Label": LABEL,
                "ProgramArguments": list(self.command),
                "EnvironmentVariables": dict(self.environment),
                "WorkingDirectory": str(self.workdir),
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "AbandonProcessGroup": True,
                "ExitTimeOut": STOP_SECONDS,
                "ThrottleInterval": RETRY_SECONDS,
                "StandardOutPath": log,
                "StandardErrorPath": log,
            }
        )


def kind_here() -> Kind:
    """What keeps services here.

    Raises:
        ServiceFault: nothing that is known.
    """
    if sys.platform == "darwin":
        return "launchd"
    if shutil.which("systemctl") is None:
        raise ServiceFault(
            "no systemd here: use `wildloop up -d`, and have the machine's start call it"
        )
    return "systemd"


def place_of(kind: Kind) -> Path:
    """Where its file lies."""
    if kind == "launchd":
        return Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return configuration / "systemd" / "user" / UNIT


def install(kind: Kind, service: Service) -> Path:
    """Write its file, switch it on, and start it.

    Raises:
        ServiceFault: the system refuses.
    """
    path = place_of(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    (service.home / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(service.plist() if kind == "launchd" else service.unit().encode())
    for words in _steps(kind, path)[0]:
        _run(words)
    return path


def remove(kind: Kind) -> bool:
    """Stop it, switch it off, and take its file away; False if there is none.

    Raises:
        ServiceFault: the system refuses.
    """
    path = place_of(kind)
    if not path.exists():
        return False
    before, after = _steps(kind, path)[1:]
    for words in before:
        _run(words)
    path.unlink()
    for words in after:
        _run(words)
    return True


def status(kind: Kind) -> str:
    """What the system says of it, in a line."""
    if not place_of(kind).exists():
        return "not installed: `wildloop service install`"
    if kind == "launchd":
        done = _called(("launchctl", "list", LABEL))
        return "loaded" if done.returncode == 0 else "not loaded"
    states = [
        _called(("systemctl", "--user", verb, UNIT)).stdout.strip() or "unknown"
        for verb in ("is-enabled", "is-active")
    ]
    return ", ".join(states)


def _steps(kind: Kind, path: Path) -> tuple[list[tuple[str, ...]], ...]:
    """The commands after writing it, before taking it away, and afterwards."""
    if kind == "launchd":
        return [("launchctl", "load", "-w", str(path))], [("launchctl", "unload", str(path))], []
    call = ("systemctl", "--user")
    begin = [(*call, "daemon-reload"), (*call, "enable", "--now", UNIT)]
    return begin, [(*call, "disable", "--now", UNIT)], [(*call, "daemon-reload")]


def _run(words: Sequence[str]) -> None:
    done = _called(words)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceFault(
            f"`{' '.join(words)}` failed: {said or f'exit code {done.returncode}'}; mend that, or "
            "use `wildloop up -d`"
        )


def _called(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFault(f"`{words[0]}` cannot be run: {error}") from error


def _quoted(text: str, doubled: str = "") -> str:
    """A value as it stands between double quotes in a unit."""
    for sign in ("\\", '"'):
        text = text.replace(sign, f"\\{sign}")
    for sign in ("%", *doubled):
        text = text.replace(sign, sign * 2)
    return text.replace("\n", "\\n")
