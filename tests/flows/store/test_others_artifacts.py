"""What other people's flows write under keys like ours does not get in the way."""

from typing import Any
from uuid import uuid4

from prefect.client.schemas.objects import Artifact, ArtifactCollection

from wildloop.flows.store import artifacts

OURS = 'text\n<!-- wildloop {"id": "a"} -->'


class Server:
    """Keeps one artifact of ours under a prefix, and one by hand."""

    async def read_latest_artifacts(self, **_: object) -> list[Any]:
        return [
            ArtifactCollection(key="sweep-results", latest_id=uuid4(), data="| by | hand |"),
            ArtifactCollection(key="sweep-table", latest_id=uuid4(), data={"a": 1}),
            ArtifactCollection(key="sweep-a", latest_id=uuid4(), data=OURS),
        ]

    async def read_artifacts(self, **_: object) -> list[Any]:
        return [Artifact(key="sweep-a", data="by hand"), Artifact(key="sweep-a", data=OURS)]


async def test_only_ours_are_read_by_prefix_and_as_versions() -> None:
    server: Any = Server()
    assert list(await artifacts.latest_by_prefix(server, "sweep-", 10)) == ["sweep-a"]
    assert await artifacts.versions(server, "sweep-a") == ['{"id": "a"}']
    assert await artifacts.appended(server, "sweep-a", {}) == ['{"id": "a"}']
