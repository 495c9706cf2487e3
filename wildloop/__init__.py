"""Wildloop: autonomous ML research as Prefect flows.

The public names; each is imported when it is first used, so that `import wildloop` costs nothing.

- `connect(url=None, token=None)`: a client of a running server, to read and steer sessions and to
  submit runs.
- `research_loop`: the flow of a session.
- `experiment`: the flow of a run.
- `WildloopError`, `ClientError`, `ServerAway`, `WaitedTooLong`: what may go wrong.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wildloop.flows.errors import WildloopError
    from wildloop.flows.experiment import experiment
    from wildloop.flows.research_loop import research_loop
    from wildloop.shim.client.errors import ClientError, ServerAway, WaitedTooLong
    from wildloop.shim.client.handles import Client, connect

__all__ = [
    "Client",
    "ClientError",
    "ServerAway",
    "WaitedTooLong",
    "WildloopError",
    "connect",
    "experiment",
    "research_loop",
]
_HOMES = {
    "wildloop.flows.errors": ("WildloopError",),
    "wildloop.flows.experiment": ("experiment",),
    "wildloop.flows.research_loop": ("research_loop",),
    "wildloop.shim.client.errors": ("ClientError", "ServerAway", "WaitedTooLong"),
    "wildloop.shim.client.handles": ("Client", "connect"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(module), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module 'wildloop' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
