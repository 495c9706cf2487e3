"""When a waiting agent is called again."""

from typing import Literal

Wake = Literal["all", "first", "failed"]
WAKES: tuple[Wake, ...] = ("all", "first", "failed")
