"""The plain Prefect flow that the comparisons run: a command, in a flow run of its own.

`python -m bench.served serve --limit 4` serves it; `python -m bench.served deploy` makes it a
deployment of the process work pool. Both read PREFECT_API_URL.
"""

import argparse
import subprocess
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.flows import Flow

DEPLOYMENT = "bench"
POOL = "bench"


@flow(name="served", log_prints=False)
def served(command: str) -> None:
    """Run one shell command."""
    subprocess.run(["bash", "-c", command], check=True)


def main() -> None:
    """Serve, or deploy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("serve", "deploy"))
    parser.add_argument("--limit", type=int, default=1, help="flow runs at a time")
    options = parser.parse_args()
    if options.what == "serve":
        served.serve(name=DEPLOYMENT, limit=options.limit)
        return
    source = Path(__file__).resolve()
    loaded: Any = Flow.from_source(source=str(source.parent), entrypoint=f"{source.name}:served")
    loaded.deploy(name=DEPLOYMENT, work_pool_name=POOL, print_next_steps=False)


if __name__ == "__main__":
    main()
