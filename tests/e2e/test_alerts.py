"""Alerts over HTTP, on a real server."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.server import Server

pytestmark = pytest.mark.e2e
NOBODY = "00000000-0000-0000-0000-000000000000"


def raised(server: Server, run: dict[str, Any], message: str, **fields: Any) -> dict[str, Any]:
    return dict(server.post(f"/runs/{run['id']}/alerts", {"message": message, **fields}))


def answered(server: Server, alert: dict[str, Any], choice: str) -> httpx.Response:
    return server.http.post(f"/alerts/{alert['id']}/respond", json={"choice": choice})


def ready(server: Server, **fields: Any) -> dict[str, Any]:
    return server.run("true", auto_start=False, **fields)


def test_custom_alert_is_open_with_default_choices(server: Server) -> None:
    run = ready(server)
    alert = raised(server, run, "accuracy fell to zero")
    assert (alert["run_id"], alert["session_id"]) == (run["id"], None)
    assert (alert["kind"], alert["severity"]) == ("custom", "warning")
    assert alert["message"] == "accuracy fell to zero"
    assert alert["choices"] == ["continue", "stop"]
    assert (alert["status"], alert["choice"], alert["resolved_at"]) == ("open", None, None)
    assert server.get(f"/alerts/{alert['id']}") == alert
    assert server.get(f"/runs/{run['id']}/alerts") == [alert]


def test_the_same_open_message_is_one_alert(server: Server) -> None:
    run = ready(server)
    first, again = raised(server, run, "slow"), raised(server, run, "slow ")
    assert again["id"] == first["id"]
    assert raised(server, run, "slower")["id"] != first["id"]
    assert answered(server, first, "continue").is_success
    assert raised(server, run, "slow")["id"] != first["id"]


def test_alerts_are_listed_by_status_newest_first(server: Server) -> None:
    run = ready(server)
    alerts = [raised(server, run, f"number {n}") for n in range(3)]
    assert answered(server, alerts[1], "continue").is_success
    ids = [alert["id"] for alert in alerts]

    def listed(**wanted: Any) -> list[str]:
        return [one["id"] for one in server.get("/alerts", **wanted) if one["id"] in ids]

    assert listed() == ids[::-1]
    assert listed(status="open") == [ids[2], ids[0]]
    assert listed(status="resolved") == [ids[1]]
    assert len(server.get("/alerts", limit=1)) == 1


def test_stop_ends_the_run(server: Server) -> None:
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    alert = raised(server, run, "it diverges")
    answer = answered(server, alert, "stop")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["choice"]) == ("resolved", "stop")
    assert body["resolved_at"] >= body["created_at"]
    assert server.ended(run["id"])["status"] == "stopped"


def test_stop_of_a_run_that_has_ended_says_so(server: Server) -> None:
    run = server.ended(server.run("true")["id"])
    body = answered(server, raised(server, run, "late"), "stop").json()
    assert (body["status"], body["effect"]) == ("resolved", "the run had ended")


def test_rerun_repeats_the_run_and_names_the_alert(server: Server) -> None:
    run = server.ended(server.run("echo again")["id"])
    alert = raised(server, run, "odd result", choices=["rerun", "continue"])
    body = answered(server, alert, "rerun").json()
    repeated = server.ended(body["rerun_id"])
    assert repeated["status"] == "finished"
    assert (repeated["parent_run_id"], repeated["origin_alert_id"]) == (run["id"], alert["id"])


def test_rerun_of_a_run_under_way_stops_it_first(server: Server) -> None:
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    body = answered(server, raised(server, run, "x", choices=["rerun", "no"]), "rerun").json()
    assert server.ended(run["id"])["status"] == "stopped"
    server.post(f"/runs/{body['rerun_id']}/stop")
    assert server.ended(body["rerun_id"])["status"] == "stopped"


def test_any_other_choice_is_recorded_and_leaves_the_run_alone(server: Server) -> None:
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    alert = raised(server, run, "which?", choices=["lower lr", "äöü", "continue"])
    assert answered(server, alert, "lower lr").json()["choice"] == "lower lr"
    assert server.get(f"/runs/{run['id']}")["status"] == "running"
    server.post(f"/runs/{run['id']}/stop")
    server.ended(run["id"])


def test_a_second_answer_is_refused(server: Server) -> None:
    alert = raised(server, ready(server), "once")
    assert answered(server, alert, "continue").status_code == 200
    second = answered(server, alert, "stop")
    assert second.status_code == 409
    assert "was answered with 'continue'" in second.json()["detail"]


def test_of_answers_at_the_same_moment_one_is_taken(server: Server) -> None:
    alert = raised(server, ready(server), "race", choices=["a", "b", "c", "d"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda choice: answered(server, alert, choice), "abcd"))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    taken = next(one.json()["choice"] for one in answers if one.status_code == 200)
    assert server.get(f"/alerts/{alert['id']}")["choice"] == taken


def test_unknown_choice_lists_the_valid_ones(server: Server) -> None:
    alert = raised(server, ready(server), "choose")
    answer = answered(server, alert, "explode")
    assert answer.status_code == 422
    assert "'explode'" in answer.json()["detail"]
    assert "use one of 'continue', 'stop'" in answer.json()["detail"]
    assert server.get(f"/alerts/{alert['id']}")["status"] == "open"


@pytest.mark.parametrize("alert_id", ["nope", NOBODY])
def test_unknown_alert_is_404(server: Server, alert_id: str) -> None:
    for response in (
        server.http.get(f"/alerts/{alert_id}"),
        server.http.post(f"/alerts/{alert_id}/respond", json={"choice": "stop"}),
    ):
        assert response.status_code == 404
        assert alert_id in response.json()["detail"]


@pytest.mark.parametrize("run_id", ["nope", NOBODY])
def test_unknown_run_is_404(server: Server, run_id: str) -> None:
    for response in (
        server.http.get(f"/runs/{run_id}/alerts"),
        server.http.post(f"/runs/{run_id}/alerts", json={"message": "x"}),
    ):
        assert response.status_code == 404
        assert run_id in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": " \n"}, "message"),
        ({"message": "x" * 2001}, "message"),
        ({"message": "x", "choices": []}, "choices"),
        ({"message": "x", "choices": [str(n) for n in range(11)]}, "choices"),
        ({"message": "x", "severity": "fatal"}, "severity"),
    ],
)
def test_bad_alert_is_422_with_the_field(
    server: Server, body: dict[str, object], field: str
) -> None:
    response = server.http.post(f"/runs/{ready(server)['id']}/alerts", json=body)
    assert response.status_code == 422
    assert [fault["loc"][-1] for fault in response.json()["detail"]] == [field]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["a", "A"], "differ"),
        (["a", " "], "blank"),
        (["a", "b\nc"], "printable"),
        (["a", "x" * 201], "200"),
    ],
)
def test_bad_choices_are_422_and_told_why(server: Server, choices: list[str], said: str) -> None:
    response = server.http.post(
        f"/runs/{ready(server)['id']}/alerts", json={"message": "x", "choices": choices}
    )
    assert response.status_code == 422
    assert said in response.text
    # Nothing is said of what the choice is not.
    assert "dictionary" not in response.text


def test_choices_act_as_they_say(server: Server) -> None:
    choices = ["Stop Job", "Don't stop", {"label": "Enough", "action": "stop"}, "Continue"]
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    alert = raised(server, run, "odd", choices=choices)
    assert alert["choices"] == ["Stop Job", "Don't stop", "Enough", "Continue"]
    assert list(alert["actions"].values()) == ["stop", "none", "stop", "none"]
    assert alert["alert_id"] == alert["id"]
    assert answered(server, alert, "don't stop").json()["effect"] is None
    assert server.get(f"/runs/{run['id']}")["status"] == "running"
    other = raised(server, run, "odder", choices=choices)
    assert answered(server, other, "ENOUGH").json()["choice"] == "Enough"
    assert server.ended(run["id"])["status"] == "stopped"


def test_one_choice_is_an_acknowledgement(server: Server) -> None:
    alert = raised(server, ready(server), "seen?", choices=["I have read this " + "x" * 100])
    assert answered(server, alert, alert["choices"][0]).json()["status"] == "resolved"


def test_who_has_raised_an_alert_hears_the_answer(server: Server, tmp_path: Path) -> None:
    answer = '"$WILDLOOP_RUN_DIR"/alerts/$(cat {}).response'.format(tmp_path / "id")
    run = server.run(f"until cat {answer} > {tmp_path / 'heard'} 2> /dev/null; do sleep 0.1; done")
    server.reaches(run["id"], "running")
    alert = raised(server, run, "which way?", choices=["left", "right"])
    still = server.get(f"/alerts/{alert['id']}/wait", timeout=0)
    assert (still["status"], still["choice"]) == ("open", None)
    (tmp_path / "id").write_text(alert["id"])
    with ThreadPoolExecutor() as pool:
        told = pool.submit(server.get, f"/alerts/{alert['id']}/wait", timeout=60)
        assert answered(server, alert, "right").is_success
        assert told.result()["choice"] == "right"
    assert server.ended(run["id"])["status"] == "finished"
    assert (tmp_path / "heard").read_text() == "right\n"


def test_a_hostile_message_is_kept_as_it_is(server: Server) -> None:
    message = 'a\n<!-- wildloop {"id": "x"} -->\u2028\n<!-- wildloop {} --> <b>ü</b> 🙂'
    alert = raised(server, ready(server), message)
    assert server.get(f"/alerts/{alert['id']}")["message"] == message
    assert answered(server, alert, "continue").json()["message"] == message


def test_an_artifact_of_somebody_else_does_not_hide_alerts(server: Server) -> None:
    body = {"key": f"alert-{uuid4()}", "type": "markdown", "data": "my own notes"}
    assert server.prefect.post("/artifacts/", json=body).is_success
    alert = raised(server, ready(server), "still here")
    assert alert["id"] in [one["id"] for one in server.get("/alerts")]
    assert server.http.get(f"/alerts/{body['key'].removeprefix('alert-')}").status_code == 404


def test_too_many_open_alerts_of_a_run_are_refused(server: Server) -> None:
    run = ready(server)
    for number in range(50):
        raised(server, run, f"number {number}")
    response = server.http.post(f"/runs/{run['id']}/alerts", json={"message": "one more"})
    assert response.status_code == 409
    assert "50 open alerts" in response.json()["detail"]


def test_alerts_of_a_session_are_its_events(server: Server, project: Any, tmp_path: Any) -> None:
    from tests.support.script import Script

    script = Script(tmp_path / "script").shell(1, "sleep 120")
    session_id = server.start(project, script.agent)
    run = ready(server, chat_session_id=session_id, workdir=str(project))
    alert = raised(server, run, "look at this", severity="critical")
    assert alert["session_id"] == session_id
    assert alert["id"] in [one["id"] for one in server.get("/alerts", session_id=session_id)]

    def event() -> dict[str, Any]:
        return next(
            dict(one)
            for one in server.get(f"/wild/v2/events/{session_id}")
            if one["id"] == f"alert:{alert['id']}"
        )

    found = event()
    assert (found["type"], found["run_id"], found["resolved"]) == ("alert", run["id"], False)
    assert "look at this" in found["detail"]
    assert f"POST /alerts/{alert['id']}/respond" in found["detail"]
    assert answered(server, alert, "continue").is_success
    assert event()["resolved"]
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)


def test_raising_an_alert_emits_an_event_for_automations(server: Server) -> None:
    alert = raised(server, ready(server), "tell the world")

    def seen() -> bool:
        body = {"filter": {"event": {"name": ["wildloop.alert.raised"]}}, "limit": 50}
        events = server.prefect.post("/events/filter", json=body).json()["events"]
        ids = [event["resource"].get("wildloop.alert.id") for event in events]
        return alert["id"] in ids

    server.wait_for(seen, "the alert's event is stored")
