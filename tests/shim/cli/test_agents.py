"""`wildloop agents`: what is there, from files and the environment alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wildloop.shim.cli.main import application


def test_known_and_own_agents_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("gemini", "claude"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    (tmp_path / "wildloop.toml").write_text(
        '[agents.mine]\ncommand = "./mine --go"\npass = ["X_API_KEY"]\n'
        'usage = "jsonl:text=out,input=tokens,cost=usd"\n'
    )
    (tmp_path / "mine").touch()
    for key in ("ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "X_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GEMINI_API_KEY", "secret-of-gemini")
    done = CliRunner().invoke(application(), ["agents", "--workdir", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert "secret-of-gemini" not in done.output
    found = {one["name"]: one for one in json.loads(done.output)}
    assert found["gemini"]["access"] == "key in GEMINI_API_KEY (not shown)"
    assert found["gemini"]["mend"] == ""
    assert "ANTHROPIC_API_KEY" in found["claude"]["mend"]
    assert found["qwen"]["installed"] is None and "npm install" in found["qwen"]["mend"]
    assert found["mine"]["installed"] == str(tmp_path / "mine")
    assert (found["mine"]["cost"], found["cursor"]["cost"]) == ("told by the agent", "not known")


def test_a_broken_table_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text('[agents.claude]\ncommand = "x"\n')
    done = CliRunner().invoke(application(), ["agents", "--workdir", str(tmp_path)])
    assert done.exit_code == 2
    assert "'claude' cannot be an agent's name" in done.output
