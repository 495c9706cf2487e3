"""Several computes of one worker: the first, and further ones that runs or a rule choose."""

from collections.abc import Mapping
from typing import NamedTuple

from wildloop.blocks.launchers.choice import Launchers
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.compute import ComputeOffer
from wildloop.flows.worker.compute import AUTO, LOCAL, ComputeRenewal, find_record


class Found(NamedTuple):
    """What a worker has found of its computes."""

    record: HostRecord
    launchers: Launchers
    renewal: "Renewals"


def split(choices: str) -> list[str]:
    """The computes that `--compute` names, with commas between them; this host comes first.

    Raises:
        InvalidRequest: one is named twice, or `auto` is among several.
    """
    found = [one.strip() for one in choices.split(",") if one.strip()] or [AUTO]
    if len(set(found)) < len(found):
        raise InvalidRequest(f"--compute '{choices}' names one of them twice: leave it out")
    if len(found) > 1 and AUTO in found:
        raise InvalidRequest(f"--compute '{choices}': auto stands alone: name each of several")
    return sorted(found, key=lambda one: one != LOCAL)


async def find_all(choices: str, host: str, slots: int | None) -> Found:
    """The computes of this worker.

    Args:
        choices: see `split`; each as for `find_compute`.
        host: this host's name.
        slots: what the user has set, of the first one.

    Raises:
        InvalidRequest: one of them is not there, or two have one name.
    """
    first, *others = split(choices)
    record, slurm = await find_record(first, host, slots)
    parts = {one: await find_record(one, host, None) for one in others}
    further = {one: offered(part) for one, (part, _) in parts.items()}
    names = [record.own.name, *(offer.name for offer in further.values())]
    if len(set(names)) < len(names):
        raise InvalidRequest(
            f"--compute '{choices}': two computes have one name ({', '.join(names)}): save a block "
            "under another"
        )
    blocks = {further[one].name: block for one, (_, block) in parts.items() if block is not None}
    launchers = Launchers(slurm, blocks)
    record = record.model_copy(update={"compute": names[0], "further": list(further.values())})
    renewals = {
        further[one].name: (part, ComputeRenewal(one, launchers, block, further[one].name))
        for one, (part, block) in parts.items()
    }
    return Found(record, launchers, Renewals(ComputeRenewal(first, launchers, slurm), renewals))


def offered(part: HostRecord) -> ComputeOffer:
    """A further compute as it is offered: hosts that submit to it by the same block share it."""
    own = part.own
    shared = f"{own.shared}/{own.name}" if own.shared is not None else None
    return own.model_copy(update={"shared": shared})


class Renewals:
    """Looks for changes of all computes of a worker.

    Args:
        first: of the first one.
        further: of each other, by its name: what was found of it, and what looks for changes.
    """

    def __init__(
        self,
        first: ComputeRenewal,
        further: Mapping[str, tuple[HostRecord, ComputeRenewal]],
    ) -> None:
        self._first = first
        self._further = dict(further)

    async def look(self, record: HostRecord) -> HostRecord | None:
        """The record as it should be now; None while nothing has changed."""
        changed = await self._first.look(record)
        current = changed or record
        for name, (part, renewal) in list(self._further.items()):
            renewed = await renewal.look(part)
            if renewed is None:
                continue
            self._further[name] = (renewed, renewal)
            offers = [offered(renewed) if one.name == name else one for one in current.further]
            current = changed = current.model_copy(update={"further": offers})
        return changed
