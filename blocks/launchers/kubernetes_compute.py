"""The Kubernetes compute block: how runs become Jobs of a cluster."""

from pathlib import PurePosixPath
from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, model_validator

from wildloop.blocks.launchers.kubernetes_options import (
    Image,
    KubernetesName,
    KubernetesOverride,
    LabelKey,
    LabelValue,
    Quantity,
)

__all__ = ["KubernetesCompute", "KubernetesOverride"]


class KubernetesCompute(Block):
    """Options that every Job of a project gets, unless its run says otherwise."""

    _block_type_name = "Wildloop Kubernetes Compute"
    _block_type_slug = "wildloop-kubernetes-compute"
    _documentation_url = HttpUrl("https://kubernetes.io/docs/concepts/workloads/controllers/job/")
    _description = (
        "Runs Wildloop's experiments as Kubernetes Jobs: image, resources, nodes, and the volume "
        "that holds the project."
    )
    _code_example = """```python
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute

compute = KubernetesCompute.load("BLOCK_NAME")
```

For a host's runs: `wildloop up --compute wildloop-kubernetes-compute/BLOCK_NAME`.
"""

    work_pool: str | None = Field(
        default=None,
        title="Work pool",
        description="A Prefect work pool of type kubernetes whose job manifest, namespace and "
        "cluster are used. Empty: a plain manifest.",
        examples=["gpu-cluster"],
    )
    kubeconfig: str | None = Field(
        default=None,
        title="kubeconfig",
        description="File with the cluster. Empty: the work pool's, else that of KUBECONFIG or "
        "~/.kube/config, else the pod's own service account.",
    )
    context: str | None = Field(
        default=None, title="Context", description="Of the kubeconfig. Empty: its current one."
    )
    namespace: KubernetesName | None = Field(
        default=None,
        title="Namespace",
        description="Of Jobs and their Secrets. Empty: the work pool's, else default.",
    )
    image: Image | None = Field(
        default=None,
        title="Image",
        description="What the command runs in; it has bash. Empty: the work pool's.",
        examples=["pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime"],
    )
    mount_path: str | None = Field(
        default=None,
        title="Folder",
        description="Folder of this host that pods have at the same path; the project lies in it.",
        examples=["/shared"],
    )
    volume_claim: KubernetesName | None = Field(
        default=None,
        title="Volume claim",
        description="PersistentVolumeClaim that holds it, which several pods may write to.",
    )
    host_path: bool = Field(
        default=False,
        title="On every node",
        description="The nodes themselves have the folder, by NFS or the like (hostPath).",
    )
    slots: int | None = Field(
        default=None,
        gt=0,
        title="GPUs",
        description="GPUs that runs may have at once. Empty: those of the nodes that are selected.",
    )
    cpu_runs: int = Field(
        default=8,
        gt=0,
        title="Runs without a GPU",
        description="How many of them may go at once.",
    )
    gpu_resource: LabelKey = Field(
        default="nvidia.com/gpu", title="GPU resource", description="What a pod asks for."
    )
    gpu_type: str | None = Field(
        default=None,
        title="GPU type",
        description="Of the nodes that are selected. Empty: what their label says.",
        examples=["A100"],
    )
    gpu_type_label: LabelKey = Field(
        default="nvidia.com/gpu.product",
        title="Label of the GPU type",
        description="By which nodes tell it, and a run that asks for a type selects them.",
    )
    gpu_memory_gb: float | None = Field(
        default=None, gt=0, title="GPU memory", description="Of each GPU, in GB."
    )
    cpus: Quantity | None = Field(
        default=None, title="CPU cores", description="Per run.", examples=["8"]
    )
    memory: Quantity | None = Field(
        default=None, title="Memory", description="Per run.", examples=["32Gi"]
    )
    queue: KubernetesName | None = Field(
        default=None,
        title="Kueue queue",
        description="Local queue of Kueue, which then decides when a Job starts.",
    )
    priority_class: KubernetesName | None = Field(
        default=None, title="Priority class", description="Of the pods."
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, title="Node selector", description="Labels that nodes must have."
    )
    env_secrets: list[KubernetesName] = Field(
        default_factory=list,
        title="Secrets",
        description="Secrets of the namespace whose keys become environment variables.",
    )
    grace_seconds: int = Field(
        default=30, gt=0, le=3600, title="Grace", description="Between TERM and KILL."
    )
    own_user: bool = Field(
        default=True,
        title="As this user",
        description="Pods run with the worker's user and group, so that files are yours.",
    )

    @model_validator(mode="after")
    def _has_a_folder(self) -> Self:
        if self.mount_path is not None and not PurePosixPath(self.mount_path).is_absolute():
            raise ValueError(f"mount_path '{self.mount_path}' is not absolute: give it from / on")
        if (self.volume_claim or self.host_path) and self.mount_path is None:
            raise ValueError("mount_path is missing: the folder that holds the project")
        if self.volume_claim and self.host_path:
            raise ValueError("volume_claim and host_path exclude one another: leave out one")
        if self.work_pool is None and not (self.volume_claim or self.host_path):
            raise ValueError(
                "pods have no folder: give mount_path with volume_claim or host_path, or a "
                "work_pool whose job manifest mounts it"
            )
        return self

    def merged(self, override: KubernetesOverride | None) -> KubernetesOverride:
        """The options of one run: the override's where given, else the block's."""
        return (override or KubernetesOverride()).over(self)
