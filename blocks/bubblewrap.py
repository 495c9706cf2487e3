"""Whether bubblewrap works here."""

import subprocess
from collections.abc import Mapping, Sequence

PROGRAM = "bwrap"
PROBE_SECONDS = 20.0


def fault(
    command: Sequence[str], env: Mapping[str, str] | None = None, for_rights: str = ""
) -> str | None:
    """Why a command of bubblewrap does not work; None where it does.

    Args:
        command: what is tried.
        env: its environment (default: this process's).
        for_rights: the mend, told where it is a right that is missing.
    """
    try:
        done = subprocess.run(
            command,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start ({error})"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip()
    about_rights = any(word in said for word in ("ermission", "not permitted", "namespace"))
    told = f": {for_rights}" if about_rights and for_rights else ""
    return f"bubblewrap failed ({said}){told}"
