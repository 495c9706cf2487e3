"""What a Job and its Pods say of a launch. No I/O."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

SUSPENDED = "Suspended"
UNSCHEDULABLE = "Unschedulable"
_MENDS = {
    "ImagePullBackOff": "its image cannot be had: see `image`, and the namespace's pull secrets",
    "ErrImagePull": "its image cannot be had: see `image`, and the namespace's pull secrets",
    "InvalidImageName": "`image` is no name of an image",
    "CreateContainerConfigError": "a Secret of `env_secrets` or a key is not in the namespace",
}
_TOLD = 300


class Phase(StrEnum):
    """How far a Job is."""

    PENDING = "pending"
    RUNNING = "running"
    OVER = "over"


class View(BaseModel):
    """A Job and its latest Pod.

    `exit_code` is the container's, where it has ended; `is_disrupted`: its Pod was taken away
    (evicted, preempted, its node lost), whatever its command did at that.
    """

    model_config = ConfigDict(frozen=True)

    phase: Phase
    reason: str | None = None
    exit_code: int | None = None
    pod: str | None = None
    host: str | None = None
    is_disrupted: bool = False


def view_of(job: dict[str, Any], pods: Sequence[dict[str, Any]]) -> View:
    """What a Job and its Pods say."""
    latest = max(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", default=None)
    conditions = {
        one["type"]: one
        for one in (job.get("status") or {}).get("conditions") or []
        if one.get("status") == "True"
    }
    ended = conditions.get("Failed") or conditions.get("Complete")
    if ended is not None:
        return _over(ended, latest)
    if job["spec"].get("suspend"):
        return View(phase=Phase.PENDING, reason=f"{SUSPENDED}: its queue has not admitted it")
    if latest is None:
        return View(phase=Phase.PENDING, reason="its pod is being made")
    return _alive(latest)


def _alive(pod: dict[str, Any]) -> View:
    status = pod.get("status") or {}
    about = {"pod": pod["metadata"]["name"], "host": (pod.get("spec") or {}).get("nodeName")}
    phase = status.get("phase")
    if phase == "Pending":
        return View(phase=Phase.PENDING, reason=_waits_for(status), **about)
    if phase == "Unknown":
        return View(phase=Phase.RUNNING, reason="its node does not answer", **about)
    # One that has ended, of which the Job does not tell yet, runs until it does.
    return View(phase=Phase.RUNNING, **about)


def _waits_for(status: dict[str, Any]) -> str:
    for one in status.get("containerStatuses") or []:
        if waiting := (one.get("state") or {}).get("waiting"):
            return _sentence(waiting.get("reason") or "waiting", waiting.get("message"))
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            return _sentence(condition.get("reason") or UNSCHEDULABLE, condition.get("message"))
    return "its pod is being started"


def _over(condition: dict[str, Any], pod: dict[str, Any] | None) -> View:
    told = _sentence(condition.get("reason") or condition["type"], condition.get("message"))
    if pod is None:
        gone = condition["type"] == "Failed"
        return View(
            phase=Phase.OVER,
            reason=f"its pod is gone ({told})" if gone else None,
            is_disrupted=gone,
        )
    status = pod.get("status") or {}
    about = {"pod": pod["metadata"]["name"], "host": (pod.get("spec") or {}).get("nodeName")}
    states = [one.get("state") or {} for one in status.get("containerStatuses") or []]
    ended: dict[str, Any] = next((one["terminated"] for one in states if "terminated" in one), {})
    code = ended.get("exitCode")
    disrupted = next(
        (
            one
            for one in status.get("conditions") or []
            if one["type"] == "DisruptionTarget" and one.get("status") == "True"
        ),
        None,
    )
    if status.get("reason") and status["reason"] != "Completed":
        why = _sentence(status["reason"], status.get("message"))
        return View(phase=Phase.OVER, reason=why, exit_code=code, is_disrupted=True, **about)
    if disrupted is not None:
        why = _sentence(disrupted.get("reason") or "DisruptionTarget", disrupted.get("message"))
        return View(phase=Phase.OVER, reason=why, exit_code=code, is_disrupted=True, **about)
    if ended.get("reason") == "OOMKilled":
        return View(phase=Phase.OVER, reason="OUT_OF_MEMORY", exit_code=code, **about)
    if code is None:
        return View(phase=Phase.OVER, reason=told, is_disrupted=True, **about)
    return View(phase=Phase.OVER, exit_code=code, **about)


def _sentence(word: str, message: str | None) -> str:
    shown = " ".join((message or "").split())[:_TOLD]
    return f"{word}: {shown}" if shown else word


def is_of_kubernetes(reason: str) -> bool:
    """Whether a waiting run's reason is Kubernetes', and not Slurm's."""
    word = reason.partition(":")[0]
    return word in (*_MENDS, SUSPENDED, UNSCHEDULABLE) or reason.startswith("its ")


def mend_of(reason: str) -> str | None:
    """What to do about a reason that does not end by itself; None: it may."""
    return _MENDS.get(reason.partition(":")[0])
