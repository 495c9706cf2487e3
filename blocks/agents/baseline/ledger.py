"""What each stage has decided to run, written down before the first run is created.

A call that is killed in the middle, or repeated, then finds the same decisions and creates only the
runs that are missing.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from wildloop.blocks.agents.baseline.config import ConfigError, Surroundings
from wildloop.blocks.agents.baseline.tasks import write_whole


class Trial(BaseModel):
    """One run of a stage, by its name; an earlier stage's run where that has it all."""

    name: str
    configuration: dict[str, Any]
    seed: int


class Ledger(BaseModel):
    """The trials of one stage.

    `reference` is the configuration that they are compared with; `asked` counts how often an
    evolutionary sweep was asked for; `known` how many trials repeat what earlier sessions found.
    """

    trials: list[Trial] = Field(default_factory=list)
    reference: dict[str, Any] | None = None
    asked: int = 0
    known: int = 0
    complete: bool = False


def ledger_path(where: Surroundings, prefix: str) -> Path:
    """The file of a stage's ledger."""
    return where.experiments / f"{prefix}.json"


def read_ledger(where: Surroundings, prefix: str) -> Ledger:
    """The ledger of a stage; an empty one if it has not begun.

    Raises:
        ConfigError: the file is broken.
    """
    path = ledger_path(where, prefix)
    try:
        return Ledger.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Ledger()
    except (UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(f"{path} is broken: restore it from git, or remove it") from error


def write_ledger(where: Surroundings, prefix: str, ledger: Ledger) -> None:
    """Keep a stage's ledger."""
    write_whole(ledger_path(where, prefix), ledger.model_dump_json(indent=2) + "\n")
