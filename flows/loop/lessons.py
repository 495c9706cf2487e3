"""What a session leaves to later ones: what its account shows, and its agent's opinions as such."""

from collections.abc import Sequence

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.claims import bears_out, instead
from wildloop.flows.evidence.view import lessons
from wildloop.flows.loop.work import Work
from wildloop.flows.models.memory import Claim
from wildloop.flows.protocol.tags import Memory
from wildloop.flows.session.evidence import account_for
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.sweeps import sweep_texts


async def keep_lessons(work: Work, told: Sequence[Memory]) -> None:
    """Keep what a reflection has said; only what the account shows as well is more than opinion."""
    if told:
        position = work.position
        shown = lessons(await _account(work))
        await work.stores.memories.add(told, position.workdir, position.id, shown)


async def keep_findings(work: Work) -> None:
    """Keep what the session has established, and mark what it contradicts of earlier ones."""
    position, memories = work.position, work.stores.memories
    account = await _account(work)
    shown = lessons(account)

    def find(claim: Claim) -> str | None:
        return instead(account, claim) if bears_out(account, claim) is False else None

    found = [Memory(tag="lesson", text=text) for text in shown]
    await memories.add(found, position.workdir, position.id, shown)
    await memories.contradict(position.workdir, position.id, find)


async def _account(work: Work) -> Account:
    position = work.position
    runs = await work.stores.runs.all(chat_session_id=position.id)
    texts = await sweep_texts(work.client, runs)
    own = await own_runs(work.stores.runs, position.id, position.record.contract)
    return account_for(position, work.project, runs, texts, own)
