"""Kubernetes options of a launch, checked before the API server sees them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kKMGTPE]i?)?$", max_length=30)]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:@-]*$", max_length=500)]
LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$", max_length=317)
]
LabelValue = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63)
]


class KubernetesOverride(BaseModel):
    """Kubernetes options for one run; what is not given is as in the compute block.

    `cpus` ("4", "500m") and `memory` ("16Gi") are requests and limits alike, `image` is what the
    command runs in, `queue` the local queue of Kueue. `node_selector` replaces the block's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Image | None = None
    cpus: Quantity | None = None
    memory: Quantity | None = None
    queue: KubernetesName | None = None
    priority_class: KubernetesName | None = None
    node_selector: dict[LabelKey, LabelValue] | None = None

    def over(self, block: BaseModel) -> "KubernetesOverride":
        """These options, and the block's where nothing is given."""
        mine: dict[str, Any] = {name: getattr(block, name) for name in type(self).model_fields}
        return type(self).model_validate(mine | self.model_dump(exclude_none=True))
