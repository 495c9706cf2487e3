"""The hold-out at a session's end: asked for what is confirmed, once the agent has had its say."""

from prefect.logging import get_run_logger

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.launchers import hiding
from wildloop.flows.files.sealed import SealedFolder, sealed_home
from wildloop.flows.loop.work import Work
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.sealed import SealedReport
from wildloop.flows.sealed.ask import Holdout, ask
from wildloop.flows.session.evidence import account_for
from wildloop.flows.store.own_runs import own_runs

NOTHING_SEALED = "nothing is sealed of this project: `wildloop holdout add PATH`"
NOTHING_CONFIRMED = "the hold-out was not asked: nothing is confirmed"


async def seal(work: Work) -> None:
    """Ask the hold-out for baseline and best, where both are confirmed; note what is released."""
    position, contract = work.position, work.position.record.contract
    if contract is None or contract.holdout is None or contract.metric is None:
        return
    folder = SealedFolder(work.settings.home, position.workdir)
    if not folder.data.is_dir() or not folder.files():
        position.record.sealed = SealedReport(fault=NOTHING_SEALED)
        await position.save()
        return
    runs = await work.stores.runs.all(chat_session_id=position.id)
    own = await own_runs(work.stores.runs, position.id, contract)
    account = account_for(position, work.project, runs, own=own)
    roles = {"baseline": account.baseline, "best": account.best}
    confirmed = {
        role: one for role, one in roles.items() if one is not None and one.level is Level.CONFIRMED
    }
    if confirmed.get("best") is confirmed.get("baseline"):
        confirmed.pop("best", None)
    if not confirmed:
        position.record.sealed = SealedReport(fault=NOTHING_CONFIRMED)
        await position.save()
        return
    seconds = work.project.holdout.timeout_seconds if work.project and work.project.holdout else 1e4
    holdout = Holdout(
        folder,
        contract.holdout,
        seconds,
        contract.metric,
        contract.direction,
        fault=await why_open(work) or "",
    )
    found = await work.control.guard(ask(holdout, confirmed))
    position.record.sealed = found
    for line in found.lines(contract.metric):
        get_run_logger().info("%s", line)
    await position.save()


async def why_open(work: Work) -> str | None:
    """Why agent or runs could have read the sealed data; None where they could not."""
    home = sealed_home(work.settings.home)
    if (fault := hiding.why_not(home)) is not None:
        return f"runs are not kept from it: {fault}"
    if not work.control.launchers.is_local:
        return "runs are not kept from it: they are launched by Slurm"
    agent = work.agent
    if not isinstance(agent, ProcessAgent):
        return "the agent is not kept from it: it is no process of its own"
    try:
        if await agent.is_isolated(work.position.workdir):
            return None
    except AgentUnavailable as error:
        return f"the agent is not kept from it: {error}"
    return "the agent is not kept from it: it runs without a sandbox ([agent] sandbox)"
