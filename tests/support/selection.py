"""Which tests need a server, in which order files run, a cheap collection: a plugin of pytest."""

import gc
import os
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

from tests.support.server import MAY_START, NEEDS

NEEDED_BY = {
    "server": "server",
    "own_server": "e2e",
    "rough": "e2e",
    "slurm_session": "slurm",
    "slurm_cluster": "slurm",
    "ups": "e2e",
}
"""The mark of a test by the fixtures that it uses."""
HANG_SECONDS = 1800.0
"""For tests whose waits have deadlines of their own, counted from the last sign of life."""
LONGEST = (
    "e2e/test_survival.py",
    "blocks/agents/test_agent_clis.py",
    "e2e/test_account.py",
    "e2e/test_sessions.py",
    "e2e/test_run_data.py",
    "e2e/test_demo.py",
    "e2e/test_slurm_runs.py",
    "e2e/test_slurm_cluster.py",
    "e2e/test_slurm_session.py",
    "e2e/test_computes.py",
    "e2e/test_kubernetes_runs.py",
    "e2e/test_several_hosts.py",
    "e2e/test_researchers.py",
    "e2e/test_installed_wheel.py",
    "e2e/test_keep.py",
    "e2e/test_evo_sweep.py",
    "e2e/test_budgets.py",
    "e2e/test_prefect_runs.py",
    "e2e/test_chaos.py",
    "e2e/test_chaos_again.py",
    "blocks/agents/baseline/test_baseline_session.py",
    "e2e/test_agent_sessions.py",
    "e2e/test_outages.py",
    "bench/test_bench_engine.py",
    "e2e/test_team_flows.py",
    "e2e/test_team_servers.py",
    "e2e/test_typed_commands.py",
    "e2e/test_gpu_runs.py",
    "e2e/test_full_disks.py",
    "e2e/test_tree.py",
    "e2e/test_guards.py",
    "e2e/test_prefect_ui.py",
    "e2e/test_deploy.py",
    "e2e/test_agent_limits.py",
    "e2e/test_browser_page.py",
    "e2e/test_page_alone.py",
    "e2e/test_live_picture.py",
    "shim/test_schemathesis.py",
    "e2e/test_bad_agents.py",
    "e2e/test_approval.py",
    "e2e/test_lifecycle.py",
    "shim/cli/test_cli.py",
    "flows/store/test_prune.py",
    "shim/test_every_path.py",
    "shim/test_prefect_server.py",
    "shim/test_supervisor.py",
    "flows/metrics/test_trackers.py",
    "shim/cli/test_doctor.py",
    "shim/page/test_page_access.py",
)
"""Files that take longest: begun last, they would have nothing beside them."""
SHARED = "server"
"""The fixture of the server that all tests of a worker share, once one has asked for it."""


def needs_server(item: pytest.Item) -> bool:
    """Whether the test is marked as one that needs a server or another large part."""
    return any(item.get_closest_marker(name) for name in NEEDS)


def rank(item: pytest.Item, sharing: Container[Path]) -> tuple[bool, int]:
    """The files that need no shared server before those that do: it costs while it does nothing.

    Of both the longest come first, in their order; then those with other servers; then the rest.
    """
    place = next(
        (place for place, name in enumerate(LONGEST) if item.path.as_posix().endswith(f"/{name}")),
        len(LONGEST) + (not item.path.match("tests/e2e/*")),
    )
    return item.path in sharing, place


# Each worker collects all files: keep what pytest and Python compile also where the environment
# says not to (the processes under test go by the environment).
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing of what imports and collection make is garbage: do not look for it, then or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures (before `-m` selects), and put the longest files first."""
    for item in items:
        for fixture, mark in NEEDED_BY.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
        if needs_server(item) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANG_SECONDS))
    sharing = {item.path for item in items if SHARED in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: rank(item, sharing))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell `start_server` whether the test is marked."""
    os.environ[MAY_START] = "yes" if needs_server(item) else "no"
