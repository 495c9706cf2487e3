"""`wildloop serve`: the shim alone."""

import argparse
import sys
from pathlib import Path

import uvicorn

from flows.errors import InvalidRequest
from flows.redaction import redact_logs
from flows.settings import DEFAULT_PORT, Settings
from shim.app import create_app
from shim.limits import Limits
from shim.net import is_loopback
from shim.security import AccessRules


def main(arguments: list[str] | None = None) -> None:
    """Serve the HTTP API until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="wildloop serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--workdir", type=Path, help="default folder of runs")
    options = parser.parse_args(arguments)
    settings = Settings.from_environment(options.workdir)
    if settings.token is None and not is_loopback(options.host):
        sys.exit(
            f"wildloop serve: refused to bind {options.host} without a token: set "
            "WILDLOOP_AUTH_TOKEN, or bind 127.0.0.1"
        )
    try:
        rules = AccessRules.from_environment(options.host, settings.server_url)
        limits = Limits.from_environment()
    except InvalidRequest as error:
        sys.exit(f"wildloop serve: {error}")
    app = create_app(settings, rules=rules, limits=limits)
    redact_logs(app.state.redactor)
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        # It would hold query strings, and with them what a careless client puts there.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
