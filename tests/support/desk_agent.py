"""An agent for sessions with several researchers: it replies by the task that it is given.

Usage: desk_agent.py FOLDER. Planning answers FOLDER/planning.txt, a reflection
FOLDER/reflection.txt. An iteration runs FOLDER/<task>.<n>.sh for the n-th call with this task, else
FOLDER/<task>.sh (its output is the reply), else closes the task. Prompts are kept as
FOLDER/prompt-<task>.<n>.md.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

TASK = re.compile(r"^`- \[.\] \[(P\d+-T\d+)\]", re.MULTILINE)
CLOSE = (
    'sed -i "s|\\[.\\] \\[$TASK\\]|[x] [$TASK]|" "$WILDLOOP_TASKS_PATH"\n'
    'echo "<summary>closed $TASK</summary>"\n'
)


def main() -> int:
    """Answer one call."""
    folder, kind = Path(sys.argv[1]), os.environ["WILDLOOP_PHASE"]
    prompt = sys.stdin.read()
    found = TASK.search(prompt) if kind == "iteration" else None
    task = found[1] if found else kind
    number = 1 + len(list(folder.glob(f"prompt-{task}.*.md")))
    (folder / f"prompt-{task}.{number}.md").write_text(prompt, encoding="utf-8")
    reply = folder / f"{kind}.txt"
    if reply.exists():
        sys.stdout.write(reply.read_text(encoding="utf-8"))
        return 0
    scripts = [folder / f"{task}.{number}.sh", folder / f"{task}.sh"]
    script = next((one for one in scripts if one.exists()), None)
    command = ["bash", str(script)] if script else ["bash", "-c", CLOSE]
    return subprocess.run(command, check=False, env=os.environ | {"TASK": task}).returncode


if __name__ == "__main__":
    sys.exit(main())
