"""Libraries that only an export needs, and what to do where one is missing."""

import importlib
from typing import Any

from wildloop.shim.client.errors import ClientError

EXTRAS = {
    "mlflow": "mlflow",
    "wandb": "wandb",
    "tensorboardX": "tensorboard",
    "tensorboardX.summary": "tensorboard",
}
"""The extra of Wildloop that brings a library."""


def library(name: str) -> Any:
    """The library, imported when it is needed.

    Raises:
        ClientError: it is not installed; the text says how to.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        extra = EXTRAS[name]
        raise ClientError(
            f"--format {extra} needs {name}: pip install 'wildloop[{extra}]', or {name} beside it"
        ) from error
