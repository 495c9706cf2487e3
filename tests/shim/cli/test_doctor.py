"""`wildloop doctor`, with made-up agents on PATH."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_clis import agent_cli
from tests.support.fake_cli import claude_error, claude_result, claude_text, fake_cli, says
from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import command_environment
from wildloop.shim.cli.agent_checks import ACCESS
from wildloop.shim.cli.mending import mends
from wildloop.shim.cli.project_checks import check_project
from wildloop.shim.home import open_home
from wildloop.shim.net import free_ports
from wildloop.shim.up_note import UpNote

KEY = "key-of-the-user-123456"


def doctor(
    root: Path, *arguments: str, programs: Path | str | None = None, **extra: str
) -> tuple[int, dict[str, dict[str, Any]], str]:
    """(exit code, findings by check, all that was printed)."""
    env = command_environment(root / "home") | {"HOME": str(root / "user")} | extra
    for name in [name for access in ACCESS.values() for name in access.variables]:
        if name not in extra:
            env.pop(name, None)
    env["WILDLOOP_SERVER_URL"] = f"http://127.0.0.1:{free_ports(1)[0]}"
    system = "/usr/bin:/bin"
    env["PATH"] = f"{programs}{os.pathsep}{system}" if programs else system
    (root / "user").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "doctor", "--json", *arguments],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=patient(110),
    )
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    return done.returncode, found, done.stdout + done.stderr


def claude_on_path(root: Path, *calls: str) -> Path:
    """A folder with a made-up `claude` in it."""
    program = fake_cli(root / "programs", *calls)
    (program.parent / "claude").symlink_to(program)
    return program.parent


def test_agents_are_found_with_version_and_access_and_not_called(tmp_path: Path) -> None:
    programs = claude_on_path(tmp_path, says(claude_text("ready"), claude_result("ready")))
    code, found, printed = doctor(
        tmp_path, "--agent", "codex", programs=programs, ANTHROPIC_API_KEY=KEY
    )
    assert "1.2.3 (Fake)" in found["agent claude"]["text"]
    assert found["agent claude access"]["text"] == "key in ANTHROPIC_API_KEY (not shown)"
    assert "npm install -g opencode-ai" in found["agent opencode"]["text"]
    assert "npm install -g @openai/codex" in found["agent codex"]["text"]
    assert [found[f"agent {name}"]["fatal"] for name in ("codex", "opencode")] == [True, False]
    assert "agent claude answer" not in found
    assert not (programs / "calls").exists()
    assert KEY not in printed
    # Without a server no work is possible.
    assert code == 1
    assert found["server"]["fatal"] and not found["server"]["ok"]
    assert "wildloop up" in found["server"]["text"]


def test_agents_answer_a_word_when_asked(tmp_path: Path) -> None:
    programs = claude_on_path(tmp_path, says(claude_text("ready"), claude_result("ready", 0.01)))
    _, found, _ = doctor(tmp_path, "--ask", programs=programs)
    answer = found["agent claude answer"]
    assert answer["ok"] and "'ready'" in answer["text"] and "0.0100 USD" in answer["text"]
    assert not found["agent claude access"]["ok"]
    assert "set ANTHROPIC_API_KEY, or log in" in found["agent claude access"]["text"]


def test_chosen_agent_that_does_not_answer_prevents_work(tmp_path: Path) -> None:
    refusal = says(claude_error(f"Invalid API key {KEY}", 401), code=1)
    programs = claude_on_path(tmp_path, refusal)
    code, found, printed = doctor(
        tmp_path, "--ask", "--agent", "claude",
        programs=programs, ANTHROPIC_API_KEY=KEY,
    )  # fmt: skip
    assert not found["agent claude answer"]["ok"]
    assert found["agent claude answer"]["fatal"]
    assert "Invalid API key" in found["agent claude answer"]["text"]
    assert KEY not in printed
    assert code == 1


def by_check(project: Path) -> dict[str, tuple[bool, bool, str]]:
    return {one.check: (one.ok, one.fatal, one.text) for one in check_project(project)}


def test_references_that_are_not_there_prevent_work(tmp_path: Path) -> None:
    toml = "[references]\npapers = ['gone.pdf']\n"
    project = make_project(tmp_path / "project", toml)
    ok, fatal, text = by_check(project)["references"]
    assert (ok, fatal) == (False, True) and "'gone.pdf'" in text
    (project / "gone.pdf").touch()
    assert "references" not in by_check(project)


def test_project_is_checked(tmp_path: Path) -> None:
    toml = 'protected = ["eval.py", "gone/**"]\n[metric]\nname = "score"\n'
    project = make_project(tmp_path / "project", toml)
    (project / "eval.py").touch()
    found = by_check(project)
    assert found["repository"][0]
    assert found["wildloop.toml"] == (True, False, "metric score (max)")
    assert found["protected 'eval.py'"] == (True, False, "1 files")
    ok, fatal, text = found["protected 'gone/**'"]
    assert (ok, fatal) == (False, False)
    assert "names no file" in text


def test_broken_project_is_told(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("[metrics]\n")
    found = by_check(tmp_path)
    assert not found["repository"][0]
    assert found["wildloop.toml"][:2] == (False, True)
    assert by_check(tmp_path / "gone")["project"][:2] == (False, True)


def test_sandbox_that_a_project_insists_on_must_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "wildloop.toml").write_text("[agent]\nsandbox = true\n")
    ok, fatal, text = by_check(tmp_path)["[agent] sandbox"]
    assert (ok, fatal) == (False, True)
    assert "apt install bubblewrap" in text and 'set sandbox to "auto"' in text
    (tmp_path / "wildloop.toml").write_text('[agent]\nsandbox = "auto"\n')
    ok, _, text = by_check(tmp_path)["[agent] sandbox"]
    assert ok and "without one" in text and "set sandbox" not in text


@pytest.mark.agent_cli
def test_real_tools_tell_their_versions(tmp_path: Path) -> None:
    folders = [agent_cli(name).parent for name in ACCESS]
    node = shutil.which("node")
    assert node is not None
    programs = os.pathsep.join(map(str, [*folders, Path(node).parent]))
    _, found, _ = doctor(tmp_path, programs=programs)
    for name in ACCESS:
        assert found[f"agent {name}"]["ok"], found[f"agent {name}"]["text"]
        assert re.search(r"\d+\.\d+\.\d+", found[f"agent {name}"]["text"])
        assert not found[f"agent {name} access"]["ok"]


def test_what_can_be_mended_is_and_each_thing_is_said(tmp_path: Path) -> None:
    home, project = tmp_path / "home", make_project(tmp_path / "project", "")
    (home / "run").mkdir(parents=True)
    (home / "token").write_text("secret-of-the-home\n")
    (home / "token").chmod(0o644)
    note = UpNote(pid=os.getpid(), server_url="http://a", prefect_api_url="http://b",
                  prefect_ui_url="http://c")  # fmt: skip
    note.write(home)
    (project / ".wild" / "runs").mkdir(parents=True)
    _, before, _ = doctor(tmp_path, "--workdir", str(project))
    told = {"token file", "note of `up`", ".wild/runs"}
    assert {name for name in told if before[name]["ok"]} == set()
    assert all("doctor --fix" in before[name]["text"] for name in told)
    assert (home / "token").stat().st_mode & 0o777 == 0o644

    code, mended, printed = doctor(tmp_path, "--fix", "--workdir", str(project))
    assert {name for name in told if mended[name]["mended"]} == told
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    assert "0644" in mended["token file"]["text"]
    assert not (home / "run" / "up.json").exists()
    assert (project / ".wild" / "runs" / ".gitignore").read_text() == "*\n"
    assert "secret-of-the-home" not in printed
    # What cannot be mended keeps its mend, and its exit code.
    assert code == 1 and "wildloop up" in mended["server"]["text"]


def test_nothing_is_mended_where_nothing_is_wrong(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", "")
    assert [one.check for one in mends(tmp_path / "home", project)] == ["home"]
    (next(iter(mends(tmp_path / "home", project)))).done()
    assert list(mends(tmp_path / "home", project)) == []
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


def test_a_token_file_without_a_token_is_laid_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WILDLOOP_AUTH_TOKEN", raising=False)
    open_home(tmp_path / "home")
    (tmp_path / "home" / "token").touch(mode=0o600)
    (mend,) = mends(tmp_path / "home", tmp_path)
    assert (mend.told().ok, mend.told().fatal) == (False, True)
    assert mend.done().mended
    assert list(mends(tmp_path / "home", tmp_path)) == []
    assert (tmp_path / "home" / "token.aside").exists()
