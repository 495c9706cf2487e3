"""Which Prefect server a command talks to."""

import os
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.settings import Settings
from wildloop.shim.cli.output import fail
from wildloop.shim.database import has_postgres, sqlite_file
from wildloop.shim.up_note import read_up_note

URL = "PREFECT_API_URL"


@dataclass(frozen=True)
class Target:
    """A Prefect server that somebody else runs.

    Args:
        url: of its API.
        source: what names it: a variable, a profile, a file.
    """

    url: str
    source: str

    @property
    def is_asked_for(self) -> bool:
        """Whether it was named for this command, rather than for all of Prefect's."""
        return self.source == URL


def configured() -> Target | None:
    """The server that Prefect's own settings name, whatever their source; None where none does.

    Prefect is imported only where there is a source to be read: that takes a second.
    """
    if url := os.environ.get(URL):
        return Target(url, URL)
    if not _has_settings(Path.cwd()):
        return None
    from prefect.context import get_settings_context

    context = get_settings_context()
    url = context.settings.api.url
    if url is None:
        return None
    profile = context.profile
    in_profile = URL in profile.to_environment_variables()
    return Target(
        url, f"profile '{profile.name}'" if in_profile else "Prefect's settings file here"
    )


def _has_settings(folder: Path) -> bool:
    """Whether there is a profile, or a file of settings in `folder`."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"
    if Path(profiles).expanduser().exists() or (folder / "prefect.toml").exists():
        return True
    texts = {folder / "pyproject.toml": "tool.prefect", folder / ".env": "PREFECT_"}
    return any(
        path.is_file() and word in path.read_text(encoding="utf-8", errors="replace")
        for path, word in texts.items()
    )


def target_of_up(home: Path, wants_own: bool) -> tuple[Target | None, str]:
    """The server that `up` is to use, None for one of its own; and what is said of the choice.

    Args:
        home: Wildloop's.
        wants_own: whether an option was given that only a server of its own has.
    """
    if wants_own and not os.environ.get(URL):
        return None, ""
    found = configured()
    if found is None or found.is_asked_for:
        return found, ""
    if has_postgres(home) or sqlite_file(home).exists():
        return None, (
            f"{found.source} names {found.url}, but {home} has a server with a history of its "
            f"own, which is used: {URL}={found.url} uses the other"
        )
    return found, (
        f"using the Prefect server of {found.source}: {found.url} (`--database postgres` starts "
        "one of its own)"
    )


def aim_prefect() -> None:
    """Aim Prefect's client: by the variable, at the server of a running `up`, by the profile.

    To be called before anything of Prefect is imported.
    """
    if os.environ.get(URL):
        return
    note = read_up_note()
    if note is None:
        if configured() is None:
            fail(f"no Prefect server: set {URL}, use a Prefect profile, or start `wildloop up`")
        return
    os.environ[URL] = note.prefect_api_url
    token = Settings.from_environment().token
    if token is not None:
        os.environ.setdefault("PREFECT_API_AUTH_STRING", f"wildloop:{token.get_secret_value()}")
