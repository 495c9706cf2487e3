"""Which Prefect server a command talks to."""

import os

from wildloop.flows.settings import Settings
from wildloop.shim.cli.output import fail
from wildloop.shim.up_note import read_up_note


def aim_prefect() -> None:
    """Aim Prefect's client at PREFECT_API_URL, else at the server of a running `up`.

    To be called before anything of Prefect is imported.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    note = read_up_note()
    if note is None:
        fail("no Prefect server: set PREFECT_API_URL, or start `wildloop up`")
    os.environ["PREFECT_API_URL"] = note.prefect_api_url
    token = Settings.from_environment().token
    if token is not None:
        os.environ.setdefault("PREFECT_API_AUTH_STRING", f"wildloop:{token.get_secret_value()}")
