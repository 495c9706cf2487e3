"""A model server for tests that answers by script, in the wire formats of three APIs."""

from tests.support.stub_models.research import Researcher
from tests.support.stub_models.server import Seen, StubModel
from tests.support.stub_models.steps import Bulk, Drop, Garbage, Hang, Refuse, Say, Shell, Step, Use

__all__ = [
    "Bulk",
    "Drop",
    "Garbage",
    "Hang",
    "Refuse",
    "Researcher",
    "Say",
    "Seen",
    "Shell",
    "Step",
    "StubModel",
    "Use",
]
