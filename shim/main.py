"""`wildloop serve`: the shim alone."""

import argparse
import contextlib
import sys
from pathlib import Path

import uvicorn

from wildloop.blocks.proof import own_key
from wildloop.blocks.proxies import keep_off_proxies
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.settings import DEFAULT_PORT, Settings
from wildloop.flows.text.redaction import redact_logs
from wildloop.shim.app import create_app
from wildloop.shim.arrival import PromptRequests
from wildloop.shim.limits import Limits
from wildloop.shim.net import is_loopback, listening_sockets
from wildloop.shim.proof import proving
from wildloop.shim.security import AccessRules


def main(arguments: list[str] | None = None) -> None:
    """Serve the HTTP API until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="wildloop serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--workdir", type=Path, help="default folder of runs")
    options = parser.parse_args(arguments)
    keep_off_proxies()
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
    try:
        sockets = listening_sockets(options.host, options.port)
    except OSError as error:
        sys.exit(
            f"wildloop serve: port {options.port} on {options.host}: {error.strerror or error}: "
            "give another by --port or --host"
        )
    config = uvicorn.Config(
        proving(app, own_key(), options.port),
        host=options.host,
        port=options.port,
        log_level="warning",
        # It would hold query strings, and with them what a careless client puts there.
        access_log=False,
        server_header=False,
        http=PromptRequests,
        # Its git commands were written for this one; the Prefect server takes the fastest there is.
        loop="asyncio",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
