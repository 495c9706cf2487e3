"""How a host was used over the night: a bounded series, for people to look at."""

from pydantic import BaseModel, Field

SAMPLES = 360


class UseSample(BaseModel):
    """A moment, in Unix seconds. Memory in MiB is the most since the last one, use in percent the
    mean since then; None: not known.
    """

    at: float
    cpu: float | None = None
    memory: float | None = None
    devices: dict[str, tuple[float | None, float | None]] = Field(
        default_factory=dict, description="Memory and use, by the device's id."
    )


class UseRecord(BaseModel):
    """The use of one host, oldest first; memory in MiB."""

    host: str
    every_seconds: float
    memory_total: float | None = None
    device_totals: dict[str, float] = Field(default_factory=dict)
    samples: list[UseSample] = Field(default_factory=list)
