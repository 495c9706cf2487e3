"""Sweeps, by HTTP, on a real server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.e2e


def create(server: Server, **fields: Any) -> dict[str, Any]:
    """Create a sweep of two learning rates."""
    body = {"name": "heights", "base_command": "echo", "parameters": {"lr": [0.1, 0.2]}}
    return dict(server.post("/sweeps", body | fields))


def completed(server: Server, sweep_id: str) -> dict[str, Any]:
    """The sweep, once it is completed."""

    def look() -> dict[str, Any] | None:
        sweep = dict(server.get(f"/sweeps/{sweep_id}"))
        return sweep if sweep["status"] == "completed" else None

    return server.wait_for(look, f"sweep {sweep_id} completes")


def runs_of(server: Server, sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """The sweep's runs, in its order."""
    return [server.get(f"/runs/{id}") for id in sweep["run_ids"]]


def test_started_grid_runs_every_combination_and_knows_the_best(server: Server) -> None:
    sweep = create(
        server,
        base_command='f() { echo "score: ${1#--a=}"; }; f',
        parameters={"a": [3, 9, 5], "seed": [1]},
        auto_start=True,
    )
    assert (sweep["status"], sweep["progress"]["total"], sweep["is_wild"]) == ("running", 3, False)
    done = completed(server, sweep["id"])
    assert done["progress"]["completed"] == 3
    assert (done["best"]["metric"], done["best"]["value"]) == ("score", 9)
    assert done["best"]["run_id"] == done["run_ids"][1]
    assert [run["parameters"]["a"] for run in runs_of(server, done)] == [3, 9, 5]
    assert {run["seed"] for run in runs_of(server, done)} == {1}
    listed = {one["id"]: one for one in server.get("/sweeps", limit=200)}
    assert listed[sweep["id"]] == done


def test_pending_sweep_waits_until_it_is_started(server: Server) -> None:
    sweep = create(server)
    assert (sweep["status"], sweep["progress"]["ready"]) == ("pending", 2)
    started = server.post(f"/sweeps/{sweep['id']}/start")
    assert started["status"] in ("running", "completed")
    assert started["run_ids"] == sweep["run_ids"]
    completed(server, sweep["id"])
    again = server.http.post(f"/sweeps/{sweep['id']}/start")
    assert again.status_code == 409
    assert "'completed'" in again.json()["detail"] and "'running'" in again.json()["detail"]


def test_draft_has_no_runs_and_its_grid_can_be_changed_until_it_is_started(server: Server) -> None:
    draft = create(server, status="draft")
    assert (draft["status"], draft["run_ids"]) == ("draft", [])
    refused = server.http.post(f"/sweeps/{draft['id']}/runs", json={"command": "true"})
    assert refused.status_code == 409 and "draft" in refused.json()["detail"]
    changed = server.http.put(
        f"/sweeps/{draft['id']}", json={"parameters": {"lr": [1, 2, 3, 4]}, "max_runs": 3}
    ).json()
    assert (changed["status"], changed["skipped"]) == ("draft", 1)
    started = server.post(f"/sweeps/{draft['id']}/start")
    assert [run["parameters"]["lr"] for run in runs_of(server, started)] == [1, 2, 3]
    late = server.http.put(f"/sweeps/{draft['id']}", json={"max_runs": 9, "name": "late"})
    assert late.status_code == 409 and "max_runs" in late.json()["detail"]
    renamed = server.http.put(f"/sweeps/{draft['id']}", json={"name": "late", "goal": "g"}).json()
    assert (renamed["name"], renamed["goal"]) == ("late", "g")


def test_cut_at_max_runs_is_said(server: Server) -> None:
    sweep = create(server, parameters={"a": [1, 2, 3], "b": [1, 2, 3]}, max_runs=4)
    assert (len(sweep["run_ids"]), sweep["skipped"]) == (4, 5)
    assert "9 combinations" in sweep["notes"][0] and "max_runs" in sweep["notes"][0]


def test_started_twice_at_once_makes_no_run_twice(server: Server) -> None:
    draft = create(server, status="draft", parameters={"a": [1, 2, 3]})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: server.http.post(f"/sweeps/{draft['id']}/start"), range(4)))
    done = completed(server, draft["id"])
    assert [run["parameters"]["a"] for run in runs_of(server, done)] == [1, 2, 3]


def test_cancelled_sweep_stops_what_has_not_ended(server: Server) -> None:
    sweep = create(server, base_command="sleep 300 #'", parameters={}, auto_start=True)
    server.reaches(sweep["run_ids"][0], "running")
    answer = server.http.put(f"/sweeps/{sweep['id']}", json={"status": "canceled"})
    assert answer.is_success, answer.text
    assert server.ended(sweep["run_ids"][0])["status"] == "stopped"
    assert server.get(f"/sweeps/{sweep['id']}")["status"] == "canceled"
    again = server.http.put(f"/sweeps/{sweep['id']}", json={"status": "pending"})
    assert again.status_code == 409
    assert "'canceled'" in again.json()["detail"] and "'pending'" in again.json()["detail"]


def test_run_is_added_with_the_sweeps_command_or_its_own(server: Server) -> None:
    sweep = create(server, base_command="echo base", parameters={}, chat_session_id="chat-7")
    path = f"/sweeps/{sweep['id']}/runs"
    based = server.post(path, {"parameters": {"lr": 0.5}})
    own = server.post(path, {"name": "own", "command": "echo own", "gpus": 0, "auto_start": True})
    assert (based["command"], based["status"]) == ("echo base --lr=0.5", "ready")
    assert (own["name"], own["command"], own["gpus_requested"]) == ("own", "echo own", 0)
    assert {based["chat_session_id"], own["chat_session_id"]} == {"chat-7"}
    found = server.get(f"/sweeps/{sweep['id']}")["run_ids"]
    assert set(found) == {*sweep["run_ids"], based["id"], own["id"]}
    wild = server.post("/sweeps/wild", {"name": "w", "goal": "g"})
    bare = server.http.post(f"/sweeps/{wild['id']}/runs", json={"parameters": {"a": 1}})
    assert bare.status_code == 422 and bare.json()["detail"].startswith("command:")
    other = server.http.post(path, json={"command": "true", "sweep_id": wild["id"]})
    assert other.status_code == 422 and "sweep_id" in other.json()["detail"]


def test_ended_run_is_put_into_a_sweep_and_out_again(server: Server) -> None:
    sweep = server.post("/sweeps/wild", {"name": "w", "goal": "g"})["id"]
    run = server.ended(server.run("echo 'score: 2'")["id"])
    server.get("/sweeps", limit=1)
    added = server.post(f"/runs/{run['id']}/add-to-sweep", {"sweep_id": sweep})
    assert (added["sweep_id"], added["status"]) == (sweep, "finished")
    assert server.get(f"/sweeps/{sweep}")["best"]["value"] == 2
    listed = {one["id"]: one["run_ids"] for one in server.get("/sweeps", limit=200)}
    assert listed[sweep] == [run["id"]]
    assert [one["id"] for one in server.get("/runs", sweep_id=sweep)] == [run["id"]]
    out = server.http.put(f"/runs/{run['id']}", json={"sweep_id": None}).json()
    assert out["sweep_id"] is None
    assert server.get("/runs", sweep_id=sweep) == []
    listed = {one["id"]: one["run_ids"] for one in server.get("/sweeps", limit=200)}
    assert listed[sweep] == []
    renamed = server.http.put(f"/runs/{run['id']}", json={"name": "still out"}).json()
    assert (renamed["name"], renamed["sweep_id"]) == ("still out", None)


@pytest.mark.parametrize("sweep_id", ["nope", "00000000-0000-0000-0000-000000000000", "%25"])
def test_unknown_sweep_is_404_everywhere(server: Server, sweep_id: str) -> None:
    run = server.post("/runs", {"name": "x", "command": "true"})["id"]
    told = unquote(sweep_id)
    answers = [
        server.http.post(f"/runs/{run}/add-to-sweep", json={"sweep_id": told}),
        server.http.put(f"/runs/{run}", json={"sweep_id": told}),
        server.http.post("/runs", json={"name": "x", "command": "true", "sweep_id": told}),
        server.http.post(f"/sweeps/{sweep_id}/start"),
        server.http.post(f"/sweeps/{sweep_id}/runs", json={"command": "true"}),
        server.http.put(f"/sweeps/{sweep_id}", json={"name": "x"}),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert server.get(f"/runs/{run}")["sweep_id"] is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"parameters": {"lr": []}}, "lr"),
        ({"parameters": {"a b": [1]}}, "a b"),
        ({"base_command": "x &"}, "base_command"),
        ({"workdir": "/no/such"}, "/no/such"),
        ({"status": "completed"}, "completed"),
        ({"gpus": 3, "auto_start": True}, "gpus"),
    ],
)
def test_sweep_that_cannot_be_run_is_refused_by_field(
    server: Server, body: dict[str, Any], named: str
) -> None:
    whole = {"name": "bad", "base_command": "echo", "parameters": {"lr": [1]}} | body
    answer = server.http.post("/sweeps", json=whole)
    assert answer.status_code == 422
    assert named in answer.text


def test_request_sent_again_with_its_key_creates_nothing_anew(server: Server) -> None:
    wild = server.post("/sweeps/wild", {"name": "w", "goal": "g"})["id"]
    run = server.post("/runs", {"name": "x", "command": "true"})["id"]
    headers = {"Idempotency-Key": f"once-{wild}"}
    for path, body in (
        ("/sweeps", {"name": "k", "base_command": "echo", "parameters": {"a": [1, 2]}}),
        ("/sweeps/wild", {"name": "k", "goal": "g"}),
        (f"/sweeps/{wild}/runs", {"name": "k", "command": "true"}),
        (f"/runs/{run}/rerun", {"auto_start": False}),
        ("/runs", {"name": "k", "command": "true"}),
    ):
        with ThreadPoolExecutor(3) as pool:
            answers = pool.map(
                lambda _, path=path, body=body: server.http.post(path, json=body, headers=headers),
                range(3),
            )
            found = [answer.json() for answer in answers]
        assert len({one["id"] for one in found}) == 1, path
        if path == "/sweeps":
            assert len(server.get(f"/sweeps/{found[0]['id']}")["run_ids"]) == 2
    assert len(server.get(f"/sweeps/{wild}")["run_ids"]) == 1


def test_runs_that_a_crash_kept_from_being_made_are_made_up_for(server: Server) -> None:
    body = {"name": "crashed", "base_command": "echo", "parameters": {"a": [1, 2, 3]}}
    headers = {"Idempotency-Key": "a crash in the middle"}
    first = server.http.post("/sweeps", json=body, headers=headers).json()
    for lost in first["run_ids"][1:]:
        assert server.prefect.delete(f"/flow_runs/{lost}").is_success
    # A crash leaves no API that had known better; this one learns of it within a second.
    server.wait_for(
        lambda: len(server.get("/runs", sweep_id=first["id"])) == 1, "the loss is known"
    )
    again = server.http.post("/sweeps", json=body, headers=headers).json()
    assert (again["id"], again["run_ids"][0]) == (first["id"], first["run_ids"][0])
    assert [run["parameters"]["a"] for run in runs_of(server, again)] == [1, 2, 3]
    assert server.get(f"/sweeps/{first['id']}")["progress"]["ready"] == 3


def test_a_stop_ends_the_creation_of_the_grid_too(server: Server) -> None:
    grid = {"name": "large", "base_command": "true", "parameters": {"a": list(range(400))}}
    body = grid | {"max_runs": 400, "gpus": 0, "goal": str(uuid4())}
    key = str(uuid4())
    with ThreadPoolExecutor() as pool:
        made = pool.submit(server.http.post, "/sweeps", json=body, headers={"Idempotency-Key": key})

        def begun() -> dict[str, Any] | None:
            known = [one for one in server.get("/sweeps") if one["goal"] == body["goal"]]
            return dict(known[0]) if known and known[0]["progress"]["total"] else None

        sweep = server.wait_for(begun, "the first runs of the grid")
        stopped = server.http.put(f"/sweeps/{sweep['id']}", json={"status": "canceled"})
        assert stopped.is_success, stopped.text
        assert made.result().is_success
    found = server.get(f"/sweeps/{sweep['id']}")
    assert found["status"] == "canceled"
    assert found["progress"]["total"] < 400, "all were made before the stop: nothing was tried"
    assert found["progress"]["total"] == found["progress"]["canceled"]
