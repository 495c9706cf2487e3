"""What was decided about a change is carried out: kept, merged or taken back, and told.

The decision is saved before anything is done about it, and each step can be done again: whoever
takes the session up after a crash carries out what was decided, once.
"""

from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.flows.git import merging, repository, restore
from wildloop.flows.git.history import tag_commit
from wildloop.flows.keep.ledger import write_ledger
from wildloop.flows.keep.texts import log_entry, refused
from wildloop.flows.loop.artifact import attach_verdict
from wildloop.flows.loop.work import Work
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.project import ProjectConfig
from wildloop.flows.session.position import Position
from wildloop.flows.session.tables import publish_ledger


async def note_verdict(work: Work, verdict: Verdict) -> None:
    """Save a decision with what it has made of the state, and carry it out."""
    work.position.record.keep.verdicts.append(verdict)
    await work.position.save()
    await _carry_out(work.position, verdict, work.project)


async def carry_out_left(work: Work) -> None:
    """Carry out what was decided before a crash."""
    for left in work.position.own_verdicts:
        if not left.applied:
            await _carry_out(work.position, left, work.project)


async def _carry_out(position: Position, verdict: Verdict, project: ProjectConfig | None) -> None:
    """Do what was decided; every step may be done again after a crash."""
    logger = get_run_logger()
    logger.info("%s: %s: %s", verdict.label, verdict.status.value, verdict.why)
    for warning in verdict.warnings:
        logger.warning("%s: %s", verdict.label, warning)
    try:
        if verdict.tag is not None and verdict.commit is not None:
            await tag_commit(position.workdir, verdict.tag, verdict.commit)
        if verdict.merged is not None and verdict.onto is not None:
            position.whole.tip = await merging.put_on_branch(
                position.main, verdict.onto, verdict.merged, _merged_message(position, verdict)
            )
        if verdict.status is not KeepStatus.KEEP and verdict.base and verdict.commit:
            # Whoever has gone on has begun with other code than this.
            is_gone = position.has_gone_on(verdict.iteration)
            back = None if is_gone else await _take_back(position, verdict, project)
            verdict.reverted_by = position.record.tip if is_gone else back
            for call in position.record.iterations:
                if call.index == verdict.iteration and verdict.reverted_by:
                    call.taken_back_at = verdict.decided_at
    except repository.GitError as error:
        verdict.warnings.append(refused(error))
        logger.error("%s: %s", verdict.label, refused(error))
    verdict.applied = True
    write_ledger(position.paths.results, _applied(position.record.keep))
    append_verdict(position.paths.log, verdict)
    if not position.has_gone_on(verdict.iteration):
        await _commit_ledger(position, verdict)
    # Before it is noted as carried out: what a crash leaves out here is made up for.
    await attach_verdict(position, verdict)
    await publish_ledger(position)
    await position.save()


def _merged_message(position: Position, verdict: Verdict) -> str:
    first = verdict.description.split("\n", 1)[0]
    return (
        f"wild: {verdict.label}: {first}\n\n{verdict.why}\n\nThe change: {verdict.tag} "
        f"({verdict.commit}), of researcher {position.researcher}\nSession: {position.id}"
    )


async def _commit_ledger(position: Position, verdict: Verdict) -> None:
    try:
        subject = f"wild: {verdict.label}: {verdict.status.value} in results.tsv"
        message = f"{subject}\n\n{verdict.why}\n\nSession: {position.id}"
        await repository.commit_all(position.workdir, message, allow_empty=False)
    except repository.GitError as error:
        get_run_logger().error("%s: the ledger was not committed: %s", verdict.label, error)


async def _take_back(
    position: Position, verdict: Verdict, project: ProjectConfig | None
) -> str | None:
    assert verdict.base is not None and verdict.commit is not None
    spared = project.keep.spare if project else []
    message = (
        f"wild: {verdict.label}: {verdict.status.value}: its change is taken back\n\n"
        f"{verdict.why}\n\nThe change: {verdict.tag} ({verdict.commit})\nSession: {position.id}"
    )
    made = await restore.take_back(position.workdir, verdict.base, verdict.commit, message, spared)
    return made or await restore.find_commit(position.workdir, verdict.commit, verdict.tag or "")


def _applied(state: KeepState) -> list[Verdict]:
    return [verdict for verdict in state.verdicts if verdict.applied]


def append_verdict(path: Path, verdict: Verdict) -> None:
    """Append a decision to iteration_log.md, once."""
    entry = log_entry(verdict)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if entry.split("\n", 1)[0] + "\n" in text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip("\n") + "\n\n" + entry, encoding="utf-8")
