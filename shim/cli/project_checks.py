"""Whether a folder can be researched in: git, wildloop.toml, protected files, sandbox."""

import os
import subprocess
from pathlib import Path

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.guards.patterns import TooManyFiles, matching
from wildloop.flows.project import FILE, ProjectConfig, load_project, missing_references
from wildloop.shim.cli.findings import Finding


def check_project(workdir: Path) -> list[Finding]:
    """What is found of a project. Only a broken wildloop.toml prevents work everywhere."""
    if not workdir.is_dir():
        text = f"'{workdir}' does not exist: create it, or give another --workdir"
        return [Finding(check="project", ok=False, fatal=True, text=text)]
    found = [_repository(workdir)]
    try:
        config = load_project(workdir)
    except InvalidRequest as error:
        return [*found, Finding(check=FILE, ok=False, fatal=True, text=str(error))]
    if config is None:
        text = f"none in '{workdir}': only the baseline agent needs one"
        return [*found, Finding(check=FILE, ok=True, text=text)]
    found.append(Finding(check=FILE, ok=True, text=_metric(config)))
    found += _references(workdir, config)
    return [*found, *_protected(workdir, config), *_sandbox(workdir, config)]


def _repository(workdir: Path) -> Finding:
    # Not fatal: the folder need not be the one that a session is started for.
    try:
        done = subprocess.run(
            ["git", "-C", str(workdir), "rev-parse", "--verify", "HEAD"],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return Finding(check="repository", ok=False, text="cannot be told without git")
    if done.returncode != 0:
        text = f"'{workdir}' is no git repository with a commit: `git init` and commit once"
        return Finding(check="repository", ok=False, text=text)
    return Finding(check="repository", ok=True, text=str(workdir))


def _metric(config: ProjectConfig) -> str:
    if config.metric is None:
        return "no [metric]: Wildloop cannot tell which run is best"
    return f"metric {config.metric.name} ({config.metric.direction})"


def _references(workdir: Path, config: ProjectConfig) -> list[Finding]:
    if (fault := missing_references(config, workdir)) is None:
        return []
    return [Finding(check="references", ok=False, fatal=True, text=fault)]


def _protected(workdir: Path, config: ProjectConfig) -> list[Finding]:
    found = []
    for pattern in config.protected_patterns:
        check = f"protected '{pattern}'"
        try:
            count = len(matching(workdir, [pattern]))
        except TooManyFiles as error:
            found.append(Finding(check=check, ok=False, fatal=True, text=str(error)))
            continue
        text = f"{count} files" if count else "names no file: mend the pattern or remove it"
        found.append(Finding(check=check, ok=count > 0, text=text))
    return found


def _sandbox(workdir: Path, config: ProjectConfig) -> list[Finding]:
    if not config.agent.sandbox:
        return []
    from wildloop.blocks.agents.sandbox import OR_WITHOUT, Sandbox, probe

    fault = probe(Sandbox(mode="on"), workdir, os.environ)
    if fault is None:
        return [Finding(check="[agent] sandbox", ok=True, text="agents are put into a sandbox")]
    if config.agent.sandbox is True:
        text = f"{fault}, {OR_WITHOUT}"
        return [Finding(check="[agent] sandbox", ok=False, fatal=True, text=text)]
    text = f'agents run without one, as "auto" lets them: {fault}'
    return [Finding(check="[agent] sandbox", ok=True, text=text)]
