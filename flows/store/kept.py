"""What a session has kept and discarded, read from its record."""

import asyncio

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.keep.ledger import row_of
from wildloop.flows.models.keep import ResultsView
from wildloop.flows.store.base import RESEARCH_LOOP
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.sessions import SessionStore


async def read_results(sessions: SessionStore, session_id: str) -> ResultsView:
    """The rows of a session's results.tsv.

    Raises:
        NotFound: there is no such session.
    """
    flow_run, record = await asyncio.gather(
        sessions.read_flow_run("session", session_id, RESEARCH_LOOP), sessions.record(session_id)
    )
    spec, state = spec_of(flow_run), record.keep
    return ResultsView(
        session_id=session_id,
        keep=spec.keep,
        alpha=spec.keep_alpha,
        metric=state.metric,
        direction=state.direction,
        best=state.best,
        rows=[row_of(verdict) for verdict in state.verdicts],
        results_path=str(SessionPaths.of(spec.workdir, session_id).results),
    )
