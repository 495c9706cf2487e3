"""The tree of a session, read from its calls, its decisions and the account of its evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.change import ChangeKind
from wildloop.flows.models.evidence import Standing
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.models.tree import ROOT, Outcome, TreeNode
from wildloop.flows.text.redaction import redact
from wildloop.flows.text.shortened import shortened

TITLE_LENGTH = 90
SUMMARY_LENGTH = 1000
OF_THEN, ON_BASELINE = "the best of then", "the baseline"
OUTCOMES = {
    KeepStatus.KEEP: Outcome.UNDECIDED,
    KeepStatus.DISCARD: Outcome.DISCARDED,
    KeepStatus.CRASH: Outcome.FAILED,
    KeepStatus.ABLATION: Outcome.DISCARDED,
    KeepStatus.WITHDRAWN: Outcome.DISCARDED,
}
"""By the decision; of what is kept only what its test has shown, or what came first, is `kept`."""
UNJUDGED = {
    Standing.BASELINE: Outcome.KEPT,
    Standing.BEST: Outcome.KEPT,
    Standing.BETTER: Outcome.KEPT,
    Standing.CANDIDATE: Outcome.CANDIDATE,
    Standing.NO_VALUE: Outcome.FAILED,
    Standing.INCOMPLETE: Outcome.FAILED,
    Standing.WITHDRAWN: Outcome.DISCARDED,
}
"""By the standing in the account, in a session that keeps every change."""


def node_id(iteration: int) -> str:
    """`iteration-03`; `start` for what was there before the first."""
    return f"iteration-{iteration:02d}" if iteration else ROOT


def tree_of(
    calls: Sequence[IterationRecord],
    kept: KeepState | None,
    account: Account,
    base_commit: str | None = None,
) -> list[TreeNode]:
    """The code that a session began with, and a node for each iteration that changed code.

    An iteration that has run the code of its parent is no change: its runs are the parent's.

    Args:
        calls: of the agent.
        kept: what was decided about changes; None of a session that keeps every one.
        account: of the evidence.
        base_commit: what the session began at.

    Returns:
        The nodes, a parent before its children.
    """
    return _Growth(calls, kept, account, base_commit).nodes


@dataclass
class _Growth:
    """The tree as it grows, iteration by iteration; `here` is what the project's files are."""

    calls: Sequence[IterationRecord]
    kept: KeepState | None
    account: Account
    base_commit: str | None
    codes: dict[str, str | None] = field(default_factory=dict)
    by_id: dict[str, TreeNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.here = self._root()
        for index in sorted({call.index for call in self.calls if call.kind == "iteration"}):
            self._iteration(index)
        self.here.is_here = True
        self._name_best()

    @property
    def nodes(self) -> list[TreeNode]:
        """In the order of their iterations."""
        return list(self.by_id.values())

    def _root(self) -> TreeNode:
        planning = [one for one in self.calls if one.kind == "planning"]
        base = self.account.baseline
        node = TreeNode(
            id=ROOT,
            iteration=0,
            parent=None,
            title="the code that the session began with",
            commit=next((one.commit for one in reversed(planning) if one.commit), self.base_commit),
            base=self.base_commit,
            outcome=Outcome.ROOT,
        )
        fixed = self.account.contract.code
        is_its = base is not None and (fixed is None or base.code == fixed)
        self.codes[node.id] = base.code if base is not None and is_its else fixed
        if base is not None and is_its:
            _judge_by(node, base)
        self._add(node, planning, self._runs(planning))
        return node

    def _iteration(self, index: int) -> None:
        calls = [one for one in self.calls if one.kind == "iteration" and one.index == index]
        verdict = self.kept.of(index) if self.kept is not None else None
        parent = self.by_id.get(self._started(index, verdict), self.here)
        made = self._runs(calls)
        code = self._code(verdict, made)
        if not self._is_change(calls, verdict, code, parent):
            self._add(parent, calls, made)
            if verdict is not None and _has_won(verdict):
                self._decide(parent, verdict)
                self.here = parent
            return
        node = TreeNode(
            id=node_id(index),
            iteration=index,
            parent=parent.id,
            kind=_kind(calls, verdict),
            title=_title(calls, verdict),
            summary=redact(_said(calls))[:SUMMARY_LENGTH],
            commit=verdict.commit if verdict is not None else calls[-1].commit,
            base=parent.commit,
            tag=calls[-1].tag,
            outcome=Outcome.UNDECIDED,
        )
        self.codes[node.id] = code
        self._add(node, calls, made)
        if self.kept is None:
            self._weigh(node, made)
        elif verdict is not None:
            self._decide(node, verdict)
        if verdict is None or verdict.status is KeepStatus.KEEP or not verdict.reverted_by:
            self.here = node

    def _started(self, index: int, verdict: Verdict | None) -> str:
        """Id of the node that an iteration has gone back to; empty where it has not."""
        if verdict is not None:
            return verdict.started_from
        start = self.kept.start_of(index) if self.kept is not None else None
        return start.node if start is not None else ""

    def _runs(self, calls: Sequence[IterationRecord]) -> list[Configuration]:
        """The configurations that the runs of these calls belong to."""
        found = [self.account.by_run.get(id) for call in calls for id in call.run_ids]
        return list({one.id: one for one in found if one is not None}.values())

    def _code(self, verdict: Verdict | None, made: Sequence[Configuration]) -> str | None:
        """Digest of the code that an iteration has left, by what has run of it."""
        if verdict is not None and verdict.candidate is not None:
            return verdict.candidate.code
        known = [one.code for one in made if one.code is not None]
        return known[-1] if known else None

    def _is_change(
        self,
        calls: Sequence[IterationRecord],
        verdict: Verdict | None,
        code: str | None,
        parent: TreeNode,
    ) -> bool:
        before = self.codes.get(parent.id)
        if code is not None and before is not None:
            return code != before
        declared = next((one.change for one in reversed(calls) if one.change), None)
        if declared is not None and declared.kind is ChangeKind.NONE:
            return False
        # Without runs there is a decision only where files of the project have changed, or where
        # another's code was to be taken back again.
        has_begun_here = verdict is not None and not verdict.started_from
        changed = has_begun_here and not any(one.run_ids for one in calls)
        return changed or any(one.files_changed for one in calls)

    def _add(
        self,
        node: TreeNode,
        calls: Sequence[IterationRecord],
        made: Sequence[Configuration],
    ) -> None:
        """Note the node, with what these calls have cost; again for more calls of its code."""
        self.by_id[node.id] = node
        node.calls += len(calls)
        told = [one.cost_usd for one in calls if one.cost_usd is not None]
        if told:
            node.cost_usd = (node.cost_usd or 0.0) + sum(told)
        node.agent_seconds += sum(
            (one.finished_at or one.started_at) - one.started_at for one in calls
        )
        ids = [id for call in calls for id in call.run_ids]
        node.run_ids = list(dict.fromkeys([*node.run_ids, *ids]))
        node.run_seconds += sum(
            run.finished_at - run.started_at
            for one in made
            for run in one.runs
            if run.id in ids and run.started_at is not None and run.finished_at is not None
        )

    def _decide(self, node: TreeNode, verdict: Verdict) -> None:
        """Note what was decided, with the numbers of the ledger."""
        assert self.kept is not None
        seen = verdict.candidate
        is_first = seen is not None and verdict.comparison is None and seen.id == self.kept.baseline
        is_kept = _has_won(verdict) or (is_first and verdict.status is KeepStatus.KEEP)
        if node.outcome is not Outcome.ROOT:
            node.outcome = Outcome.KEPT if is_kept else OUTCOMES[verdict.status]
        node.why = redact(verdict.why)
        node.is_barred = bool(verdict.refused) or verdict.status is KeepStatus.WITHDRAWN
        node.gain, node.against = verdict.comparison, OF_THEN if verdict.comparison else ""
        one = self.account.by_id.get(seen.id) if seen is not None else None
        if one is not None:
            _judge_by(node, one)

    def _weigh(self, node: TreeNode, made: Sequence[Configuration]) -> None:
        """Where nothing is decided: what the account says of the best of its configurations."""
        mine = [one for one in made if one.code == self.codes[node.id]]
        if not mine:
            return
        sign = 1.0 if self.account.direction == "max" else -1.0
        # The account's best, else what is shown, else the highest mean.
        one = max(
            mine,
            key=lambda one: (
                one is self.account.best,
                one in self.account.shown,
                one.mean is not None,
                sign * (one.mean or 0.0),
            ),
        )
        _judge_by(node, one)
        node.outcome = UNJUDGED.get(self.account.standing(one), Outcome.UNDECIDED)
        node.gain = self.account.comparisons.get(one.id)
        node.against = ON_BASELINE if node.gain is not None else ""
        node.why = redact(node.gain.why) if node.gain is not None else ""

    def _name_best(self) -> None:
        best = self.account.best or self.account.baseline
        mine = [one for one in self.nodes if best and self.codes[one.id] == best.code]
        by_value = [one for one in mine if best and one.configuration == best.id]
        for one in (by_value or mine)[-1:]:
            one.is_best = best is not None and best.code is not None


def _judge_by(node: TreeNode, one: Configuration) -> None:
    node.configuration, node.value = one.id, one.counted
    node.level = one.level if one.counted.mean is not None else None


def _has_won(verdict: Verdict) -> bool:
    return verdict.status is KeepStatus.KEEP and verdict.is_shown


def _kind(calls: Sequence[IterationRecord], verdict: Verdict | None) -> str:
    if verdict is not None and verdict.status is KeepStatus.ABLATION:
        return KeepStatus.ABLATION.value
    return next((one.change.kind.value for one in reversed(calls) if one.change), "")


def _title(calls: Sequence[IterationRecord], verdict: Verdict | None) -> str:
    declared = next((one.change.text for one in reversed(calls) if one.change), "")
    said = declared or _said(calls) or (verdict.description if verdict is not None else "")
    return redact(shortened(said or "no summary", TITLE_LENGTH))


def _said(calls: Sequence[IterationRecord]) -> str:
    return next((one.summary for one in reversed(calls) if one.summary), "")
