"""A few lines of code on Prefect's own parts, in a process and a home of their own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.pace import patient


def printed_by(code: str, home: Path) -> list[str]:
    """The lines that the code prints; what it says on stderr is shown where a test fails."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=kept | {"PREFECT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=patient(240),
    )
    sys.stderr.write(done.stderr)
    return done.stdout.splitlines()
