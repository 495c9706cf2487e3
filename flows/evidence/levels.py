"""What stands behind a value: claimed, measured or confirmed, and why it is no more.

One model for API, ledger, report, status, prompt and command line. A value is *claimed* whatever
it was written by. It is *measured* where the project's own command gave it, on known code, with
protected files, in an environment that its request has not bent. It is *confirmed* where
Wildloop itself has run that again, from its commit, on seeds of its own choice. *Sealed* values
are told at the end: see `flows/sealed`.
"""

import re
from collections.abc import Mapping, Sequence

from wildloop.flows.evidence.settings import is_program, variables_of
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.own_runs import is_confirmation
from wildloop.flows.models.run import Run

ORDER = tuple(Level)
# What another program is run by, or other modules are found by, without a trace in the command.
_BENDING = re.compile(
    r"PYTHON\w*|LD_\w+|DYLD_\w+|PATH|BASH_ENV|ENV|SHELLOPTS|IFS|PERL5\w*|RUBYOPT|NODE_OPTIONS|"
    r"GIT_\w+|VIRTUAL_ENV|CONDA_\w+|WILDLOOP_\w+"
)
# A substitution runs whatever stands in it, inside quotation marks too.
_SUBSTITUTION = re.compile(r"\$\(|`|[<>]\(|\n|\r")
NO_COMMAND = "the project names no command: [train] command in wildloop.toml"
NO_GUARD = "nothing of the evaluation is protected: `protected` or [evaluate] in wildloop.toml"
NOT_EVALUATED = "[evaluate] command has given no value of it"


def bends(name: str) -> bool:
    """Whether an environment variable changes which code a command runs."""
    return _BENDING.fullmatch(name) is not None


def doubts(
    run: Run,
    command: str | None,
    is_guarded: bool,
    evaluated: Mapping[str, float] | None = None,
    begun: float | None = None,
) -> list[str]:
    """Why the value of a run is no more than claimed; empty where it is measured.

    Args:
        run: a run with a value.
        command: the project's.
        is_guarded: whether files are protected, or a command of the project evaluates.
        evaluated: the values of [evaluate] by run id; None where there is no such command.
        begun: when what is compared was fixed, in Unix seconds; None: not known.
    """
    found = []
    if command is None:
        found.append(NO_COMMAND)
    elif not is_program(run, command) or _SUBSTITUTION.search(run.command):
        found.append(f"its command is not the project's, `{command}`")
    if not is_guarded:
        found.append(NO_GUARD)
    if run.code_note:
        found.append(f"its code is not known: {run.code_note}")
    elif run.code is None:
        found.append("what code it ran was not noted")
    bent = [name for name in (*run.variables, *variables_of(run.command)) if bends(name)]
    if bent:
        found.append(f"its request sets {', '.join(sorted(set(bent)))}")
    since = [name for name, at in run.startup.items() if begun is not None and at > begun]
    if since:
        found.append(
            f"its Python carries out by itself what came since the session began: {since[0]}"
        )
    found += run.violations
    if evaluated is not None and run.id not in evaluated:
        found.append(NOT_EVALUATED)
    return found


def level_of(runs: Sequence[Run], reasons: Mapping[str, Sequence[str]]) -> Level:
    """The level of a value that these runs stand behind: that of the weakest.

    Args:
        runs: those that the value is made of.
        reasons: of each run why it is no more than claimed, by id.
    """
    if not runs or any(reasons.get(run.id) for run in runs):
        return Level.CLAIMED
    return Level.CONFIRMED if all(map(is_confirmation, runs)) else Level.MEASURED


def is_above(one: Level, other: Level) -> bool:
    """Whether more stands behind `one` than behind `other`."""
    return ORDER.index(one) > ORDER.index(other)
