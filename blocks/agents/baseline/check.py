"""The first task: is the project such that its runs can work? Nothing is trained here."""

import re
import shlex
import shutil
from pathlib import Path

from wildloop.blocks.agents.baseline.api import ClusterView
from wildloop.blocks.agents.baseline.config import ProjectFile, runnable

# A command that is more than a program with its arguments is for bash to judge.
_SHELL = re.compile(r"[;&|<>$`()\n]|\s-c\s")


def check_faults(project: ProjectFile, folder: Path) -> list[str]:
    """What will keep the runs from working, as far as can be told without one."""
    workdir = folder / project.train.workdir
    if not workdir.is_dir():
        return [f"[train] workdir: {workdir} is no folder"]
    try:
        words = shlex.split(runnable(project.train.command))
    except ValueError as error:
        return [f"[train] command: {error} in `{project.train.command}`"]
    if _SHELL.search(project.train.command) or "=" in words[0]:
        return []
    faults = []
    if shutil.which(words[0]) is None and not (workdir / words[0]).is_file():
        faults.append(f"[train] command: `{words[0]}` is not on PATH")
    faults += [
        f"[train] command: there is no {word} in {workdir}"
        for word in words[1:]
        if word.endswith(".py") and not word.startswith("-") and not (workdir / word).is_file()
    ]
    return faults


def check_text(project: ProjectFile, folder: Path, cluster: ClusterView) -> str:
    """What the first task finds."""
    outside = [
        f"- `{name}`: the baseline's {project.baseline[name]} lies outside the searched range "
        f"({dimension.text()})"
        for name, dimension in project.search.items()
        if not dimension.has(project.baseline[name])
    ]
    faults = [f"- {fault}" for fault in check_faults(project, folder)]
    return "\n".join(
        [
            "# Check of project, API and compute",
            "",
            f"- command of one run: `{project.train.command}` with flags",
            f"- folder of one run: {project.train.workdir}",
            f"- primary metric: {project.metric.name} ({project.metric.direction})",
            f"- compute: {cluster.label}; {cluster.slots} slots, {cluster.held} held now",
            *outside,
            "",
            "## Faults",
            "",
            *(faults or ["None."]),
        ]
    )
