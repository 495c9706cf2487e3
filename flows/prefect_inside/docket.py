"""How often Prefect's server looks after its background tasks, where it is their only worker."""

from datetime import timedelta
from functools import partial
from typing import Any

from docket import Docket, Worker

HEARTBEAT = timedelta(seconds=20)
LOOK = timedelta(seconds=1)


def look_less_often() -> None:
    """Have the background worker of this process look every second, and beat every 20 s.

    By itself it looks for what is due four times a second and writes a heartbeat, two commands for
    each kind of task, every two: for others that would take its tasks over, and there are none.
    What is due at once wakes it as before. To be called before the app is made.
    """
    from prefect.server.api import background_workers, server

    made: Any = server
    made.Docket = partial(Docket, heartbeat_interval=HEARTBEAT)
    working: Any = background_workers
    working.Worker = partial(Worker, minimum_check_interval=LOOK, scheduling_resolution=LOOK)
