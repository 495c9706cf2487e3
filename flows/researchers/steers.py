"""What the user says is for all researchers: each hears it once, then it is forgotten."""

from collections.abc import Sequence

from wildloop.flows.models.session_record import Desk
from wildloop.flows.store.sessions import STEER_KEY, SessionStore


class HeardBy(SessionStore):
    """The sessions as one researcher knows them: a steer is new until it has heard of it.

    Args:
        of: the sessions.
        own: the researcher.
        every: all researchers.
    """

    def __init__(self, of: SessionStore, own: Desk, every: Sequence[Desk]) -> None:
        super().__init__(of.client, of.settings, of.deployment_ids, of.seen)
        self._own, self._every = own, every

    async def steers(self, session_id: str) -> list[tuple[str, str, float]]:
        """What this researcher has not been told yet."""
        found = await super().steers(session_id)
        return [one for one in found if one[0] not in self._own.told_steers]

    async def forget_steers(self, session_id: str, keys: Sequence[str]) -> None:
        """Note what it has been told; what all have heard is taken away."""
        mine = [key for key in keys if key.startswith(STEER_KEY)]
        self._own.told_steers = [*self._own.told_steers, *mine]
        heard = [key for key in mine if all(key in one.told_steers for one in self._every)]
        others = [key for key in keys if key not in mine]
        await super().forget_steers(session_id, [*heard, *others])
        for one in (self._own, *self._every):
            one.told_steers = [key for key in one.told_steers if key not in heard]
