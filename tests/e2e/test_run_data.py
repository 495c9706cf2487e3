"""What runs have written, by HTTP, on a real server: logs, metrics, files; and Prometheus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.pace import patient
from tests.support.server import Server

pytestmark = pytest.mark.e2e


Event = tuple[str, int, dict[str, Any]]


def each_event(response: httpx.Response) -> Iterator[Event]:
    """Name, id and data of each event of a stream, as it comes."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if ": " in line:
            name, value = line.split(": ", 1)
            fields[name] = value
        elif not line and "event" in fields:
            yield fields["event"], int(fields["id"]), json.loads(fields["data"])
            fields = {}


def events(response: httpx.Response) -> list[Event]:
    """Those of a whole stream."""
    return list(each_event(response))


def test_log_stream_follows_a_run_to_its_end(server: Server, tmp_path: Path) -> None:
    heard = f"until [ -e '{tmp_path}'/heard-$i ]; do sleep 0.1; done"
    run = server.run(f"for i in 1 2 3; do echo line $i; {heard}; done; exit 5")
    found = []
    with server.http.stream("GET", f"/runs/{run['id']}/logs/stream") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for event in each_event(response):
            found.append(event)
            for number in re.findall(r"line (\d)", event[2].get("content", "")):
                (tmp_path / f"heard-{number}").touch()
    assert "".join(data["content"] for name, _, data in found if name == "log") == (
        "line 1\nline 2\nline 3\n"
    )
    assert len(found) > 2, "it was told at the end only"
    assert (found[-1][0], found[-1][2]["status"], found[-1][2]["exit_code"]) == ("end", "failed", 5)


def test_log_stream_goes_on_after_the_last_event_id(server: Server) -> None:
    run = server.ended(server.run("seq 1 1000")["id"])
    path = f"/runs/{run['id']}/logs/stream"
    with server.http.stream("GET", path, headers={"Last-Event-ID": "3882"}) as response:
        found = events(response)
    told = {"content": "98\n999\n1000\n"[1:], "offset": 3882, "next_offset": 3893}
    assert found[0][2] == {"type": "log", **told}
    with server.http.stream("GET", path, params={"offset": -5}) as response:
        assert events(response)[0][2]["content"] == "1000\n"
    with server.http.stream("GET", path, headers={"Last-Event-ID": "999999"}) as response:
        assert [name for name, _, _ in events(response)] == ["end"]
    assert server.http.get(path, headers={"Last-Event-ID": "x"}).status_code == 422
    assert server.http.get("/runs/nope/logs/stream").status_code == 404


def test_artifacts_are_listed_and_downloaded(server: Server) -> None:
    command = 'mkdir "$WILDLOOP_RUN_DIR/out"; printf "a\\0b" > "$WILDLOOP_RUN_DIR/out/mödel 1.bin"'
    run = server.ended(server.run(command)["id"])
    base = f"/runs/{run['id']}/artifacts"
    files = {file["path"]: file for file in server.get(base)["files"]}
    assert {"run.log", "manifest.json", "exit_code", "out/mödel 1.bin"} <= set(files)
    assert (files["out/mödel 1.bin"]["name"], files["out/mödel 1.bin"]["size"]) == (
        "mödel 1.bin",
        3,
    )
    for path, file in files.items():
        answer = server.http.get(f"{base}/{quote(path)}")
        assert (answer.status_code, len(answer.content)) == (200, file["size"]), path
    got = server.http.get(f"{base}/{quote('out/mödel 1.bin')}")
    assert got.content == b"a\0b"
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"


@pytest.fixture(scope="module")
def linked(server: Server) -> str:
    """A run, ended, whose folder has a link out of it; its id."""
    return str(server.ended(server.run('ln -s "$PWD" "$WILDLOOP_RUN_DIR/link"')["id"])["id"])


@pytest.mark.parametrize(
    "path",
    [
        *("../../../wildloop.toml", "%2e%2e/%2e%2e/%2e%2e/wildloop.toml", "..%2f..%2fx", "%2fetc"),
        *("//etc/passwd", "link/wildloop.toml", "%ff", "nothing", ".", "%2e"),
    ],
)
def test_no_download_leads_out_of_the_run(server: Server, linked: str, path: str) -> None:
    # The client would resolve dots by itself: the path is sent as it is.
    target = f"/runs/{linked}/artifacts/{path}".encode()
    answer = server.http.get("/", extensions={"target": target})
    assert answer.status_code == 404
    assert "[metric]" not in answer.text


def test_metrics_tell_series_extremes_best_and_sources(server: Server) -> None:
    lines = "".join(f'{{"step": {n}, "score": {abs(500 - n)}}}\\n' for n in range(1001))
    run = server.run(f"printf '{lines}' >> \"$WILDLOOP_RUN_DIR/metrics.jsonl\"")
    run = server.ended(run["id"])
    whole = server.get(f"/runs/{run['id']}/metrics", points=5000)
    assert [point["value"] for point in whole["series"]["score"]] == [
        abs(500 - n) for n in range(1001)
    ]
    few = server.get(f"/runs/{run['id']}/metrics")
    assert len(few["series"]["score"]) <= 500
    assert {0, 500} <= {point["value"] for point in few["series"]["score"]}
    assert (few["last"], few["lowest"], few["highest"]) == (
        *({"score": 500}, {"score": 0}, {"score": 500}),
    )
    assert few["best"] == {"metric": "score", "direction": "max", "value": 500}
    assert [(one["kind"], one["points"]) for one in few["sources"]] == [("metrics.jsonl", 1001)]
    assert server.http.get(f"/runs/{run['id']}/metrics", params={"points": 1}).status_code == 422


def test_metrics_are_taken_until_a_run_ends_and_stay_as_they_were(server: Server) -> None:
    going = server.run("sleep 300")["id"]
    server.reaches(going, "running")
    server.post(f"/runs/{going}/metrics", {"step": 1, "score": 900, "other": 1})
    found = server.get(f"/runs/{going}/metrics", name="other")
    assert set(found["series"]) == {"other"}
    assert (found["highest"]["score"], found["best"]["value"]) == (900, 900)
    server.post(f"/runs/{going}/stop")
    run = server.ended(going)
    before = server.get(f"/runs/{going}/metrics")
    assert before["last"] == {"score": 900, "other": 1}
    refused = server.http.post(f"/runs/{going}/metrics", json={"step": 2, "score": 999})
    assert refused.status_code == 409 and "stopped" in refused.json()["detail"]
    with (Path(run["run_dir"]) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "score": 1000}\n')
    assert server.get(f"/runs/{going}/metrics") == before
    assert server.get(f"/runs/{going}")["metrics"] == before["last"]


def test_trackers_write_into_the_run_and_bear_its_id(server: Server) -> None:
    code = (
        "import mlflow\n"
        "with mlflow.start_run():\n"
        "    for n in range(5): mlflow.log_metric('score', n * 2, step=n)\n"
    )
    (server.workdir / "tracked.py").write_text(code)
    run = server.ended(server.run("python tracked.py; env", gpus=0)["id"])
    log = (Path(run["run_dir"]) / "run.log").read_text()
    assert run["status"] == "finished", log
    assert f"WANDB_DIR={run['run_dir']}" in log and "WANDB_MODE=offline" in log
    found = server.get(f"/runs/{run['id']}/metrics")
    assert found["last"] == {"score": 8}
    assert [one["kind"] for one in found["sources"]] == ["mlflow"]
    assert run["metrics"] == {"score": 8}
    assert any(run["id"] in path.read_text() for path in Path(run["run_dir"]).rglob("wildloop.run"))


def test_environment_given_for_trackers_wins(server: Server) -> None:
    env = {"WANDB_API_KEY": "k", "WANDB_DIR": "/elsewhere", "MLFLOW_TRACKING_URI": "http://m"}
    run = server.ended(server.run("env", env=env)["id"])
    lines = (Path(run["run_dir"]) / "run.log").read_text().splitlines()
    assert "WANDB_DIR=/elsewhere" in lines and "MLFLOW_TRACKING_URI=http://m" in lines
    assert not [line for line in lines if line.startswith("WANDB_MODE=")]


def test_report_of_a_sidecar_is_kept_but_fakes_no_outcome(server: Server) -> None:
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    path = f"/runs/{run['id']}/status"
    told = server.post(path, {"status": "running", "wandb_dir": "wandb/offline-1"})
    assert told["status"] == "running"
    faked = server.http.post(path, json={"status": "finished", "exit_code": 0})
    assert faked.status_code == 409
    assert "'running'" in faked.json()["detail"] and "'finished'" in faked.json()["detail"]
    assert server.http.post(path, json={"status": "sleeping"}).status_code == 422
    assert server.get(f"/runs/{run['id']}")["status"] == "running"
    server.post(f"/runs/{run['id']}/stop")
    server.ended(run["id"])
    assert server.post(path, {"status": "stopped", "error": "seen"})["status"] == "stopped"
    kept = (Path(run["run_dir"]) / "reports.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in kept] == ["running", "stopped"]


def test_filters_page_over_what_matches(server: Server) -> None:
    sweep = server.post("/sweeps/wild", {"name": "page", "goal": "g"})["id"]
    ids = [
        server.post("/runs", {"name": f"p{n}", "command": "true", "sweep_id": sweep})["id"]
        for n in range(6)
    ]
    for hidden in (ids[1], ids[4]):
        server.post(f"/runs/{hidden}/archive")
    shown = list(reversed([ids[0], ids[2], ids[3], ids[5]]))
    pages = [
        [
            run["id"]
            for run in server.get("/runs", sweep_id=sweep, archived="false", limit=2, offset=offset)
        ]
        for offset in (0, 2, 4)
    ]
    assert pages == [shown[:2], shown[2:], []]
    assert [r["id"] for r in server.get("/runs", sweep_id=sweep, archived="true", offset=1)] == [
        ids[1]
    ]
    assert len(server.get("/runs", sweep_id=sweep, status="ready")) == 4
    assert len(server.get("/runs", sweep_id=sweep, status="ready", archived="all")) == 6
    assert server.http.get("/runs", params={"sweep_id": "\x00"}).status_code == 422


def test_prometheus_reads_runs_slots_and_requests(server: Server) -> None:
    runs = [server.run("sleep 300", name="held") for _ in range(3)]
    for run in runs[:2]:
        server.reaches(run["id"], "running")
    server.http.get(f"/runs/{runs[0]['id']}")
    text = server.http.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.text)
        for sample in family.samples
    }
    assert samples[("wildloop_prefect_up",)] == 1
    assert samples[("wildloop_runs", ("status", "running"))] == 2
    assert samples[("wildloop_slots",)] == samples[("wildloop_slots_held",)] == 2
    assert samples[("wildloop_runs_waiting_for_slots",)] == 1
    route = (("method", "GET"), ("route", "/runs/{run_id}"))
    assert samples[("wildloop_http_requests_total", *route, ("status", "200"))] >= 1
    assert samples[("wildloop_http_request_seconds_count", *route)] >= 1
    assert not any(runs[0]["id"] in str(key) for key in samples)
    assert httpx.get(f"{server.url}/metrics", timeout=patient(30)).status_code == 401
    for run in runs:
        server.post(f"/runs/{run['id']}/stop")
    server.wait_for(
        lambda: all(server.get(f"/runs/{run['id']}")["status"] == "stopped" for run in runs),
        "all are stopped",
    )


def test_lists_show_short_series_of_the_metrics_that_are_asked_for(server: Server) -> None:
    line = 'for n in $(seq 200); do echo "{\\"step\\": $n, \\"loss\\": $n, \\"acc\\": 1}"; done'
    sweep = server.post("/sweeps/wild", {"name": "series", "goal": "g"})["id"]
    run = server.run(f'{line} > "$WILDLOOP_RUN_DIR/metrics.jsonl"', sweep_id=sweep)
    ended = server.ended(run["id"])
    assert ended["created_at"] <= ended["launched_at"] <= ended["started_at"]
    (plain,) = server.get("/runs", sweep_id=sweep)
    assert plain["series"] is None
    (found,) = server.get("/runs", sweep_id=sweep, series="loss, no", points=10)
    assert list(found["series"]) == ["loss"]
    points = found["series"]["loss"]
    assert len(points) <= 12
    assert (points[0]["value"], points[-1]["value"]) == (1.0, 200.0)


def test_a_sidecar_tells_rows_of_metrics_and_an_exit_code_as_text(server: Server) -> None:
    run = server.run("sleep 300")
    server.reaches(run["id"], "running")
    path = f"/runs/{run['id']}"
    rows = [{"_step": 1, "loss": 0.5, "note": "x"}, {"note": "y"}, {"_step": 2, "loss": 0.25}]
    told = server.post(f"{path}/metrics", {"rows": rows})
    assert told["ignored"] == ["note"]
    values = [one["value"] for one in server.get(f"{path}/metrics", name="loss")["series"]["loss"]]
    assert values == [0.5, 0.25]
    seen = {"status": "running", "tmux_pane": "%1", "wandb_dir": "/w"}
    assert server.post(f"{path}/status", seen)["status"] == "running"
    server.post(f"{path}/stop")
    assert server.ended(run["id"])["status"] == "stopped"
    failed = server.ended(server.run("exit 3")["id"])
    report = {"status": "failed", "exit_code": "3"}
    assert server.post(f"/runs/{failed['id']}/status", report)["exit_code"] == 3
