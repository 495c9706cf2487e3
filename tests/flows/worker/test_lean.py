"""What the worker leaves out exists in this version of Prefect, and comes back."""

from prefect import results
from prefect.settings import get_current_settings

from flows.worker.lean import lean_engine


def test_result_storage_is_not_asked_for_and_heartbeats_are_off() -> None:
    asked = results._read_server_default_result_storage_block_id
    before = get_current_settings().flows.heartbeat_frequency
    assert before is not None, "Prefect sends heartbeats by default"
    with lean_engine():
        assert results._read_server_default_result_storage_block_id() is None
        storage = results.ResultStore().update_for_flow(_a_flow(), _sync=True).result_storage
        assert storage is not None
        assert get_current_settings().flows.heartbeat_frequency is None
    assert results._read_server_default_result_storage_block_id is asked
    assert get_current_settings().flows.heartbeat_frequency == before


def _a_flow():  # type: ignore[no-untyped-def]
    from prefect import flow

    @flow
    def nothing() -> None:
        return None

    return nothing
