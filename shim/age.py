"""How old an answer is: from when what it tells was read."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.flows.store.seen import Seen

AS_OF = "X-Wildloop-As-Of"


class AgeHeader:
    """ASGI middleware: answers from the live picture bear the time that they are of."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the header to its answer."""

        async def dated(message: Message) -> None:
            seen: Seen | None = scope.get("state", {}).get("seen")
            if message["type"] == "http.response.start" and seen and seen.as_of is not None:
                MutableHeaders(scope=message)[AS_OF] = f"{seen.as_of:.3f}"
            await send(message)

        await self.app(scope, receive, dated if scope["type"] == "http" else send)
