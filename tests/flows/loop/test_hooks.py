"""The user's hooks: what they are told, what they may say, and that they end nothing."""

import time
from pathlib import Path

import pytest

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.loop.hooks import MOST_BYTES, run_hook
from wildloop.flows.project import load_project

WHERE = {"iteration": 3, "workdir": "/w"}


async def said(command: str, folder: Path, seconds: float = 20.0) -> str:
    return await run_hook(command, str(folder), WHERE, seconds)


async def test_a_hook_gets_the_position_as_json_and_its_output_is_taken(tmp_path: Path) -> None:
    read = "import json,sys; print('iteration', json.load(sys.stdin)['iteration'])"
    assert await said(f'python3 -c "{read}"', tmp_path) == "iteration 3"
    assert await said("pwd", tmp_path) == str(tmp_path)
    assert await said("true", tmp_path) == ""


async def test_a_failing_hook_is_told_and_nothing_else(tmp_path: Path) -> None:
    text = await said("echo no network >&2; exit 4", tmp_path)
    assert text == "(the hook failed with exit code 4) no network"
    assert "could not be started" in await said("true", tmp_path / "nowhere")


async def test_a_hook_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    text = await said("sleep 300 & sleep 300", tmp_path, 0.5)
    assert text == "(the hook was ended: it took longer than 0.5 s)"
    assert time.monotonic() - begun < 60


async def test_what_a_hook_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    assert await said("sleep 300 & echo begun", tmp_path) == "begun"


async def test_its_output_is_cut_and_has_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await said("head -c 100000 /dev/zero | tr '\\0' x", tmp_path)
    assert len(text) < MOST_BYTES + 50 and text.endswith("[cut: 100000 bytes]")
    monkeypatch.setenv("WILDLOOP_AUTH_TOKEN", "a-very-secret-token")
    monkeypatch.setenv("MY_API_KEY", "another-secret-key")
    assert await said("echo t=$WILDLOOP_AUTH_TOKEN k=$MY_API_KEY", tmp_path) == "t= k=[redacted]"


def test_wildloop_toml_names_them(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text('[hooks]\nbefore_iteration = "./queue.sh"\n')
    project = load_project(tmp_path)
    assert project is not None and project.hooks.before_iteration == "./queue.sh"
    assert project.hooks.timeout_seconds == 60
    (tmp_path / "wildloop.toml").write_text('[hooks]\nbefore = "x"\n')
    with pytest.raises(InvalidRequest, match="use one of before_iteration, after_iteration"):
        load_project(tmp_path)
