"""What the user says is for all researchers: each hears it once, then it is forgotten."""

from collections.abc import Sequence

from wildloop.flows.models.session_record import Desk
from wildloop.flows.store.said import STEER_KEY, Said, Told
from wildloop.flows.store.sessions import SessionStore


class HeardBy(Said):
    """What the user has said, as one researcher knows it: new until it has heard of it.

    Args:
        of: what is said to the session.
        own: the researcher.
        every: all researchers.
    """

    def __init__(self, of: Said, own: Desk, every: Sequence[Desk]) -> None:
        super().__init__(of.client)
        self._own, self._every = own, every

    async def steers(self, session_id: str, max_age_s: float = 0.0) -> list[Told]:
        """What this researcher has not been told yet."""
        found = await super().steers(session_id, max_age_s)
        return [one for one in found if one[0] not in self._own.told_steers]

    async def forget(self, session_id: str, keys: Sequence[str]) -> None:
        """Note what it has been told; what all have heard is taken away."""
        mine = [key for key in keys if key.startswith(STEER_KEY)]
        self._own.told_steers = [*self._own.told_steers, *mine]
        heard = [key for key in mine if all(key in one.told_steers for one in self._every)]
        others = [key for key in keys if key not in mine]
        await super().forget(session_id, [*heard, *others])
        for one in (self._own, *self._every):
            one.told_steers = [key for key in one.told_steers if key not in heard]


def heard_by(of: SessionStore, own: Desk, every: Sequence[Desk]) -> SessionStore:
    """The sessions as one researcher knows them (see `HeardBy`)."""
    found = SessionStore(of.client, of.settings, of.deployment_ids, of.seen)
    found.said = HeardBy(of.said, own, every)
    return found
