"""An agent that replies by script: the one part of a session that cannot be real here.

Usage: scripted_agent.py FOLDER. For the n-th call of the session it runs FOLDER/<n>.sh if that is
there (its output is the reply), else prints FOLDER/<n>.txt, else FOLDER/default.txt. Prompts are
kept as FOLDER/prompt-<n>.md.
"""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Answer one call."""
    folder = Path(sys.argv[1])
    number = 1 + len(list(folder.glob("prompt-*.md")))
    # Whole before it is there: a test that counts the calls reads it at once.
    arriving = folder / f"arriving-{os.getpid()}"
    arriving.write_text(sys.stdin.read(), encoding="utf-8")
    arriving.rename(folder / f"prompt-{number}.md")
    script = folder / f"{number}.sh"
    if script.exists():
        return subprocess.run(["bash", str(script)], check=False, env=os.environ).returncode
    reply = folder / f"{number}.txt"
    if not reply.exists():
        reply = folder / "default.txt"
    sys.stdout.write(reply.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
