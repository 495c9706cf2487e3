"""What of the worker's environment reaches an agent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.agents.base import agent_environment

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
