"""Tables for people, and plain lines where there is no room for a table."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROWEST_TABLE = 40


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; below 40 columns lines of `column: value`, and a blank one after each row."""
    if is_narrow():
        for row in rows:
            lines = [
                f"{column}: {value}" if column else value
                for column, value in zip(columns, row, strict=True)
                if value
            ]
            typer.echo("\n".join([*lines, ""]))
        return
    table = Table(*columns)
    for row in rows:
        # As plain text: rich takes [lesson] for a style of its own.
        table.add_row(*map(Text, row))
    Console().print(table)


def is_narrow() -> bool:
    """Whether the terminal is too narrow for a table."""
    return Console().width < NARROWEST_TABLE
