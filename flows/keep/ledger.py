"""results.tsv: a row for each iteration that was measured or changed code."""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.keep.decide import estimate_in
from wildloop.flows.models.keep import ResultRow, Verdict
from wildloop.flows.text.redaction import redact

DESCRIPTION_LENGTH = 300
COLUMNS = tuple(ResultRow.model_fields)


def row_of(verdict: Verdict) -> ResultRow:
    """The row of a decision."""
    shown, best, test = verdict.candidate, verdict.against, verdict.comparison
    ours = estimate_in(shown) if shown is not None else None
    theirs = estimate_in(best) if best is not None else None
    return ResultRow(
        commit=(verdict.commit or "")[:12],
        metric=ours.mean if ours is not None else None,
        memory=shown.memory_mb if shown is not None else None,
        status=verdict.status,
        description=plain(verdict.description),
        iteration=verdict.iteration,
        n=ours.n if ours is not None else 0,
        sd=ours.sd if ours is not None else None,
        best_mean=theirs.mean if theirs is not None else None,
        best_sd=theirs.sd if theirs is not None else None,
        best_n=theirs.n if theirs is not None else None,
        gain=test.gain if test is not None else None,
        p=test.p if test is not None else None,
        limit=test.limit if test is not None else None,
        test=test.test if test is not None else "",
        seeds=plain(",".join(shown.seeds)) if shown is not None else "",
        configuration=plain(shown.configuration) if shown is not None else "",
        level=shown.level.value if shown is not None else "",
        reverted_by=(verdict.reverted_by or "")[:12],
        tag=verdict.tag or "",
        why=plain(verdict.why),
        warnings=plain("; ".join(verdict.warnings)),
    )


def plain(text: str) -> str:
    """Text for one cell: no tabs, line breaks or other control characters, at most 300 long."""
    words = " ".join("".join(c if c.isprintable() else " " for c in redact(text)).split())
    return words if len(words) <= DESCRIPTION_LENGTH else words[: DESCRIPTION_LENGTH - 1] + "…"


def ledger_text(verdicts: Sequence[Verdict]) -> str:
    """The whole file: a header, then a row each; numbers with six digits, nothing for none."""
    lines = ["\t".join(COLUMNS)]
    for verdict in verdicts:
        cells = row_of(verdict).model_dump(mode="json")
        lines.append("\t".join(_cell(cells[name]) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def write_ledger(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Bring the file up to the decisions, by rename: a reader sees all of a row or nothing.

    It is written anew from the session's record each time, so that no crash leaves a row twice,
    or half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tsv.tmp")
    with temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(ledger_text(verdicts))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def put_back(path: Path, verdicts: Sequence[Verdict], since: float) -> bool:
    """Make the file what the decisions say again, where somebody else has written to it.

    Args:
        path: of the ledger; where nothing is decided, none belongs there.
        verdicts: those that were carried out.
        since: Unix seconds. What was written before is left: another version may have done it.

    Returns:
        Whether there was anything to put back.
    """
    wanted = ledger_text(verdicts) if verdicts else None
    try:
        is_there, changed = True, path.lstat().st_ctime
        found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except FileNotFoundError:
        is_there, changed, found = False, since, ""
    if (found if is_there else None) == wanted or changed < since:
        return False
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if wanted is not None:
        write_ledger(path, verdicts)
    return True


def read_ledger(text: str) -> list[dict[str, str]]:
    """The rows of a ledger, by column."""
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
