"""What of the worker's environment reaches an agent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.agents.base import agent_environment

BASE = {
    "PATH": "/bin",
    "HOME": "/h",
    "LC_ALL": "C",
    "CONDA_PREFIX": "/c",
    "CUDA_VISIBLE_DEVICES": "0",
    "SLURM_JOB_ID": "1",
    "https_proxy": "http://p",
    "SLURM_JWT": "s",
    "CONDA_TOKEN": "s",
    "PREFECT_API_URL": "s",
    "PREFECT_API_KEY": "s",
    "WILDLOOP_AUTH_TOKEN": "s",
    "AWS_SECRET_ACCESS_KEY": "s",
    "ANTHROPIC_API_KEY": "s",
    "SSH_AUTH_SOCK": "s",
}


def test_tools_get_what_they_need_and_no_secret() -> None:
    kept = agent_environment(BASE, {})
    assert set(kept) == set(list(BASE)[:7])
    assert "s" not in kept.values()


def test_named_variables_are_kept() -> None:
    assert agent_environment(BASE, {}, ["ANTHROPIC_API_KEY", "MISSING"])["ANTHROPIC_API_KEY"] == "s"


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "PREFECT_API_URL"])
def test_the_server_s_variables_are_never_kept(name: str) -> None:
    assert name not in agent_environment(BASE, {}, [name])


@pytest.mark.parametrize("name", ["WILDLOOP_AUTH_TOKEN", "wildloop_auth_token", "prefect_api_key"])
def test_no_list_of_names_lets_the_server_s_own_pass(name: str) -> None:
    assert agent_environment({name: "s"}, {}, [name]) == {}


@pytest.mark.parametrize(
    "name",
    [
        "SLURM_JWT",
        "CONDA_TOKEN",
        "XDG_API_KEY",
        "CUDA_APIKEY",
        "LC_PASSPHRASE",
        "XDG_DB_PW",
        "CONDA_GIT_PAT",
        "SLURM_DSN",
        "LMOD_COOKIE",
        "XDG_CONNECTION_STRING",
        "BASH_FUNC_get_token%%",
        "LC_Auth_Header",
        "GITHUB_TOKEN",
        "KUBECONFIG",
        "LD_PRELOAD",
        "PYTHONSTARTUP",
        "PATH_TO_KEYS",
        "path",
        "",
        "A=B",
    ],
)
def test_hostile_names_do_not_pass(name: str) -> None:
    assert agent_environment({name: "value-of-it"}, {}) == {}


@pytest.mark.parametrize("name", ["LC_ALL", "XDG_NOTE", "TERM", "CUDA_X", "SHELL"])
def test_secret_under_a_harmless_name_does_not_pass(name: str) -> None:
    base = {"DB_PASSWORD": "secret-value", name: "x-secret-value-y", "LANG": "C"}
    assert agent_environment(base, {}) == {"LANG": "C"}


def test_short_values_hide_nothing_else() -> None:
    base = {"SOME_TOKEN": "C", "LANG": "C", "AUTH_MODE": "bin", "PATH": "/bin"}
    assert agent_environment(base, {}) == {"LANG": "C", "PATH": "/bin"}


def test_path_in_a_variable_of_a_secret_name_hides_no_path() -> None:
    base = {"SSH_AUTH_SOCK": "/home/me/agent", "XDG_RUNTIME_DIR": "/home/me/agent/x"}
    assert "XDG_RUNTIME_DIR" in agent_environment(base, {})


def test_extra_variables_win() -> None:
    extra = {"PATH": "/mine", "WILDLOOP_AUTH_TOKEN": "t"}
    kept = agent_environment(BASE, extra)
    assert (kept["PATH"], kept["WILDLOOP_AUTH_TOKEN"]) == ("/mine", "t")


@given(
    base=st.dictionaries(st.text(), st.text()),
    extra=st.dictionaries(st.text(), st.text()),
    keep=st.lists(st.text()),
)
def test_nothing_is_made_up(base: dict[str, str], extra: dict[str, str], keep: list[str]) -> None:
    before = dict(base)
    for name, value in agent_environment(base, extra, keep).items():
        assert extra.get(name, base.get(name)) == value
    assert base == before
