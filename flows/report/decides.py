"""The report's section about what the session compares by, and what the hold-out has said."""

from wildloop.flows.metrics.contract import contract_lines
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.report.facts import SessionFacts
from wildloop.flows.report.text import plain


def decides(session: SessionFacts) -> str:
    """The contract, and at the end what the hold-out has said, a line each."""
    contract = session.contract or SessionContract()
    lines = contract_lines(contract)
    if session.sealed is not None:
        lines += session.sealed.lines(contract.metric or "value")
    return "\n".join(f"- {plain(line, 500)}" for line in lines)
