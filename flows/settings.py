"""Where Wildloop keeps its things, and how its processes find one another."""

import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

POOL_NAME = "wildloop"
LOOPS_QUEUE = "loops"
RUNS_QUEUE = "runs"
CPU_QUEUE = "cpu"
DEFAULT_PORT = 10000
TOKEN_VARIABLE = "WILDLOOP_AUTH_TOKEN"
SERVER_URL_VARIABLE = "WILDLOOP_SERVER_URL"
HOME_VARIABLE = "WILDLOOP_HOME"
SKILL_INSTALL_VARIABLE = "WILDLOOP_ALLOW_SKILL_INSTALL"


class Settings(BaseModel):
    """Settings of one Wildloop process, read once from the environment and passed on."""

    model_config = ConfigDict(frozen=True)

    home: Path
    server_url: str
    token: SecretStr | None
    workdir: Path
    allow_skill_install: bool = False

    @classmethod
    def from_environment(cls, workdir: Path | None = None) -> "Settings":
        """Read WILDLOOP_HOME, WILDLOOP_SERVER_URL and the token (variable, else token file)."""
        home = wildloop_home()
        url = os.environ.get(SERVER_URL_VARIABLE) or f"http://127.0.0.1:{DEFAULT_PORT}"
        return cls(
            home=home,
            server_url=url.rstrip("/"),
            token=read_token(home),
            workdir=(workdir or Path(os.environ.get("WILDLOOP_WORKDIR") or Path.cwd())).resolve(),
            allow_skill_install=os.environ.get(SKILL_INSTALL_VARIABLE) == "1",
        )


def wildloop_home() -> Path:
    """WILDLOOP_HOME, or ~/.wildloop."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".wildloop").expanduser().resolve()


def read_token(home: Path) -> SecretStr | None:
    """The token by WILDLOOP_AUTH_TOKEN, else by the token file, else None.

    An empty WILDLOOP_AUTH_TOKEN means: no token, whatever the file says.
    """
    value = os.environ.get(TOKEN_VARIABLE)
    if value is not None:
        return SecretStr(value) if value else None
    path = home / "token"
    if not path.is_file():
        return None
    # What cannot be read as a token is none: `wildloop up` says so, and an API refuses it.
    text = path.read_text(encoding="utf-8", errors="ignore").strip()
    return SecretStr(text) if text else None


def ensure_token(home: Path) -> SecretStr:
    """The token of this home, made on first use with mode 0600, as Jupyter does."""
    found = read_token(home)
    if found is not None:
        return found
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / "token"
    value = secrets.token_urlsafe(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return SecretStr(path.read_text(encoding="utf-8").strip())
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
    return SecretStr(value)
