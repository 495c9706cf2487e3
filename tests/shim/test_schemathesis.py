"""Random requests, made from the schema, against a whole `wildloop up`: all checks.

A third of the operations; by hand: `SCHEMATHESIS_EXAMPLES=200 pytest -m api_fuzz` for all.
"""

import os
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.transport import Response
from schemathesis.pytest.lazy import get_all_tests

from tests.support.openapi import openapi
from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import Server, start_server
from wildloop.shim.openapi import operations

BY_HAND = "SCHEMATHESIS_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
# Random ones name nothing that is there.
UNKNOWN_IN_BODIES = {"session_id", "chat_session_id", "sweep_id", "workdir", "project"}
# A text longer than its field may be is sometimes longer than a body may be.
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
CHECK_SETTINGS = {"negative_data_rejection": {"expected-statuses": REFUSALS}}
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


@pytest.fixture(scope="module")
def ids(fuzzed: Server) -> dict[str, str]:
    """What is there: with random ids alone, hardly a request would get beyond 404."""
    run = fuzzed.post("/runs", {"name": "there", "command": "true"})["id"]
    skill = {"id": "there", "description": "There.", "template": "Goal: {{ goal }}"}
    return {
        "run_id": run,
        "sweep_id": fuzzed.post("/sweeps/wild", {"name": "there", "goal": "g"})["id"],
        "alert_id": fuzzed.post(f"/runs/{run}/alerts", {"message": "there"})["id"],
        "memory_id": fuzzed.post("/memories", {"content": "there"})["id"],
        "session_id": fuzzed.post("/wild/v2/start", {"goal": "g", "agent": "command:true"})[
            "session_id"
        ],
        "skill_id": fuzzed.post("/prompt-skills", skill)["id"],
    }


# Streams end with their run, and no run ends here.
OPERATIONS = [
    f"{method.upper()} {path}"
    for method, path, _ in operations(openapi())
    if not path.endswith("/stream")
]


@pytest.fixture(scope="module")
def schema() -> Any:
    load_all_checks()
    config = schemathesis.Config.from_dict({"checks": CHECK_SETTINGS})
    return schemathesis.openapi.from_dict(deepcopy(openapi()), config=config)


@pytest.fixture(
    params=[
        pytest.param(one, marks=[pytest.mark.long] * (number % 3 > 0))
        for number, one in enumerate(OPERATIONS)
    ]
)
def operation(request: pytest.FixtureRequest, schema: Any) -> Any:
    """The schema of one operation: its cases are made when it is its turn, not by each worker."""
    return schema.include(name=request.param)


@pytest.mark.api_fuzz
@pytest.mark.e2e
@pytest.mark.timeout(3600)
def test_no_request_breaks_the_api(operation: Any, fuzzed: Server, ids: dict[str, str]) -> None:
    # `schema.parametrize()` makes all cases while pytest collects, in each worker.
    made = get_all_tests(schema=operation, test_func=breaks_nothing, settings=None, given_kwargs={})
    (one,) = made
    _, requests = one.ok()
    requests(fuzzed=fuzzed, ids=ids)


@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    # The same requests each time, where nobody looks: what is new is found by hand.
    derandomize=not BY_HAND,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
def breaks_nothing(case: schemathesis.Case, fuzzed: Server, ids: dict[str, str]) -> None:
    if case.meta.generation.mode.is_positive:
        aim(case, ids)
    headers = {"X-Auth-Token": fuzzed.token}
    response = case.call(base_url=fuzzed.url, headers=headers, timeout=patient(120))
    beyond = ["positive_data_acceptance"] if is_beyond_schema(response) else []
    case.validate_response(
        response,
        headers=headers,
        transport_kwargs={"base_url": fuzzed.url, "timeout": 120},
        excluded_checks=CHECKS.get_by_names(beyond),
    )


def aim(case: schemathesis.Case, ids: dict[str, str]) -> None:
    """Point a request that the schema allows at what is there, so that it does something."""
    case.path_parameters = {
        name: ids.get(name, value) for name, value in case.path_parameters.items()
    }
    if not isinstance(case.body, dict):
        return
    for name in UNKNOWN_IN_BODIES & {*case.body}:
        case.body[name] = ids.get(name)
    if isinstance(case.body.get("max_runs"), int):
        # A grid of a thousand runs takes minutes, and tells no more.
        case.body["max_runs"] = min(case.body["max_runs"], 3)


def is_beyond_schema(response: Response) -> bool:
    """Whether a value was refused for what no schema can say.

    Either by the state of things (a folder, another field, a template), which is told as a text,
    or by a rule of ours on a field (`Value error`): not by type, length, pattern or range.
    """
    if response.status_code != 422:
        return False
    detail = response.json()["detail"]
    return isinstance(detail, str) or all(
        fault["msg"].startswith("Value error") for fault in detail
    )


@pytest.mark.api_fuzz
@pytest.mark.e2e
def test_server_still_works_afterwards(fuzzed: Server) -> None:
    assert httpx.get(f"{fuzzed.url}/health", timeout=patient(30)).status_code == 200
    assert fuzzed.get("/wild/v2/system-health")["running"] == 0
    assert "Traceback" not in (fuzzed.home / "logs" / "shim.log").read_text()
