"""A Gaussian process over configurations: what is expected of one that was not tried, how surely.

Matérn 5/2 with a length scale for each parameter (Snoek, Larochelle, Adams 2012): of all together,
and of each alone, which few runs tell sooner (Duvenaud, Nickisch, Rasmussen 2011). Noise is learnt
beside, from repeated seeds above all: what a seed does to all configurations alike, and what it
does to each. The scales are those of the largest posterior: few runs say little, and priors keep
them from saying too much.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtr

Array = NDArray[np.float64]
SQRT5 = math.sqrt(5.0)
JITTER = 1e-8
LEVEL = 1.0
"""Prior variance of the mean level, where the values have a variance of 1."""
SCALE = 0.4
SCALE_SD = 0.7
SIGNAL, SINGLE, SIGNAL_SD = 0.5, 0.5, 1.0
NOISE_SD = 2.0
NOISE = 0.05
LEAST_NOISE, MOST_NOISE = 1e-5, 4.0
EXACT_NOISE = 1e-6
SHIFT = 0.02
LEAST_SHIFT = 1e-5
PLAUSIBLE = 10
FEW = 40
STEP = 0.1


@dataclass(frozen=True)
class Belief:
    """Mean and standard deviation of the true value at each point."""

    mean: Array
    sd: Array


class Process:
    """A Gaussian process on points of equal columns; `columns` says which parameter each tells of.

    Args:
        points: one a row.
        values: what was measured there; larger is better.
        columns: for each column the number of its parameter, from 0.
        seeds: of each value; default: all have one of their own.
        is_exact: whether repetitions are known to be equal.
        like: whose scales are taken instead of fitting them.
    """

    def __init__(
        self,
        points: Array,
        values: Array,
        columns: NDArray[np.int64],
        seeds: NDArray[np.int64] | None = None,
        is_exact: bool = False,
        like: "Process | None" = None,
    ) -> None:
        self._points, self._columns = points, columns
        self._seeds = np.arange(len(values)) if seeds is None else seeds
        self._centre, self._unit = float(values.mean()), float(values.std()) or 1.0
        self._values = (values - self._centre) / self._unit
        self._count = int(columns.max()) + 1
        self._is_exact = is_exact
        self._distances = self._squares(points, points)
        self._alike = (self._seeds[:, None] == self._seeds).astype(np.float64)
        self._logs: Array = self._fitted() if like is None else like._logs
        self._take(self._logs)
        self._factor, self._weights = self._solved()

    @property
    def noise(self) -> float:
        """Standard deviation between seeds beside what they do to all alike, in the told unit."""
        return math.sqrt(self._noise) * self._unit

    @property
    def shift(self) -> float:
        """Standard deviation of what a seed does to all configurations alike, in the told unit."""
        return math.sqrt(self._shift) * self._unit

    @property
    def spread(self) -> float:
        """Standard deviation of the values that it was told."""
        return self._unit

    def believe(self, points: Array) -> Belief:
        """What is expected at these points."""
        mean, half = self._posterior(points)
        variance = self._signal + self._single + LEVEL - (half**2).sum(axis=0)
        return Belief(
            self._centre + self._unit * mean, self._unit * np.sqrt(np.maximum(variance, 1e-12))
        )

    def chances_above(self, points: Array) -> Array:
        """How probable it is, of each point but the last, that its true value is above the last's.

        Over all plausible scales.
        """
        found = []
        for process in self.plausible:
            mean, covariance = process._joint(points)
            own = np.diag(covariance)
            variance = own[:-1] + own[-1] - 2 * covariance[:-1, -1]
            found.append(ndtr((mean[:-1] - mean[-1]) / np.sqrt(np.maximum(variance, 1e-12))))
        return np.asarray(np.mean(found, axis=0))

    @cached_property
    def plausible(self) -> list["Process"]:
        """This process with other scales and noise, drawn as surely as the runs tell them.

        Where few runs say little, what is concluded from the most probable scales alone is too
        sure.
        """
        return [self._with_scales(one) for one in self._plausible_scales]

    @cached_property
    def _plausible_scales(self) -> Array:
        """Draws by Laplace's approximation, each scale on its own."""
        best, centre, spreads = self._logs, self._centre_of_scales(), self._spreads()
        sds = np.empty_like(best)
        for number in range(len(best)):
            step = np.zeros_like(best)
            step[number] = STEP
            slopes = [self._loss(best + sign * step, centre)[1][number] for sign in (-1, 1)]
            curve = (slopes[1] - slopes[0]) / (2 * STEP)
            sds[number] = 1 / math.sqrt(max(curve, 0.25 / spreads[number] ** 2))
        rng = np.random.default_rng(len(self._values))
        drawn = best + sds * rng.normal(size=(PLAUSIBLE, len(best)))
        return np.asarray(np.clip(drawn, *np.array(self._bounds()).T))

    def means(self, points: Array) -> Array:
        """What is expected at these points, over all plausible scales."""
        found = [process._posterior(points)[0] for process in self.plausible]
        return np.asarray(self._centre + self._unit * np.mean(found, axis=0))

    def draws(self, points: Array, count: int, rng: np.random.Generator) -> Array:
        """Joint draws of the true values at these few points, one a row.

        `count` of them for each of the plausible scales.
        """
        drawn = []
        for process in self.plausible:
            mean, covariance = process._joint(points)
            drawn.append(rng.multivariate_normal(mean, covariance, count, check_valid="ignore"))
        return self._centre + self._unit * np.concatenate(drawn)

    def with_believed(self, points: Array) -> "Process":
        """This process with its own expectation told as the outcome of points that still run."""
        count = len(self._values)
        found = object.__new__(Process)
        found.__dict__ |= {k: v for k, v in self.__dict__.items() if k != "plausible"}
        # What is plausible of the scales does not change by what is only expected.
        found._plausible_scales = self._plausible_scales
        mean, _ = self._posterior(points)
        found._points = np.vstack([self._points, points])
        found._values = np.concatenate([self._values, mean])
        found._distances = found._squares(found._points, found._points)
        # Nothing is known of their seed: it counts as one of their own.
        found._alike = np.eye(len(found._values))
        found._alike[:count, :count] = self._alike
        found._factor, found._weights = found._solved()
        return found

    def _joint(self, points: Array) -> tuple[Array, Array]:
        mean, half = self._posterior(points)
        prior = self._kernel(self._squares(points, points)) + LEVEL
        return mean, prior - half.T @ half + JITTER * np.eye(len(points))

    def _posterior(self, points: Array) -> tuple[Array, Array]:
        between = self._squares(self._points, points)
        cross = self._kernel(between) + LEVEL
        half = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        return cross.T @ self._weights, half

    def _squares(self, some: Array, others: Array) -> Array:
        """Squared distances of each parameter: parameters x some x others."""
        parts = (some.T[:, :, None] - others.T[:, None, :]) ** 2
        if len(self._columns) == self._count:
            return parts
        starts = np.searchsorted(self._columns, np.arange(self._count))
        return np.asarray(np.add.reduceat(parts, starts, axis=0))

    def _kernel(self, squares: Array) -> Array:
        """Prior covariance: of all parameters together, and of each alone."""
        parts = squares * (self._scales**-2.0)[:, None, None]
        together = matern(np.sqrt(parts.sum(axis=0)))
        alone = matern(np.sqrt(self._count * parts)).mean(axis=0)
        found: Array = self._signal * together + self._single * alone
        return found

    def _solved(self) -> tuple[Array, Array]:
        kernel = self._kernel(self._distances) + LEVEL
        kernel += (self._noise + JITTER) * np.eye(len(self._values)) + self._shift * self._alike
        factor = np.asarray(np.linalg.cholesky(kernel), dtype=np.float64)
        return factor, cho_solve((factor, True), self._values, check_finite=False)

    def _with_scales(self, logs: Array) -> "Process":
        found = object.__new__(Process)
        found.__dict__ |= {k: v for k, v in self.__dict__.items() if k != "plausible"}
        found._take(logs)
        found._factor, found._weights = found._solved()
        return found

    def _take(self, logs: Array) -> None:
        self._scales = np.exp(logs[: self._count])
        self._signal, self._single, self._noise, self._shift = map(float, np.exp(logs[-4:]))

    def _centre_of_scales(self) -> Array:
        """The middle of the prior: logarithms of length scales, both signals, noise, shift."""
        scale = math.log(SCALE * math.sqrt(self._count))
        noise = EXACT_NOISE if self._is_exact else NOISE
        shift = EXACT_NOISE if self._is_exact else SHIFT
        rest = [math.log(SIGNAL), math.log(SINGLE), math.log(noise), math.log(shift)]
        return np.concatenate([np.full(self._count, scale), rest])

    def _spreads(self) -> Array:
        """Standard deviations of the prior."""
        return np.array([SCALE_SD] * self._count + [SIGNAL_SD, SIGNAL_SD, NOISE_SD, NOISE_SD])

    def _bounds(self) -> list[tuple[float, float]]:
        noise = (math.log(LEAST_NOISE), math.log(MOST_NOISE))
        shift = (math.log(LEAST_SHIFT), math.log(MOST_NOISE))
        if self._is_exact:
            noise, shift = (math.log(EXACT_NOISE),) * 2, (math.log(EXACT_NOISE),) * 2
        return [(-3.5, 4.0)] * self._count + [(-4.0, 3.0)] * 2 + [noise, shift]

    def _fitted(self) -> Array:
        centre, bounds = self._centre_of_scales(), self._bounds()
        narrow = np.full(self._count, -0.7)
        starts = [centre, np.concatenate([narrow, centre[-4:-2], [centre[-2] - 2, centre[-1]]])]
        # Many runs leave one answer, and take long.
        starts = starts[: 2 if len(self._values) < FEW else 1]
        starts = [np.clip(one, *np.array(bounds).T) for one in starts]
        found: list[Any] = [
            minimize(
                self._loss,
                start,
                args=(centre,),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 40, "ftol": 1e-5},
            )
            for start in starts
        ]
        return np.asarray(min(found, key=lambda one: one.fun).x)

    def _loss(self, logs: Array, centre: Array) -> tuple[float, Array]:
        """The negative logarithm of the posterior of the scales, and its gradient."""
        count, size = self._count, len(self._values)
        signal, single, noise, shift = np.exp(logs[-4:])
        parts = self._distances * np.exp(-2 * logs[:count])[:, None, None]
        r, each = np.sqrt(parts.sum(axis=0)), np.sqrt(count * parts)
        decay, decays = np.exp(-SQRT5 * r), np.exp(-SQRT5 * each)
        slope, slopes = 5 / 3 * (1 + SQRT5 * r) * decay, 5 / 3 * (1 + SQRT5 * each) * decays
        together = (1 + SQRT5 * r + 5 / 3 * r**2) * decay
        alone = ((1 + SQRT5 * each + 5 / 3 * each**2) * decays).mean(axis=0)
        kernel = signal * together + single * alone
        kernel += LEVEL + (noise + JITTER) * np.eye(size) + shift * self._alike
        spreads = self._spreads()
        off = (logs - centre) / spreads
        try:
            factor = np.linalg.cholesky(kernel)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        weights = cho_solve((factor, True), self._values, check_finite=False)
        inverse = cho_solve((factor, True), np.eye(size), check_finite=False)
        inner = np.outer(weights, weights) - inverse
        gradient = np.empty_like(logs)
        # Each parameter's part alone is of r times the root of their number, over their number.
        gradient[:count] = np.tensordot(parts * (signal * slope + single * slopes), inner, axes=2)
        gradient[-4] = signal * (inner * together).sum()
        gradient[-3] = single * (inner * alone).sum()
        gradient[-2] = noise * np.trace(inner)
        gradient[-1] = shift * (inner * self._alike).sum()
        loss = 0.5 * self._values @ weights + np.log(np.diag(factor)).sum() + 0.5 * (off**2).sum()
        return float(loss), -0.5 * gradient + off / spreads


def matern(r: Array) -> Array:
    """The Matérn covariance of smoothness 5/2, at distances in length scales."""
    found: Array = (1 + SQRT5 * r + 5 / 3 * r**2) * np.exp(-SQRT5 * r)
    return found
