"""The evolutionary sweep that a session drives beside its steps."""

import asyncio
from dataclasses import dataclass
from typing import Any

from prefect.client.schemas.objects import State


class SweepLeft(Exception):
    """The sweep is left because its session ends."""


@dataclass
class Sweeping:
    """A sweep that is driven beside the session's own steps."""

    label: str
    sweep_id: str
    task: "asyncio.Task[State[Any]]"
    is_to_end: bool = False

    @property
    def is_over(self) -> bool:
        """Whether it is no longer driven."""
        return self.task.done()
