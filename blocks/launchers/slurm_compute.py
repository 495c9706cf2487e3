"""The Slurm compute block: how this project asks its cluster for resources."""

from typing import Literal

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl

from wildloop.blocks.launchers.slurm_options import (
    Constraint,
    Container,
    Gres,
    Memory,
    Module,
    Name,
    SbatchArgument,
    SetupLine,
    SlurmOverride,
    TimeLimit,
)

__all__ = ["SlurmCompute", "SlurmOverride"]


class SlurmCompute(Block):
    """Options that every Slurm job of a project gets, unless its run says otherwise."""

    _block_type_name = "Wildloop Slurm Compute"
    _block_type_slug = "wildloop-slurm-compute"
    _documentation_url = HttpUrl("https://slurm.schedmd.com/sbatch.html")
    _description = (
        "Runs Wildloop's experiments as Slurm jobs: partition, account, resources, and the lines "
        "that set up the environment on the compute node."
    )

    _code_example = """```python
from wildloop.blocks.launchers.slurm_compute import SlurmCompute

compute = SlurmCompute.load("BLOCK_NAME")
```

For a host's runs: `wildloop up --compute wildloop-slurm-compute/BLOCK_NAME`.
"""

    partition: Name | None = Field(
        default=None,
        title="Partition",
        description="Partition to submit to, or several with commas. Empty: the cluster's default.",
        examples=["gpu", "a100,h100"],
    )
    account: Name | None = Field(
        default=None,
        title="Account",
        description="Account to charge. Empty: your default account.",
        examples=["lab-vision"],
    )
    qos: Name | None = Field(
        default=None,
        title="Quality of service",
        description="QOS of the jobs. Empty: the partition's or account's default.",
        examples=["normal"],
    )
    gpu_type: Name | None = Field(
        default=None,
        title="GPU type",
        description="Type as `sinfo -o %G` names it. Empty: any GPU.",
        examples=["a100"],
    )
    gpu_type_by: Literal["gres", "constraint"] | None = Field(
        default=None,
        title="How the type is asked for",
        description="gres: by --gres=gpu:TYPE:COUNT; constraint: by --constraint=TYPE, where nodes "
        "tell their type by a feature. Empty: gres.",
    )
    gpu_memory_gb: float | None = Field(
        default=None,
        gt=0,
        title="GPU memory",
        description="Of each GPU, in GB, for runs that ask for so much: Slurm does not tell it.",
        examples=[80],
    )
    gres: Gres | None = Field(
        default=None,
        title="GPU request",
        description="Text for --gres where `gpu:TYPE:COUNT` does not fit; {gpus} stands for the "
        "number of GPUs of the run. Used only for runs that ask for GPUs.",
        examples=["gpu:a100:{gpus}", "gpu:{gpus},nvme:1"],
    )
    cpus_per_task: int | None = Field(
        default=None,
        gt=0,
        title="CPU cores",
        description="Cores per run. Empty: the cluster's default, often 1.",
        examples=[8],
    )
    memory: Memory | None = Field(
        default=None,
        title="Memory",
        description="Memory per run, with unit. Empty: the cluster's default.",
        examples=["32G"],
    )
    time_limit: TimeLimit | None = Field(
        default=None,
        title="Time limit",
        description="Longest time of a run: minutes, hours:minutes:seconds, or days-hours. A run "
        "with a time-out of its own gets a shorter limit. Empty: the partition's default.",
        examples=["4:00:00", "2-0"],
    )
    nodes: int | None = Field(
        default=None,
        gt=0,
        title="Nodes",
        description="Nodes per run, over which its GPUs are spread evenly. Empty: 1.",
        examples=[2],
    )
    tasks_per_node: int | None = Field(
        default=None,
        gt=0,
        title="Tasks per node",
        description="Tasks that `srun` starts on each node. Empty: 1.",
        examples=[4],
    )
    constraint: Constraint | None = Field(
        default=None,
        title="Constraint",
        description="Features that the nodes must have, as for --constraint.",
        examples=["a100&nvlink"],
    )
    grace_seconds: int | None = Field(
        default=None,
        gt=0,
        le=3600,
        title="Grace",
        description="Seconds for a checkpoint between TERM and KILL, and between TERM and a time "
        "limit of ten minutes or more. At a stop Slurm's KillWait bounds it. Empty: 5 at a stop, "
        "60 before the limit.",
        examples=[120],
    )
    modules: list[Module] = Field(
        default_factory=list,
        title="Modules",
        description="Environment modules loaded before the set-up lines.",
        examples=[["cuda/12.4", "gcc/12"]],
    )
    container: Container | None = Field(
        default=None,
        title="Container",
        description="Image in which the command runs, after modules and set-up lines; the "
        "project's folder is bound into it.",
        examples=["/shared/images/torch.sif", "docker://pytorch/pytorch:2.4.0-cuda12.4"],
    )
    container_runtime: Literal["apptainer", "pyxis"] | None = Field(
        default=None,
        title="Container runtime",
        description="apptainer, or pyxis (srun --container-image). Empty: apptainer.",
    )
    extra_arguments: list[SbatchArgument] = Field(
        default_factory=list,
        title="More sbatch arguments",
        description="Each one option with its value, as `--constraint=a100`. They win over the "
        "fields above.",
        examples=[["--constraint=a100", "--exclude=node7"]],
    )
    setup_lines: list[SetupLine] = Field(
        default_factory=list,
        title="Set-up lines",
        description="Shell lines run on the compute node before the command, each complete in "
        "itself: load modules, activate an environment. A line that fails ends the run.",
        examples=[["module load cuda/12.4", "source .venv/bin/activate"]],
    )

    def merged(self, override: SlurmOverride | None) -> SlurmOverride:
        """The options of one run: the override's where given, else the block's."""
        mine = {name: getattr(self, name) for name in SlurmOverride.model_fields}
        own = override.model_dump(exclude_none=True) if override is not None else {}
        return SlurmOverride.model_validate(mine | own)
