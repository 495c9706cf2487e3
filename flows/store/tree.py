"""A session's tree of changes, read from its record and its runs."""

from wildloop.flows.evidence import texts
from wildloop.flows.models.session import Session
from wildloop.flows.models.tree import TreeView
from wildloop.flows.store.account import session_account
from wildloop.flows.store.base import RESEARCH_LOOP
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.text.redaction import redact
from wildloop.flows.tree.nodes import tree_of


async def read_tree(sessions: SessionStore, runs: RunStore, session: Session) -> TreeView:
    """The changes of a session, each with its parent, its numbers and what became of it.

    Raises:
        NotFound: there is no such session.
    """
    id = session.session_id
    account, _ = await session_account(sessions, runs, session)
    record = await sessions.record(id)
    spec = spec_of(await sessions.read_flow_run("session", id, RESEARCH_LOOP))
    kept = record.keep if spec.keep == "better" else None
    metric = account.contract.metric
    return TreeView(
        session_id=id,
        keep=spec.keep,
        explore=spec.explore,
        metric=metric.name if metric else None,
        direction=account.direction,
        headline=redact(texts.headline(account)),
        nodes=tree_of(record.iterations, kept, account, record.base_commit),
    )
