"""What the session recommends: nothing that is not shown to be better than the baseline."""

from collections.abc import Sequence

from pydantic import BaseModel

from wildloop.blocks.agents.baseline.analysis import shown_configurations
from wildloop.blocks.agents.baseline.api import EvidenceView, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.outlook import Outlook
from wildloop.blocks.agents.baseline.search import Configuration, key_of
from wildloop.blocks.agents.baseline.writing import said

FILE = "recommendation.json"
LEADERS = 12
SURE = 0.9
"""So probable it must be that a configuration is better, by all runs together."""


class Recommendation(BaseModel):
    """A configuration, and what stands behind it.

    Args:
        configuration: the searched parameters.
        is_baseline: whether it is the baseline itself.
        probability: that it is better than the baseline, by all runs together; None: not known.
        is_shown: whether its fresh seeds alone show it, by the account of the session.
        text: the same in a sentence.
    """

    configuration: Configuration
    is_baseline: bool
    probability: float | None
    is_shown: bool
    text: str


def recommend(
    project: ProjectFile, runs: Sequence[RunView], evidence: EvidenceView
) -> Recommendation:
    """The most promising configuration if all runs together show it, else the account's best.

    The first is by the Gaussian process, which knows how like configurations are; the second by
    its fresh seeds alone. Where neither shows anything, it is the baseline.
    """
    shown = shown_configurations(project, runs, evidence)
    outlook = Outlook(project, runs)
    leaders = outlook.rivals[:LEADERS] if outlook.has_results else []
    chances = (outlook.chances_against_baseline(leaders) or []) if leaders else []
    sure = [number for number, one in enumerate(chances) if one >= SURE]
    chance = max(chances, default=None)
    if sure:
        found, probability = leaders[sure[0]].configuration, chances[sure[0]]
    elif shown:
        found, probability = shown[0], None
    else:
        text = f"Nothing is shown to be better than the baseline: keep {said(project.base())}."
        return Recommendation(
            configuration=project.base(),
            is_baseline=True,
            probability=chance,
            is_shown=False,
            text=text,
        )
    is_shown = key_of(found) in map(key_of, shown)
    how = ["its fresh seeds show it"] if is_shown else ["its fresh seeds alone do not show it"]
    if probability is not None:
        how.insert(
            0, f"better than the baseline with a probability of {probability:.1%} by all runs"
        )
    return Recommendation(
        configuration=found,
        is_baseline=False,
        probability=probability,
        is_shown=is_shown,
        text=f"Recommended: {said(found)} ({'; '.join(how)}).",
    )
