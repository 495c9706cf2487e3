"""The Wildloop worker: a Prefect worker type that runs flows as coroutines in one warm process."""

from wildloop.flows.worker.worker import WildloopWorker

__all__ = ["WildloopWorker"]
