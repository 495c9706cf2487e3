"""The OpenAPI schema of the API, made once a process."""

from functools import cache
from pathlib import Path
from typing import Any

from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app


@cache
def openapi() -> dict[str, Any]:
    """Of an app that serves nothing; not to be changed."""
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/"))
    return create_app(settings).openapi()
