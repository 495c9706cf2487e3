"""The URL of Prefect's database is taken apart once."""

from pathlib import Path

from tests.support.probe import printed_by

PROBE = """
from sqlalchemy.engine import url
from prefect.server.database import provide_database_interface
from wildloop.flows.prefect_inside.dialect import read_once

made = []
original = url.make_url
url.make_url = lambda given: made.append(given) or original(given)

def asked():
    made.clear()
    for _ in range(3):
        provide_database_interface()
    return len(made)

print("as it comes", asked())
read_once()
print("ours", asked())
"""


def test_the_url_of_the_database_is_taken_apart_once(tmp_path: Path) -> None:
    """Once Prefect does so by itself, the patch is needless."""
    assert printed_by(PROBE, tmp_path) == ["as it comes 3", "ours 1"]
