"""The cluster: the compute that runs can use."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field


class ClusterType(StrEnum):
    """Kinds of compute."""

    LOCAL_GPU = "local_gpu"
    SLURM = "slurm"
    KUBERNETES = "kubernetes"
    CPU_ONLY = "cpu_only"
    UNKNOWN = "unknown"


class GpuProcess(BaseModel):
    """A process that uses a GPU."""

    pid: int = Field(description="As NVML numbers it; 0 where memory is used by nobody it names.")
    memory_mib: float | None = None
    graphics: bool = Field(default=False, description="Draws only: a display, a renderer.")
    name: str | None = Field(default=None, description="Of the program, where it was looked up.")
    user: str | None = Field(default=None, description="Whose it is, where that was looked up.")


class Gpu(BaseModel):
    """One GPU, or one instance of a GPU in MIG mode; memory in MiB, utilisation in percent."""

    index: int
    uuid: str
    name: str
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None
    utilisation: int | None = None
    processes: list[GpuProcess] = Field(default_factory=list)
    mig: bool = False
    parent: str | None = Field(default=None, description="UUID of the GPU that it is a part of.")

    @property
    def device(self) -> str:
        """The id that CUDA_VISIBLE_DEVICES takes: the index in bus order, or a MIG UUID.

        CUDA takes the UUID of a whole GPU too, but DeepSpeed, vLLM and others want numbers.
        """
        return str(self.index) if self.parent is None else self.uuid


class Partition(BaseModel):
    """One Slurm partition."""

    name: str
    state: str
    gres: str = ""
    time_limit: str = ""
    nodes: int = 0
    gpus: int = 0


class ClusterDetails(BaseModel):
    """What was found, and the reasons."""

    gpus: list[Gpu] = Field(default_factory=list)
    partitions: list[Partition] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class Cluster(BaseModel):
    """The compute as detected or set by hand."""

    type: ClusterType
    status: Literal["healthy", "degraded", "unknown"] = "healthy"
    source: Literal["detected", "manual"] = "detected"
    label: str
    description: str = ""
    gpu_count: int = 0
    node_count: int = 1
    head_node: str | None = None
    confidence: float = Field(default=1.0, ge=0, le=1)
    details: ClusterDetails = Field(default_factory=ClusterDetails)
    last_detected_at: float
    host: str
