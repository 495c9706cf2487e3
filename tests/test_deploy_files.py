"""deploy/ says what Prefect and Wildloop understand: settings, commands, chart values."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_valid_setting_names

DEPLOY = Path(__file__).parents[1] / "deploy"
# Of prefect-redis, whose settings are its own.
REDIS = {"PREFECT_REDIS_MESSAGING_HOST"}
TWICE = ("prefect", "api")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def variables(compose: dict[str, Any]) -> dict[str, str]:
    return {
        name: str(value)
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
    }


def test_settings_of_prefect_are_known_to_it(compose: dict[str, Any]) -> None:
    values = yaml.safe_load((DEPLOY / "helm" / "prefect-server.yaml").read_text())
    given = {name for name in variables(compose) if name.startswith("PREFECT_")}
    for part in ("server", "backgroundServices"):
        given |= {one["name"] for one in values[part]["env"]}
    assert given - REDIS <= set(_get_valid_setting_names(Settings))


def test_two_servers_and_two_apis_behind_one_address(compose: dict[str, Any]) -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    for name in TWICE:
        service = compose["services"][name]
        assert service["deploy"]["replicas"] == 2
        assert (
            f"http://{name}:{service['command'][service['command'].index('--port') + 1]}" in nginx
        )
    published = [one for one in compose["services"] if "ports" in compose["services"][one]]
    assert published == ["proxy"]


def test_no_secret_is_written_down_or_on_a_command_line(compose: dict[str, Any]) -> None:
    for name, value in variables(compose).items():
        if any(word in name for word in ("TOKEN", "AUTH_STRING", "PASSWORD", "CONNECTION_URL")):
            assert "${" in value and ":-" not in value, name
    for service in compose["services"].values():
        assert "${" not in " ".join(service.get("command", []))


def test_whoever_is_waited_for_tells_its_health(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], other


def test_project_has_one_path_for_all_that_read_it(compose: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        assert "${PROJECT:?}:${PROJECT:?}" in compose["services"][name]["volumes"]


def test_image_has_the_prefect_of_the_constraints() -> None:
    values = yaml.safe_load((DEPLOY / "helm" / "prefect-server.yaml").read_text())
    tag = values["global"]["prefect"]["image"]["prefectTag"]
    pins = (DEPLOY.parent / "constraints.txt").read_text().splitlines()
    assert f"prefect=={tag.partition('-')[0]}" in pins


def test_secrets_stay_out_of_the_image() -> None:
    left_out = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    assert {"**/.env", ".venv", ".git"} <= set(left_out)
