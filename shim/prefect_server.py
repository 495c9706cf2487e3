"""The embedded Prefect server: the real server app, in a process of its own.

Settings (database, auth string) come by environment, never on the command line.
"""

import argparse
import asyncio
import gc
import logging
import os
import socket
import time
from pathlib import Path

import uvicorn

REGISTER_BLOCKS_AFTER_S = 4.0


class BlocksLater(uvicorn.Server):
    """Registers Prefect's block types after the start, which is a second shorter so.

    Nothing but the forms of the UI's Blocks page waits for them.
    """

    registering: "asyncio.Task[None] | None" = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then have the block types registered a little later."""
        await super().startup(sockets)
        if self.started:
            self.registering = asyncio.create_task(register_blocks_later())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to serve."""
        if self.registering is not None:
            self.registering.cancel()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="wildloop prefect-server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--database-ready", type=Path, help="touch the database when this file is there"
    )
    options = parser.parse_args()
    # Nothing of what imports make is garbage; looking for it takes a quarter of their time.
    gc.disable()
    from wildloop.flows.prefect_inside.block_types import leave_out_at_start

    registers_blocks = leave_out_at_start()
    from prefect.server.api.server import create_app

    from wildloop.blocks.part import LOOKS
    from wildloop.blocks.proof import own_key
    from wildloop.flows.prefect_inside.dialect import read_once
    from wildloop.flows.prefect_inside.docket import look_less_often
    from wildloop.flows.prefect_inside.lookups import look_up_once
    from wildloop.flows.prefect_inside.middleware import pass_directly
    from wildloop.flows.prefect_inside.postgres import bind_plain_times, ping_rarely
    from wildloop.flows.prefect_inside.schemas import check_once
    from wildloop.flows.prefect_inside.sqlite import begin_immediately
    from wildloop.flows.text.redaction import Redactor, redact_logs
    from wildloop.shim.arrival import PromptRequests
    from wildloop.shim.net import listening_sockets
    from wildloop.shim.proof import proving
    from wildloop.shim.security import AccessCheck, AccessRules

    redact_logs(Redactor.of(os.environ))
    begin_immediately()
    read_once()
    check_once()
    look_up_once()
    look_less_often()
    ping_rarely()
    bind_plain_times()
    app = create_app(final=True)
    pass_directly()
    config = uvicorn.Config(
        # Web pages of others reach it neither by a name that points here nor by CORS.
        AccessCheck(
            proving(app, own_key(), options.port),
            rules=AccessRules.from_environment(options.host),
        ),
        host=options.host,
        port=options.port,
        log_level="warning",
        http=PromptRequests,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    gc.freeze()
    gc.set_threshold(*LOOKS)
    gc.enable()
    while options.database_ready is not None and not options.database_ready.exists():
        time.sleep(0.02)
    server = BlocksLater if registers_blocks else uvicorn.Server
    server(config).run(listening_sockets(options.host, options.port))


async def register_blocks_later() -> None:
    """Register the block types when whoever waits for the server has been answered."""
    from wildloop.flows.prefect_inside import block_types

    await asyncio.sleep(REGISTER_BLOCKS_AFTER_S)
    try:
        await block_types.register()
    except Exception:
        # A task's error is otherwise told only when it is collected.
        logging.getLogger("prefect.server").exception("registering the block types failed")
        raise


if __name__ == "__main__":
    main()
