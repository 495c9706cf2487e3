"""The flow `digest`: sends the digest of the night to the channels, on a schedule or by hand."""

from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run as runtime
from prefect.states import Completed, Failed
from pydantic import Field

from wildloop.flows.models.digest import Digest
from wildloop.flows.news.channels import every_channel, send_to_all
from wildloop.flows.news.collect import collect
from wildloop.flows.store import artifacts

DIGEST = "digest"
DIGEST_TAG = f"wildloop:{DIGEST}"
HOURS = 24.0
KEY = "digest"

Hours = Annotated[float, Field(gt=0, le=24 * 365, description="How far it looks back.")]
To = Annotated[
    list[str] | None, Field(description="Names of channels (`wildloop notify list`); else all.")
]


@flow(name=DIGEST, persist_result=False)
async def digest(hours: Hours = HOURS, to: To = None) -> State[Any]:
    """Tell what the sessions of the night have come to, in the Prefect UI and to the channels."""
    async with get_client() as client:
        found = await collect(client, hours)
        await artifacts.write(
            client,
            KEY,
            text=f"# {found.title}\n\n{found.text}",
            description=found.title,
            flow_run_id=UUID(str(runtime.id)),
        )
        names = [one.name for one in await every_channel(client)] if to is None else to
        faults = await send_to_all(client, names, found.title, found.text)
    if faults:
        return Failed(message=f"not sent to {'; '.join(faults)}")
    return Completed(message=sent_text(found, names))


def sent_text(found: Digest, names: list[str]) -> str:
    """What was sent, and to whom."""
    to = ", ".join(names) if names else "no channel: `wildloop notify add` makes one"
    return f"{found.title}; sent to {to}"
