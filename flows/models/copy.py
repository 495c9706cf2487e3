"""What a worker sends of a run whose folder the API does not see."""

import base64
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from wildloop.flows.models.body import Body

NOTE = "copy.json"
"""The file in the API's copy of a run's folder that says whose copy it is."""


COMMIT_HEADER, SNAPSHOT_HEADER = "X-Wildloop-Commit", "X-Wildloop-Snapshot"
"""Headers of the answer of `POST /runs/{id}/code`: the run's commit, and what it is to execute."""


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\x00" in value:
        raise ValueError("must be a path inside the run's folder")
    if path.parts == (NOTE,):
        raise ValueError(f"{NOTE} is the copy's own: leave it out")
    return str(path)


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except ValueError as error:
        raise ValueError(f"is no Base64 ({error})") from error
    return value


_BASE64 = r"^[A-Za-z0-9+/]*={0,2}$"
InsidePath = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_inside)]


class FilePart(Body):
    """Bytes of a file; what lay behind `offset` before is taken away."""

    path: InsidePath
    offset: int = Field(default=0, ge=0, description="In bytes; no further than the file goes.")
    data: Annotated[str, Field(pattern=_BASE64), AfterValidator(_base64)] = Field(
        default="", description="Base64."
    )

    @property
    def content(self) -> bytes:
        """The bytes."""
        return base64.b64decode(self.data)


class FolderStep(Body):
    """Body of `POST /runs/{id}/copy`."""

    host: str = Field(min_length=1, max_length=255, description="Whose folder it is.")
    mark: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{16,64}$",
        description="Name of a file in the folder: where the API sees it, nothing is to be sent.",
    )
    parts: list[FilePart] = Field(default_factory=list, max_length=1000)
    is_complete: bool = Field(default=False, description="Nothing more will come.")
    left_out: list[str] = Field(
        default_factory=list, max_length=1000, description="Files that are too large to be sent."
    )


class FolderState(BaseModel):
    """Answer of `POST /runs/{id}/copy`."""

    is_same_folder: bool = Field(description="The API sees the folder itself.")
    sizes: dict[str, int] = Field(
        default_factory=dict, description="Of the files that were written to, in bytes."
    )


class FolderNote(BaseModel):
    """copy.json."""

    host: str
    is_complete: bool = False
    left_out: list[str] = Field(default_factory=list)


class CodeRequest(Body):
    """Body of `POST /runs/{id}/code`."""

    have: list[Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]] = Field(
        default_factory=list, max_length=200, description="Commits that the asking clone has."
    )
    bundle: bool = Field(default=True, description="False: only the headers are wanted.")
