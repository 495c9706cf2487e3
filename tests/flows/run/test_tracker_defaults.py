"""The environment that trackers of a run find."""

import json
from pathlib import Path
from urllib.parse import unquote, urlparse

from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run.execution import run_environment

ROOT = Path("/my projekt ü/.wild/runs/abc")


def environment(base: dict[str, str], env: dict[str, str]) -> dict[str, str]:
    """The environment of a run whose worker has `base`."""
    spec = RunSpec(name="r", command="true", env=env)
    return run_environment(base, spec, "abc", RunPaths(ROOT), None)


def test_trackers_write_into_the_runs_folder_and_bear_its_id() -> None:
    env = environment({}, {})
    assert (env["WANDB_DIR"], env["WANDB_MODE"]) == (str(ROOT), "offline")
    uri = urlparse(env["MLFLOW_TRACKING_URI"])
    assert (uri.scheme, unquote(uri.path)) == ("file", str(ROOT / "mlruns"))
    assert env["TRACKIO_DIR"] == str(ROOT / "trackio")
    assert env["MLFLOW_ALLOW_FILE_STORE"] == "true"
    assert json.loads(env["MLFLOW_RUN_CONTEXT"]) == {"wildloop.run": "abc"}


def test_what_the_worker_or_the_run_sets_wins() -> None:
    given = {
        "WANDB_DIR": "/a",
        "WANDB_MODE": "online",
        "MLFLOW_TRACKING_URI": "http://tracking",
        "MLFLOW_RUN_CONTEXT": "{}",
    }
    for env in (environment(given, {}), environment({}, given)):
        assert {key: env[key] for key in given} == given


def test_wandb_with_a_key_is_not_put_offline() -> None:
    assert "WANDB_MODE" not in environment({"WANDB_API_KEY": "k"}, {})
    assert "WANDB_MODE" not in environment({}, {"WANDB_API_KEY": "k"})
    assert environment({"WANDB_API_KEY": ""}, {})["WANDB_MODE"] == "offline"


def test_relative_run_folder_still_gives_a_whole_address() -> None:
    spec = RunSpec(name="r", command="true")
    env = run_environment({}, spec, "abc", RunPaths(Path("runs/abc")), None)
    assert unquote(urlparse(env["MLFLOW_TRACKING_URI"]).path) == str(
        Path.cwd() / "runs" / "abc" / "mlruns"
    )
