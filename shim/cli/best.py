"""`wildloop best`: the best configuration of a session, with what stands behind it."""

from collections.abc import Iterator, Sequence

import typer

from wildloop.flows.models.evidence import AccountView, ConfigurationView
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json, SessionId
from wildloop.shim.cli.server import server
from wildloop.shim.cli.table import print_table


def best(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Show a session's best configuration: level, interval, command and commit."""
    client = server()
    found = session_here(client, session, project, everywhere)
    account = client.evidence(found.session_id)
    one = next((one for one in account.configurations if one.id == account.best), None)
    if one is None:
        fail(f"session '{found.session_id}' has no best yet: {account.headline}")
    if as_json:
        print_json(one)
        return
    typer.echo("\n".join(best_lines(account, one)))


def best_lines(account: AccountView, one: ConfigurationView) -> Iterator[str]:
    """A configuration in a few lines of text, as the account has it."""
    estimate, gain = one.estimate, one.comparison
    yield account.headline
    yield f"  configuration {one.label}"
    interval = _interval(estimate.low, estimate.high)
    yield f"  {account.metric or 'value'} {estimate.text}{interval}, {one.level.value}"
    if gain is not None:
        shown = "shown" if gain.established else "not shown"
        yield f"  gain {gain.gain:.5g}{_interval(gain.low, gain.high)}, {shown} ({gain.test})"
    for text in one.doubts:
        yield f"  doubt {text}"
    yield f"  commit {one.commit or 'not known'}"
    yield f"  command {one.command}"
    yield f"  runs {', '.join(run.run_id[:8] for run in one.runs)}"


def print_configurations(account: AccountView) -> None:
    """The configurations of a session as a table."""
    columns = ("configuration", account.metric or "value", "seeds", "95 %", "level", "standing")
    rows: Sequence[Sequence[str]] = [
        (
            one.label,
            one.estimate.text,
            ", ".join(one.estimate.seeds),
            _interval(one.estimate.low, one.estimate.high, ""),
            one.level.value,
            one.standing.value,
        )
        for one in account.configurations
    ]
    print_table(columns, rows)
    typer.echo(account.headline)


def _interval(low: float | None, high: float | None, before: str = ", 95 % interval ") -> str:
    return "" if low is None or high is None else f"{before}{low:.5g} to {high:.5g}"
