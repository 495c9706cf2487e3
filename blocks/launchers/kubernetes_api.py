"""What the launcher asks of a cluster's API server; Jobs and Pods are plain mappings here."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from wildloop.blocks.launchers.base import LaunchFailed
from wildloop.blocks.launchers.kubernetes_manifest import MANAGED

REQUEST_SECONDS = 20.0
SETTINGS_SECONDS = 300.0
_MINE = ",".join(f"{key}={value}" for key, value in MANAGED.items())
MISSING = (
    "the Kubernetes client is not installed: `pip install 'wildloop[kubernetes]'` where the worker "
    "runs"
)


class Silent(Exception):
    """The API server does not answer, or is not able to now."""


class Refused(Exception):
    """The API server says no; `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Cluster:
    """One namespace of a cluster.

    Args:
        namespace: of Jobs, Pods and Secrets.
        kubeconfig: a file; None: `config`, else KUBECONFIG or ~/.kube/config, else the pod's own.
        context: of the kubeconfig.
        config: the content of a kubeconfig, as a work pool's cluster has it.
    """

    def __init__(
        self,
        namespace: str,
        kubeconfig: str | None = None,
        context: str | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.namespace = namespace
        self._kubeconfig, self._context, self._config = kubeconfig, context, config
        self._settings: tuple[float, Any] | None = None

    async def create_job(self, job: dict[str, Any]) -> dict[str, Any]:
        """Create a Job, or return the one of this name.

        Raises:
            Refused, Silent: it was not created, or that is not known.
        """
        try:
            return dict(await self._call("Batch", "create_namespaced_job", self.namespace, job))
        except Refused as refusal:
            if refusal.status != 409:
                raise
            return await self.job(job["metadata"]["name"])

    async def create_secret(self, secret: dict[str, Any]) -> None:
        """Create a Secret; one of this name stays.

        Raises:
            Refused, Silent: as `create_job`.
        """
        try:
            await self._call("Core", "create_namespaced_secret", self.namespace, secret)
        except Refused as refusal:
            if refusal.status != 409:
                raise

    async def job(self, name: str) -> dict[str, Any]:
        """One Job.

        Raises:
            Refused, Silent: it is not there, or that is not known.
        """
        return dict(await self._call("Batch", "read_namespaced_job", name, self.namespace))

    async def delete_job(self, name: str) -> None:
        """Delete a Job and its Pods; one that is gone is gone.

        Raises:
            Refused, Silent: it was not deleted.
        """
        try:
            await self._call(
                "Batch",
                "delete_namespaced_job",
                name,
                self.namespace,
                propagation_policy="Background",
            )
        except Refused as refusal:
            if refusal.status != 404:
                raise

    async def jobs(self) -> list[dict[str, Any]]:
        """All Jobs of Wildloop's.

        Raises:
            Refused, Silent: they are not told.
        """
        found = await self._call(
            "Batch", "list_namespaced_job", self.namespace, label_selector=_MINE
        )
        return list(found["items"])

    async def pods(self) -> list[dict[str, Any]]:
        """All Pods of Wildloop's.

        Raises:
            Refused, Silent: as `jobs`.
        """
        found = await self._call(
            "Core", "list_namespaced_pod", self.namespace, label_selector=_MINE
        )
        return list(found["items"])

    async def log(self, pod: str, lines: int = 5) -> str:
        """The end of what a Pod has printed; empty where it is not told."""
        try:
            return str(
                await self._call(
                    "Core", "read_namespaced_pod_log", pod, self.namespace, tail_lines=lines
                )
            )
        except (Refused, Silent):
            return ""

    async def nodes(self, selector: dict[str, str]) -> list[dict[str, Any]]:
        """The nodes with these labels.

        Raises:
            Refused, Silent: they are not told.
        """
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        return list((await self._call("Core", "list_node", label_selector=labels))["items"])

    async def _call(self, group: str, method: str, *given: Any, **named: Any) -> Any:
        client = _library()
        from aiohttp import ClientError

        try:
            async with self._connected() as api:
                kind = client.BatchV1Api if group == "Batch" else client.CoreV1Api
                asked: Callable[..., Awaitable[Any]] = getattr(kind(api), method)
                # As it comes: the models refuse what a server of another version leaves out.
                raw = {"_preload_content": False, "_request_timeout": REQUEST_SECONDS}
                answer = await asked(*given, **named, **raw)
                text = (await answer.read()).decode("utf-8", "replace")
        except (ClientError, OSError, TimeoutError) as error:
            raise Silent(f"the Kubernetes API does not answer: {error}") from error
        if answer.status < 300:
            return text if method == "read_namespaced_pod_log" else json.loads(text)
        told = f"{answer.reason}: {_told(text)}"
        if answer.status == 401:
            self._settings = None
        if answer.status == 429 or answer.status >= 500:
            raise Silent(f"the Kubernetes API is not able to answer now: {told}")
        raise Refused(answer.status, told)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        client = _library()
        # A kubeconfig may ask another program for its token: not at every call.
        if self._settings is None or time.monotonic() - self._settings[0] > SETTINGS_SECONDS:
            self._settings = (time.monotonic(), await self._access(client))
        async with client.ApiClient(self._settings[1]) as api:
            yield api

    async def _access(self, client: Any) -> Any:
        """Where the API server is, and by which right it is asked."""
        from kubernetes_asyncio import config

        settings = client.Configuration()
        try:
            if self._kubeconfig is not None or self._config is None:
                await self._load(config, settings)
            else:
                await config.load_kube_config_from_dict(
                    self._config, context=self._context, client_configuration=settings
                )
        except (config.ConfigException, OSError) as error:
            raise LaunchFailed(
                f"no Kubernetes cluster is configured: {error}: set kubeconfig in the compute block"
            ) from error
        return settings

    async def _load(self, config: Any, settings: Any) -> None:
        inside = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
        if self._kubeconfig is None and await asyncio.to_thread(inside.exists):
            config.load_incluster_config(client_configuration=settings)
            return
        path = str(Path(self._kubeconfig).expanduser()) if self._kubeconfig else None
        await config.load_kube_config(
            config_file=path,
            context=self._context,
            client_configuration=settings,
            persist_config=False,
        )


def _library() -> Any:
    try:
        from kubernetes_asyncio import client
    except ImportError as error:
        raise LaunchFailed(MISSING) from error
    return client


def _told(body: Any) -> str:
    """The sentence in an API server's answer."""
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(body or "")[:300]
