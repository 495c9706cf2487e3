"""Which configuration is the baseline: the baseline command on the code of the beginning."""

from collections.abc import Sequence

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.contract import Contract
from wildloop.flows.evidence.settings import is_program, normal, settings_in


def baseline_of(
    configurations: Sequence[Configuration], contract: Contract
) -> Configuration | None:
    """The baseline command on the code that the session began with.

    Of several it is the one with the settings that wildloop.toml names, else the first. Where
    none ran that, the first that was tried stands for it (see `is_true_baseline`). One that
    has no value is not replaced by another: only by its own settings run again on mended code.
    A name makes no baseline.

    Args:
        configurations: of the session, in the order of their first runs.
        contract: what it compares by.
    """
    live = [one for one in configurations if not one.withdrawn]
    first = _first(live, contract)
    if first is None or first.n or not first.is_over:
        return first
    again = (one for one in live if one.n and _same_settings(one, first))
    return next(again, first)


def _first(live: Sequence[Configuration], contract: Contract) -> Configuration | None:
    """That of the beginning with the named settings, else the first of it, else the first."""
    own = None
    for one in live:
        if _is_of_the_beginning(one, contract):
            if _has_named_settings(one, contract):
                return one
            own = own or one
    if own is not None:
        return own
    named = (one for one in live if _has_named_settings(one, contract))
    return next(named, next(iter(live), None))


def is_true_baseline(one: Configuration, contract: Contract) -> bool:
    """Whether it is the baseline command on the code of the beginning, or stands for it only."""
    if not _is_of_the_beginning(one, contract):
        return False
    command = contract.command
    return (
        command is None
        or normal(one.settings) == normal(settings_in(command))
        or _has_named_settings(one, contract)
    )


def _has_named_settings(one: Configuration, contract: Contract) -> bool:
    """Whether it has the settings that wildloop.toml names: of its baseline, or its command."""
    if contract.command is None and not contract.baseline:
        return False
    fixed = settings_in(contract.command or "")
    return normal(one.settings) in (
        normal(contract.baseline),
        normal(fixed | dict(contract.baseline)),
    )


def _is_of_the_beginning(one: Configuration, contract: Contract) -> bool:
    command, code = contract.command, contract.code
    return (command is None or is_program(one.runs[0], command)) and (
        code is None or one.code in (None, code)
    )


def _same_settings(one: Configuration, other: Configuration) -> bool:
    return one.program == other.program and normal(one.settings) == normal(other.settings)
