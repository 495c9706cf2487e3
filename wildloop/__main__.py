"""The `wildloop` command."""

# Until the path is ours, `pathlib` may be the project's.
# ruff: noqa: PTH100, PTH120
import os
import sys


def main() -> None:
    """Run the command; the folder it is called in and PYTHONPATH lend it no modules.

    They are for runs and agents, which get the variable as it is: a project may have an `httpx.py`.
    """
    own_path()
    from wildloop.shim.cli.main import main as command

    command()


def own_path() -> None:
    """Take from `sys.path` what is not Wildloop's: before anything else is imported."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    variable = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    not_ours = {_absolute(entry) for entry in variable.split(os.pathsep) if entry}
    if not sys.flags.safe_path:
        not_ours.add(_absolute(sys.path[0]))
    sys.path[:] = [entry for entry in sys.path if entry == home or entry not in not_ours]


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except FileNotFoundError:
        # The folder of the call is gone, and what is named by way of it with it.
        return entry


if __name__ == "__main__":
    main()
