"""The token in bodies: refused in what comes, masked in what goes."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.shim.auth import AGENT_TOKEN

MASK = b"*"
# What asks for the token: it is compared there, and kept nowhere.
LOGIN = "/page/login"
DETAIL = (
    "body: it holds Wildloop's token, which would be stored and shown: name the variable "
    "$WILDLOOP_AUTH_TOKEN instead, and give the token in the header X-Auth-Token only"
)


class TokenLeaks:
    """ASGI middleware: refuses bodies that hold the token, and masks it in answers.

    A run's log may hold it, since a run prints what it likes. The mask is as long as the token,
    so that lengths and offsets stay; in streams no more is held back than may be its beginning.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 422."""
        if scope["type"] != "http" or scope["path"] == LOGIN:
            await self.app(scope, receive, send)
            return
        # An agent's own too.
        words = [word.encode() for word in (self._token, scope.get(AGENT_TOKEN)) if word]
        came, goes = [_Seam(word) for word in words], [_Seam(word) for word in words]

        async def checked() -> Message:
            message = await receive()
            body = message.get("body", b"") if message["type"] == "http.request" else b""
            held = [seam.holds(body) for seam in came]
            if any(held):
                raise HTTPException(422, DETAIL)
            return message

        async def masked(message: Message) -> None:
            if message["type"] == "http.response.body":
                is_last = not message.get("more_body", False)
                body = message.get("body", b"")
                for seam in goes:
                    body = seam.masked(body, is_last)
                message = {**message, "body": body}
            await send(message)

        await self.app(scope, checked, masked)


class _Seam:
    """Finds a word in a stream, also across the pieces of it."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._held = b""

    def holds(self, piece: bytes) -> bool:
        """Whether the word has ended in this piece."""
        whole = self._held + piece
        self._held = whole[max(0, len(whole) - len(self._word) + 1) :]
        return self._word in whole

    def masked(self, piece: bytes, is_last: bool) -> bytes:
        """The piece with asterisks for the word, less an end in which the word may begin."""
        whole = (self._held + piece).replace(self._word, MASK * len(self._word))
        keep = 0 if is_last else self._beginning(whole)
        self._held = whole[len(whole) - keep :]
        return whole[: len(whole) - keep]

    def _beginning(self, text: bytes) -> int:
        longest = min(len(text), len(self._word) - 1)
        return next((n for n in range(longest, 0, -1) if text.endswith(self._word[:n])), 0)
