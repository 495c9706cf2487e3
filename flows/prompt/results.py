"""`experiment_results`: all runs of the iteration by configuration, what is new marked."""

import math
from collections.abc import Collection, Mapping, Sequence

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.settings import label_of, seed_of
from wildloop.flows.evidence.table import row
from wildloop.flows.evidence.values import value_of
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.struggle.failures import causes
from wildloop.flows.text.log_end import log_end
from wildloop.flows.text.redaction import redact

ROWS = (12, 9, 6, 4, 3)
FEWEST_ROWS = 2
IN_SHORT = 16
SEEDS = 8
LOGS = 3
LOG_LINES = 8
LOG_CHARACTERS = 900
METRICS = 4
REPEATS = 4
CELL = 100
CAUSE = 200
NAME = 40
MOST_TOKENS = 600
NEW = " (new)"
NOTHING = "No run of this iteration exists. No run has ended since the last prompt."
NO_NEWS = "No run has ended since the last prompt."
"""Of a reflection, which has no runs of its own."""
HEAD = ["run", "configuration", "seed: value, id", "over seeds", "stands"]


def results_section(
    runs: Sequence[Run],
    logs: Mapping[str, str],
    account: Account,
    *,
    new: Collection[str] = (),
    left: Sequence[Run] = (),
    most_tokens: int = MOST_TOKENS,
) -> str:
    """The runs of this iteration, complete; of very many the failed and the best.

    Args:
        runs: those that this iteration has created.
        logs: ends of the logs of the failed ones, by id.
        account: of the session.
        new: ids of the ended runs that no prompt has told of yet.
        left: runs of earlier iterations among them.
        most_tokens: about how long it may be.
    """
    every = [*runs, *left]
    late = _repeats(every, account, new)
    late = [*_failures([run for run in every if run.id in new], logs), *late]
    late = [*_unmeasured(every), *late]
    for rows in (*ROWS, FEWEST_ROWS):
        parts = [_table(runs, account, new, rows)] if runs else []
        if left:
            told = _table(left, account, new, rows)
            parts.append(f"Of earlier iterations, ended only now:\n\n{told}")
        text = "\n\n".join([*parts, *late])
        if token_count(text) <= most_tokens:
            return text or NOTHING
    text = "\n\n".join(parts)
    for part in late:
        if token_count(text) + token_count(part) > most_tokens:
            return f"{text}\n\n[cut for length: `GET /runs?chat_session_id=$WILDLOOP_SESSION_ID`]"
        text += f"\n\n{part}"
    return text


def _unmeasured(runs: Sequence[Run]) -> list[str]:
    """What was seen of the first run whose metric was not found, and what to do about it."""
    blind = [run for run in runs if run.unmeasured]
    if not blind:
        return []
    names = ", ".join(run.name for run in blind[:5])
    return [
        f"NOT MEASURED ({names}): {redact(blind[0].unmeasured)}. Mend this before any other run: "
        "a session whose baseline has no value ends as failed."
    ]


def _table(runs: Sequence[Run], account: Account, new: Collection[str], rows: int) -> str:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        one = account.by_run.get(run.id)
        groups.setdefault(one.id if one is not None else label_of(run), []).append(run)
    found = _most_telling(list(groups.values()), account, rows)
    lines = [row(HEAD), "|" + " --- |" * len(HEAD)]
    lines += [_row(group, account, new) for group in found]
    ended = sum(run.status.is_terminal for run in runs)
    fresh = sum(run.id in new for run in runs)
    lines.append(f"\n{ended} of {len(runs)} runs have ended, {fresh} of them since the last call.")
    others = [group for group in groups.values() if group not in found]
    short = others if len(others) <= IN_SHORT and rows > FEWEST_ROWS else []
    if short:
        lines.append(f"The others: {'; '.join(_in_short(group, account) for group in short)}.")
    elif others:
        lines.append(
            f"{len(others)} more configurations, none of them better: "
            "`GET /runs?chat_session_id=$WILDLOOP_SESSION_ID` has them."
        )
    return "\n".join(lines)


def _in_short(group: Sequence[Run], account: Account) -> str:
    one = account.by_run.get(group[0].id)
    score = one.score if one is not None and one.n else "no value"
    names = ", ".join(run.id[:8] for run in group[:SEEDS])
    return f"{label_of(group[0])[:CELL]} {score} ({names})"


def _most_telling(groups: list[list[Run]], account: Account, rows: int) -> list[list[Run]]:
    """All of a few configurations; of many the failed ones and the best, in their order."""
    if len(groups) <= rows:
        return groups
    sign = -1.0 if account.direction == "max" else 1.0

    def place(group: list[Run]) -> float:
        one = account.by_run.get(group[0].id)
        return math.inf if one is None or one.mean is None else sign * one.mean

    failed = [one for one in groups if any(run.status is RunStatus.FAILED for run in one)]
    kept = failed[: max(1, rows // 3)]
    others = sorted((one for one in groups if one not in kept), key=place)
    kept += others[: rows - len(kept)]
    return [one for one in groups if one in kept]


def _row(group: Sequence[Run], account: Account, new: Collection[str]) -> str:
    one = account.by_run.get(group[0].id)
    name = one.name if one is not None else label_of(group[0])
    order = sorted(group, key=lambda run: (seed_of(run) or "~", run.created_at))
    told = [_run(run, account, new) for run in order[:SEEDS]]
    if len(order) > SEEDS:
        told.append(f"and {len(order) - SEEDS} more")
    score = f"{one.score} {one.level.value}" if one is not None and one.n else "no value"
    stands = _stands(one, account)
    return row([_names(order), name[:CELL], "; ".join(told), score, stands])


def _names(group: Sequence[Run]) -> str:
    """What its runs are called, in short."""
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"{group[0].name[:NAME]}{more}"


def _stands(one: Configuration | None, account: Account) -> str:
    if one is None:
        return "not compared yet"
    return account.standing(one).value if one.is_over or one.n else "under way"


def _run(run: Run, account: Account, new: Collection[str]) -> str:
    seed = seed_of(run)
    head = f"{seed}: " if seed is not None else ""
    return f"{head}{_outcome(run, account)} {run.id[:8]}{NEW if run.id in new else ''}"


def _outcome(run: Run, account: Account) -> str:
    """Its value, or why it has none."""
    metric = account.contract.metric
    if run.status is not RunStatus.FINISHED:
        failed = run.status is RunStatus.FAILED and run.exit_code is not None
        return f"{run.status.value} (exit {run.exit_code})" if failed else run.status.value
    value = value_of(run, metric.name) if metric is not None else None
    if value is not None:
        return f"{value:.6g}"
    others = ", ".join(f"{name}={run.metrics[name]:.4g}" for name in sorted(run.metrics)[:METRICS])
    if metric is None:
        return others or "finished without metrics"
    why = "diverged (NaN or infinite)" if metric.name in run.diverged else f"no {metric.name}!"
    return f"{why} {others}".strip()


def _failures(runs: Sequence[Run], logs: Mapping[str, str]) -> list[str]:
    """Why runs failed, each cause with the last lines of a log once."""
    found, parts = causes(runs, logs), list[str]()
    for cause in found[:LOGS]:
        run = cause.runs[-1]
        names = ", ".join(f"{one.name[:NAME]} ({one.id[:8]})" for one in cause.runs[:4])
        names += f" and {len(cause.runs) - 4} more" if len(cause.runs) > 4 else ""
        end = redact(log_end(logs.get(run.id, ""))).replace("```", "'''").strip()
        end = "\n".join(end.splitlines()[-LOG_LINES:])[-LOG_CHARACTERS:]
        error, why = (run.error or "no reason is known")[:CELL], redact(cause.text)[:CAUSE]
        said = f"{names} failed: {error}" + (f". Cause: {why}" if why not in error else "")
        end = "" if end in (why, error) else end
        parts.append(f"{said}\n```\n{end}\n```" if end else said)
    if len(found) > LOGS:
        parts.append(f"{len(found) - LOGS} more causes of failure are in the runs' logs.")
    return parts


def _repeats(runs: Sequence[Run], account: Account, new: Collection[str]) -> list[str]:
    """Runs that did what another has done before, seed and code included. Reruns are meant to."""
    fresh, lines = {run.id for run in runs if run.id in new}, list[str]()
    for one in account.configurations:
        known: dict[tuple[str, str], Run] = {}
        for run in one.runs:
            key = (run.command, str(sorted(run.parameters.items())))
            first = known.setdefault(key, run)
            if first is not run and run.id in fresh and run.parent_run_id is None:
                lines.append(f"- {run.name} repeats {first.name} ({first.id[:8]})")
    if not lines:
        return []
    rest = [f"- and {len(lines) - REPEATS} more"] if len(lines) > REPEATS else []
    return [
        "Done before with the same command, parameters and seed; a repeat shows nothing new:\n"
        + "\n".join([*lines[:REPEATS], *rest])
    ]
