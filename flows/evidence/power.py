"""The smallest gain that would be shown: what so many seeds can tell, by the account's spread."""

import math

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.estimate import t_quantile
from wildloop.flows.evidence.spread import own_variance, prior_variance, shrunken

OFTEN = 0.9


def smallest_gain(
    account: Account, seeds: int, *, limit: float, power: float = OFTEN
) -> float | None:
    """The true gain on the best that `seeds` seeds of a new configuration show with `power`.

    None where nothing is known of the spread between seeds; 0 where the metric has none.

    Args:
        account: of the session.
        seeds: of the new configuration, two or more.
        limit: what the p-value has to be below.
        power: how often it is to be shown.
    """
    reference = account.best or account.baseline
    if reference is None or reference.mean is None:
        return None
    if account.is_exact:
        return 0.0
    prior = prior_variance(account.neighbours({reference.id}, reference))
    variance = shrunken(own_variance(reference.compared), prior)
    if variance is None or variance.value <= 0:
        return None
    error = math.sqrt(variance.value * (1 / seeds + 1 / max(1, reference.compared.n)))
    df = variance.df + seeds - 1
    return error * (t_quantile(1 - limit, df) + t_quantile(power, df))
