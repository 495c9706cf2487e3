"""A session that no host takes says why, until one does."""

from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Running, Scheduled

from wildloop.flows.store.base import WAITS_LABEL
from wildloop.flows.store.session_mapping import waits_for


def test_it_is_told_while_the_session_waits_and_no_longer() -> None:
    session = FlowRun(id=uuid4(), flow_id=uuid4(), labels={WAITS_LABEL: "nobody has its folder"})
    assert waits_for(session.model_copy(update={"state": Scheduled()})) == "nobody has its folder"
    assert waits_for(session.model_copy(update={"state": Running()})) == ""
    bare = FlowRun(id=uuid4(), flow_id=uuid4(), state=Scheduled())
    assert waits_for(bare) == ""
