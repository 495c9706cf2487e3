"""Random requests, made from the schema, against a whole `wildloop up`: all checks.

By hand: `SCHEMATHESIS_EXAMPLES=200 pytest -m api_fuzz`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import CHECKS, load_all_checks

from flows.settings import Settings
from shim.app import create_app
from tests.support.project import make_project
from tests.support.server import Server, start_server

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
# By the schema a folder is any text, yet one that is not there is 422; and where a shell has made
# "1" or true of a number, pydantic takes it.
NOT_OURS = ("positive_data_acceptance", "negative_data_rejection")
# Faults of single operations that are known: take a line out when it is mended.
OPEN_FAULTS: dict[str, tuple[str, ...]] = {}
QUEUES = ("loops", "runs", "cpu")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that starts no run and no session: random commands are not to be run."""
    folder = tmp_path_factory.mktemp("fuzz")
    running = start_server(folder / "home", make_project(folder / "project"), slots=1)
    for queue in QUEUES:
        answer = running.prefect.patch(
            f"/work_pools/wildloop/queues/{queue}", json={"is_paused": True}
        )
        assert answer.status_code == 204, answer.text
    yield running
    running.stop()


def load_schema() -> Any:
    load_all_checks()
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/"))
    loaded = schemathesis.openapi.from_dict(create_app(settings).openapi())
    # Streams end with their run, and no run ends here.
    return loaded.exclude(path_regex="/stream$")


schema = load_schema()


@pytest.mark.api_fuzz
@pytest.mark.e2e
@pytest.mark.timeout(3600)
@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
def test_no_request_breaks_the_api(case: schemathesis.Case, fuzzed: Server) -> None:
    if isinstance(case.body, dict) and isinstance(case.body.get("max_runs"), int):
        # A grid of a thousand runs takes minutes, and tells no more.
        case.body["max_runs"] = min(case.body["max_runs"], 3)
    name = f"{case.method} {case.path}"
    case.call_and_validate(
        base_url=fuzzed.url,
        headers={"X-Auth-Token": fuzzed.token},
        timeout=120,
        excluded_checks=CHECKS.get_by_names([*NOT_OURS, *OPEN_FAULTS.get(name, ())]),
    )


@pytest.mark.api_fuzz
@pytest.mark.e2e
def test_server_still_works_afterwards(fuzzed: Server) -> None:
    assert httpx.get(f"{fuzzed.url}/health").status_code == 200
    assert fuzzed.get("/wild/v2/system-health")["running"] == 0
    assert "Traceback" not in (fuzzed.home / "logs" / "shim.log").read_text()
