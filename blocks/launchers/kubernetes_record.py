"""The files of a launch as a Kubernetes Job, beside its exit code."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

INTENT, CREATED, START = "kubernetes_intent.json", "kubernetes_job.json", "kubernetes_start.json"
END, FINAL, STOP = "kubernetes_end.json", "kubernetes_final.json", "kubernetes_stop"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Intent(_Record):
    """Written before the Job is asked for: its name is the launch's own, so there is one."""

    name: str
    namespace: str
    token: str


class Created(_Record):
    """The API server has the Job."""

    uid: str
    created_at: float


class Start(_Record):
    """Written by the pod as its command begins."""

    pod: str
    host: str
    restart: int
    devices: str
    started_at: float


class End(_Record):
    """Written by a pod that was told to end."""

    pod: str
    exit_code: int
    ended_at: float


class Final(_Record):
    """What came of the Job."""

    exit_code: int | None
    reason: str | None
    ended_at: float


Found = TypeVar("Found", bound=_Record)


def read(folder: Path, name: str, kind: type[Found]) -> Found | None:
    """A record; None where there is none.

    Raises:
        ValueError: it is there but damaged.
    """
    path = folder / name
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise ValueError(
            f"Kubernetes record '{path}' is damaged: see `kubectl get jobs`, and use a new folder"
        ) from error


def is_kubernetes_launch(folder: Path) -> bool:
    """Whether the launch in this folder was handed to Kubernetes, or was about to be."""
    return (folder / INTENT).exists()
