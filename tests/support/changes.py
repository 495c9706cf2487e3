"""Sessions of code changes made by hand: calls, runs, decisions, and the account of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.records import made_record, made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.keep.aside import set_aside, tries
from wildloop.flows.keep.decide import Change, Decision, decide
from wildloop.flows.keep.elsewhere import begun_elsewhere
from wildloop.flows.keep.standing import branch_of, calls_of
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.tree.nodes import tree_of

BASE = "code-0"


@dataclass
class Night:
    """A session that keeps what is better; each iteration is decided about as the loop does it.

    Args:
        direction: of the metric.
        keeps: whether changes are kept or discarded.
    """

    direction: str = "max"
    keeps: bool = True
    records: list[IterationRecord] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    state: KeepState = field(default_factory=KeepState)

    def __post_init__(self) -> None:
        planning = IterationRecord(index=0, kind="planning", started_at=0.0, commit=commit_of(0))
        self.records.append(planning)

    def iteration(
        self,
        values: Sequence[float | None] = (),
        code: str | None = None,
        start: str = "",
        name: str = "run",
        **record: object,
    ) -> "Night":
        """One more: its runs on seeds 0, 1..., of this code (None: of the code of its number)."""
        index = len(self.records)
        code = code or f"code-{index}"
        made = [
            made_run(
                100 * index + seed,
                value,
                name=f"{name}-{index}-{seed}",
                code=code,
                seed=seed,
                git_commit=commit_of(index),
            )
            for seed, value in enumerate(values)
        ]
        fields = {"commit": commit_of(index), "cost_usd": 0.5, "finished_at": index + 10.0}
        call = made_record(index, run_ids=[run.id for run in made], **(fields | record))
        self.records.append(call)
        self.runs += made
        if self.keeps:
            self._decide(call, code, made, start)
        return self

    def _decide(self, call: IterationRecord, code: str, made: list[Run], start: str) -> None:
        account, state = self.account, self.state
        mine = [one for one in account.configurations if any(run in made for run in one.runs)]
        change = Change(
            candidates=[one for one in mine if one.code == code],
            others=[one for one in mine if one.code != code],
            best=state.best,
            tests=state.tests,
            iteration=call.index,
            commit=call.commit,
            has_runs=bool(made),
        )
        found: Decision = set_aside(account, change) or decide(account, tries(account, change))
        found = begun_elsewhere(found, change, start)
        if state.best is None and found.best is not None:
            state.baseline = (found.against or found.best).id
        if made:
            state.best = found.best
        state.verdicts.append(
            Verdict(
                iteration=call.index,
                label=call.label,
                status=found.status,
                why=found.why,
                commit=call.commit,
                base=commit_of(0),
                candidate=found.candidate,
                against=found.against,
                comparison=found.comparison,
                is_tested=found.is_tested,
                started_from=start,
                reverted_by="f" * 40 if found.status is not KeepStatus.KEEP else None,
                applied=True,
            )
        )

    @property
    def account(self) -> Account:
        """Of all its runs."""
        metric = MetricConfig.model_validate({"name": "score", "direction": self.direction})
        branch = branch_of(self.state) if self.keeps else None
        return Account(self.runs, Contract(metric), branch, calls_of(self.records))

    @property
    def nodes(self):  # type: ignore[no-untyped-def]
        """Its tree."""
        return tree_of(self.records, self.state if self.keeps else None, self.account, "b" * 40)


def commit_of(index: int) -> str:
    """A commit for each iteration."""
    return f"{index:02x}" * 20
