"""A call of the agent: its own processes are looked at, and it is kept on its branch."""

from collections.abc import Mapping, Sequence

from prefect.runtime import flow_run as runtime

from wildloop.flows.loop.branch import keep_on_branch
from wildloop.flows.loop.direct_runs import watched
from wildloop.flows.loop.work import Work
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.prompt.kind import Kind
from wildloop.flows.turn.turn import Turn, take_turn


async def agent_turn(
    work: Work,
    kind: Kind,
    index: int,
    turn: int = 1,
    faults: Sequence[str] = (),
    sections: Mapping[str, str] | None = None,
) -> Turn:
    """Call the agent once, and note which scripts its processes carry out.

    What it did off the session's branch is brought back before anybody reads its files.

    Raises:
        StopRequested: the session is to end or to pause.
    """
    label = IterationRecord(index=index, turn=turn, kind=kind, started_at=0).label
    async with watched(work.position.paths, label) as seen:
        sources = work.prompt_sources()
        call = await take_turn(work.caller(), sources, kind, index, turn, faults, sections)
    call.processes = seen
    call.record.flow_run_id = str(runtime.id) if runtime.id else None
    await keep_on_branch(work.position, call.record)
    return call
