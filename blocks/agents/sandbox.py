"""A sandbox for an agent's process, by bubblewrap: it writes in the project and sees no secrets."""

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.bubblewrap import PROGRAM, fault

Mode = Literal["off", "auto", "on"]
# Below the home folder: what lets its reader act in the user's name.
SECRETS = (
    ".wildloop", ".prefect", ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc",
    ".git-credentials", ".pypirc", ".npmrc", ".pgpass", ".my.cnf", ".password-store",
    ".terraform.d", ".mozilla", ".config/gcloud", ".config/gh", ".config/git/credentials",
    ".config/google-chrome", ".config/op", ".config/rclone", ".config/wandb",
    ".cache/huggingface/token", ".huggingface", ".local/share/keyrings", ".claude",
    ".claude.json", ".codex", ".config/opencode", ".local/share/opencode",
)  # fmt: skip
# What the tools write at home themselves, by the slug of their block; folders end with a slash.
OWN = {
    "wildloop-claude-code-agent": ("~/.claude/", "~/.claude.json"),
    "wildloop-codex-agent": ("~/.codex/",),
    "wildloop-opencode-agent": (
        "$XDG_CONFIG_HOME/opencode/",
        "$XDG_DATA_HOME/opencode/",
        "$XDG_STATE_HOME/opencode/",
        "$XDG_CACHE_HOME/opencode/",
    ),
}
XDG = {
    "XDG_CONFIG_HOME": "~/.config",
    "XDG_DATA_HOME": "~/.local/share",
    "XDG_STATE_HOME": "~/.local/state",
    "XDG_CACHE_HOME": "~/.cache",
}
OWN_VARIABLES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "OPENCODE_CONFIG_DIR")
# Whoever may talk to these is root, or the user.
SOCKETS = ("/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock")
DEVICES = ("nvidia", "kfd", "dri", "infiniband")
# Run, or read as settings, by programs outside of the sandbox.
READ_ONLY = ("wildloop.toml", ".git/hooks", ".git/config")
# Root in the sandbox may do what a user may do with files that are not his own, and no more.
ROOT_KEEPS = ("CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN")
MISSING = (
    "bubblewrap is not installed: install it (`apt install bubblewrap`, `dnf install bubblewrap`)"
)
FORBIDDEN = (
    "this kernel forbids it: allow user namespaces (`sysctl -w kernel.unprivileged_userns_clone=1`,"
    " on Ubuntu `kernel.apparmor_restrict_unprivileged_userns=0`, in Docker `--security-opt "
    "seccomp=unconfined --security-opt apparmor=unconfined`)"
)
OR_WITHOUT = 'or set sandbox to "auto" or false below [agent] of wildloop.toml'


class Sandbox(BaseModel):
    """What an agent's process may touch. The default is no sandbox."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field(
        default="off",
        title="Sandbox",
        description="on: bubblewrap, or the session does not start. auto: where bubblewrap works.",
    )
    network: bool = Field(
        default=True,
        title="Network",
        description="Without it the process reaches nothing at all, neither its model nor "
        "Wildloop's API: only for commands that need neither.",
    )
    writable: list[str] = Field(
        default_factory=list,
        title="Writable",
        description="More files and folders that it may write, such as ~/.cache/uv.",
    )
    hidden: list[str] = Field(
        default_factory=list,
        title="Hidden",
        description="More files and folders that it must not see, beside keys and tokens.",
    )
    read_only: list[str] = Field(
        default_factory=list,
        title="Read-only",
        description="Files and folders of the project that it must not write.",
    )


class Place(BaseModel):
    """How a path looks from inside."""

    model_config = ConfigDict(frozen=True)

    path: Path
    kind: Literal["writable", "read-only", "hidden", "private"]

    def arguments(self) -> list[str]:
        """As options of bubblewrap."""
        name = str(self.path)
        match self.kind:
            case "writable":
                return ["--bind", name, name]
            case "read-only":
                return ["--ro-bind", name, name]
            case "private":
                return ["--tmpfs", name]
        if self.path.is_dir():
            return ["--tmpfs", name, "--remount-ro", name]
        return ["--ro-bind", os.devnull, name]


def own_places(slug: str, env: Mapping[str, str]) -> list[str]:
    """What an agent's tool keeps at home; its folders are created, since home is read-only."""
    found = [*OWN.get(slug, ()), *(f"{env[name]}/" for name in OWN_VARIABLES if env.get(name))]
    for name in found:
        if name.endswith("/"):
            _path(name, env).mkdir(parents=True, exist_ok=True)
    return found


def enclosed(
    sandbox: Sandbox,
    command: str,
    workdir: Path,
    record: Path,
    env: Mapping[str, str],
    own: Iterable[str] = (),
) -> str:
    """The shell command that runs `command` in the sandbox; without one, `command` itself.

    Args:
        sandbox: what is allowed.
        command: a shell command, as for bash.
        workdir: the project, writable.
        record: folder of the call, writable.
        env: of the process; HOME tells where its settings are.
        own: files and folders of the agent's tool, writable, `~` for HOME.

    Raises:
        AgentUnavailable: the sandbox is asked for and does not work here.
    """
    if not is_used(sandbox, workdir, env):
        return command
    words = [PROGRAM, *arguments(sandbox, workdir, record, env, own), "--", "bash", "-c", command]
    return "exec " + shlex.join(words)


def is_used(sandbox: Sandbox, workdir: Path, env: Mapping[str, str]) -> bool:
    """Whether a process is put into a sandbox.

    Raises:
        AgentUnavailable: it has to be and cannot.
    """
    if sandbox.mode == "off":
        return False
    fault = probe(sandbox, workdir, env)
    if fault is None:
        return True
    if sandbox.mode == "on":
        raise AgentUnavailable(f"no sandbox: {fault}, {OR_WITHOUT}")
    return False


def probe(sandbox: Sandbox, workdir: Path, env: Mapping[str, str]) -> str | None:
    """Why bubblewrap does not work here, with the mend; None where it does."""
    program = shutil.which(PROGRAM, path=env.get("PATH"))
    if program is None:
        return MISSING
    command = [program, *arguments(sandbox, workdir, workdir, env), "--", "true"]
    return fault(command, env, for_rights=FORBIDDEN)


def arguments(
    sandbox: Sandbox,
    workdir: Path,
    record: Path,
    env: Mapping[str, str],
    own: Iterable[str] = (),
) -> list[str]:
    """The options of bubblewrap."""
    found = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]
    if not sandbox.network:
        found.append("--unshare-net")
    if os.geteuid() == 0:
        found += ["--cap-drop", "ALL", *(word for cap in ROOT_KEEPS for word in ("--cap-add", cap))]
    found += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    # Run by root, bubblewrap leaves these writable.
    for name in ("/proc/sys", "/proc/sysrq-trigger"):
        found += ["--ro-bind-try", name, name]
    for device in sorted(Path("/dev").iterdir()):
        if device.name.startswith(DEVICES):
            found += ["--dev-bind-try", str(device), str(device)]
    for place in places(sandbox, workdir, record, env, own):
        found += place.arguments()
    for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR"):
        if name not in env:
            found += ["--setenv", name, f"/tmp/{name.partition('_')[0].lower()}"]
    return [*found, "--chdir", str(workdir)]


def places(
    sandbox: Sandbox,
    workdir: Path,
    record: Path,
    env: Mapping[str, str],
    own: Iterable[str] = (),
) -> list[Place]:
    """The paths that are not read-only as they are, outer ones first: inner ones prevail."""
    homes = {Path.home(), Path(env.get("HOME") or Path.home())}
    wildloop = os.environ.get("WILDLOOP_HOME")
    found = {Path(name): "private" for name in ("/tmp", "/var/tmp", "/run/user")}
    found |= {home / name: "hidden" for home in homes for name in SECRETS}
    found |= {Path(name): "hidden" for name in [*SOCKETS, *([wildloop] if wildloop else [])]}
    found |= {_path(name, env): "writable" for name in own}
    found |= {workdir: "writable", record: "writable"}
    found |= {workdir / name: "read-only" for name in (*READ_ONLY, *sandbox.read_only)}
    found |= {_path(name, env): "writable" for name in sandbox.writable}
    found |= {_path(name, env): "hidden" for name in sandbox.hidden}
    # Bubblewrap takes no link for a place.
    real = {path.resolve(): kind for path, kind in found.items() if path.exists()}
    ordered = sorted(real.items(), key=lambda pair: len(pair[0].parts))
    return [Place.model_validate({"path": path, "kind": kind}) for path, kind in ordered]


def _path(name: str, env: Mapping[str, str]) -> Path:
    for variable, default in XDG.items():
        name = name.replace(f"${variable}", env.get(variable) or default)
    home = env.get("HOME") or str(Path.home())
    return Path(home + name[1:]) if name == "~" or name.startswith("~/") else Path(name)
