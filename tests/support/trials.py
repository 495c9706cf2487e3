"""A training script whose one number an agent changes, its runs, and a kill as git changes it."""

from pathlib import Path

from tests.support.project import git
from tests.support.server import Server

TRAIN = """\
for word in "$@"; do case $word in --seed=*) seed=${word#*=};; esac; done
base=800
noise=(0 3 -4 5)
echo "score=0.$((base + noise[seed]))"
"""
TRIALS = "".join(
    f"- goal: seed {seed}\n  command: bash train.sh\n  gpus: 0\n  parameters: {{seed: {seed}}}\n"
    for seed in (1, 2, 3)
)


def experiments(summary: str) -> str:
    """The reply of a call that runs the code on three seeds."""
    return f"<summary>{summary}</summary>\n<experiments>\n{TRIALS}</experiments>\n"


def measured(edit: str, summary: str) -> str:
    """A call that edits the code and runs it on three seeds."""
    return f"{edit}\ncat <<'END'\n{experiments(summary)}END\n"


def kill_worker_at(server: Server, project: Path, comes: str, over: str) -> Path:
    """A git filter that ends the worker, once, as files are changed before that is committed.

    Args:
        server: its worker is ended.
        project: the repository.
        comes: what the script holds that git writes at that moment.
        over: what the commit that it lies over has in it.

    Returns:
        The file that is there once it has happened.
    """
    killed, kill = project.parent / "killed", project.parent / "kill.sh"
    pid = server.child("wildloop.flows.worker.main").pid
    kill.write_text(
        "text=$(cat; echo x)\n"
        f'if [ ! -e "{killed}" ] && [[ "$text" == *{comes}* ]] '
        f"&& git show HEAD:train.sh | grep -q {over}; then\n"
        f'  touch "{killed}"; kill -9 {pid}; exit 1\nfi\n'
        'printf %s "${text%x}"\n'
    )
    git(project, "config", "filter.kill.smudge", f"bash '{kill}'")
    (project / ".git/info/attributes").write_text("train.sh filter=kill\n")
    return killed
