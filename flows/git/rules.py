"""Which files Wildloop never commits: rules on paths and sizes alone."""

import re

SIZE_LIMIT_BYTES = 5 * 1024 * 1024
_CACHE_DIRS = frozenset(
    {
        "__pycache__",
        "node_modules",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        ".eggs",
        ".cache",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".ipynb_checkpoints",
    }
)
_OUTPUT_DIRS = frozenset({"build", "dist"})
# Left out as a matter of course: nobody needs to be told.
UNTOLD = frozenset({"run folder", "stream of events"})
_EVENTS = re.compile(r"(.*/)?\.wild/sessions/[^/]+/transcripts/[^/]+\.jsonl")
_ENV_FILE = re.compile(r"\.env(\..+)?", re.IGNORECASE)
_ENV_SAMPLES = frozenset({".env.example", ".env.sample", ".env.template"})


def refusal_reason(path: str, size: int) -> str | None:
    """Why a file is not committed; None if it is.

    Args:
        path: relative to the repository.
        size: in bytes.
    """
    refused = refused_part(path)
    if refused is not None:
        return refused[1]
    if size > SIZE_LIMIT_BYTES:
        return f"larger than 5 MB ({size} bytes)"
    return None


def refused_part(path: str) -> tuple[str, str] | None:
    """(the folder or file that is refused, the reason); None for a path that may be committed."""
    parts = path.rstrip("/").split("/")
    for number, part in enumerate(parts):
        whole = "/".join(parts[: number + 1])
        is_folder = number < len(parts) - 1 or path.endswith("/")
        if part == "runs" and number > 0 and parts[number - 1] == ".wild":
            return f"{whole}/", "run folder"
        # A file may well be called build; a link may be called .venv.
        output = is_folder and part in _OUTPUT_DIRS
        if output or part in _CACHE_DIRS or part.endswith(".egg-info"):
            return f"{whole}/", "build output"
        if _ENV_FILE.fullmatch(part) and part.lower() not in _ENV_SAMPLES:
            return whole, "may hold secrets"
    if _EVENTS.fullmatch(path):
        return path, "stream of events"
    if parts[-1].endswith((".pyc", ".pyo")):
        return path, "build output"
    return None
