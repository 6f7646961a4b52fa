"""Stacking weights of the tree models, for prognosis and for effect modification, from out-of-fold logits.

Each source is a by-arm table of logits. Its mean over arms is its prognosis, the deviation from that mean its
effect modification; each has its own weight.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel.models._joint import CHOICES, WEIGHTS, JointDraws

# Half-normal prior of the weight of trees, bounded at about two prior SDs; a negative weight would use trees
# against their own predictions.
TREE_SD, TREE_MAX = 0.7, 1.5
# Prior of the deviation of the hierarchical model's weight from 1, bounded at 2.5 prior SDs: its
# probabilities are posterior means, so that only a small correction is expected.
BASE_SD, BASE_MAX = 0.2, 0.5
# Prior probability that trees contribute at all, lower for modification, where signals are weaker; 0.5 and
# 0.75 differed by less than the simulation error.
USE_PROGNOSIS, USE_MODIFICATION = 0.5, 0.25


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """Posterior of the weights if trees are used for prognosis, for modification, for both or for neither."""

    probability: float
    mean: FloatArray
    factor: FloatArray  # Cholesky factor of the posterior precision of the weights in use
    used: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class StackWeights:
    """Weights of the sources, averaged by evidence over four choices of what trees are used for.

    Attributes
    ----------
    names : list of str
        Sources; the weight of "base", the hierarchical model, is its deviation from 1.
    choices : list of Choice
        Weights in the order (prognosis of each source, modification of each source).
    least, most : ndarray of shape (2 * n_sources,)
        Bounds of the weights.
    """

    names: list[str]
    choices: list[Choice]
    least: FloatArray
    most: FloatArray

    @classmethod
    def learn(
        cls,
        base: FloatArray,
        sources: Mapping[str, FloatArray],
        *,
        arms: np.ndarray,
        y: FloatArray,
        weights: FloatArray,
    ) -> "StackWeights":
        """Learn weights from out-of-fold logits, each of shape (n_patients, n_arms).

        References
        ----------
        van der Laan, Polley & Hubbard (2007), Stat Appl Genet Mol Biol 6(1), 25. doi:10.2202/1544-6115.1309
        """
        names, rows = list(sources), np.arange(len(y))
        prognosis = [table.mean(axis=1) for table in sources.values()]
        deviation = [table[rows, arms] - table.mean(axis=1) for table in sources.values()]
        parts = np.column_stack([*prognosis, *deviation])
        is_base = np.array([name == "base" for name in names] * 2)
        sd = np.where(is_base, BASE_SD, TREE_SD)
        least, most = np.where(is_base, -BASE_MAX, 0.0), np.where(is_base, BASE_MAX, TREE_MAX)
        informative = parts.std(axis=0) > 1e-9  # without trees, a source is constant up to rounding
        found, log_weights = [], []
        for used, prior in _choices(informative, len(names)):
            bounds = (least[used], most[used])
            mean, factor, evidence = _fit(parts[:, used], base[rows, arms], y, weights, sd[used], bounds)
            full = np.zeros(len(sd))
            full[used] = mean
            found.append((full, factor, used))
            log_weights.append(prior + evidence)
        probability = np.exp(np.array(log_weights) - max(log_weights))
        probability /= probability.sum()
        choices = [Choice(float(p), *parts) for p, parts in zip(probability, found, strict=True)]
        return cls(names, choices, least, most)

    def operators(self, weights: FloatArray, n_arms: int) -> dict[str, FloatArray]:
        """Return for each source the matrix that maps its by-arm logits to its contribution to the logits.

        `weights` of shape (..., 2, n_sources) give matrices of shape (..., n_arms, n_arms).
        """
        mean = np.full((n_arms, n_arms), 1 / n_arms)
        prognosis, modification = (weights[..., part, :, None, None] for part in (0, 1))
        all_of_them = prognosis * mean + modification * (np.eye(n_arms) - mean)
        return {name: all_of_them[..., i, :, :] for i, name in enumerate(self.names)}

    @property
    def mean(self) -> FloatArray:
        """Weights averaged over the choices, shape (2, n_sources): prognosis, modification."""
        total = np.sum([choice.probability * choice.mean for choice in self.choices], axis=0)
        return np.asarray(total.reshape(2, -1))

    def combine(self, sources: Mapping[str, FloatArray]) -> FloatArray:
        """Return the sum of the sources' contributions to the logits, shape (n_patients, n_arms)."""
        n_arms = next(iter(sources.values())).shape[1]
        operators = self.operators(self.mean, n_arms)
        return np.asarray(sum(table @ operators[name].T for name, table in sources.items()))

    def to_frame(self) -> pd.DataFrame:
        """Return the mean weights: one row per source, columns prognosis and modification."""
        return pd.DataFrame(self.mean.T, index=self.names, columns=["prognosis", "modification"])

    def draw(self, n_draws: int, joint: JointDraws | None = None) -> FloatArray:
        """Return draws of the weights, shape (n_draws, 2, n_sources), from a fixed random stream.

        `joint`: random numbers that depend on those of other outcomes.

        Normal draws are clipped to the bounds and shifted back to the posterior mode, so that the mean of
        the draws is the weight used for prediction.
        """
        random = np.random.default_rng([3])
        ends = np.round(np.cumsum([choice.probability for choice in self.choices]) * n_draws).astype(int)
        rows, numbers = np.arange(n_draws), None
        if joint is not None:
            rows = joint.order(CHOICES, n=n_draws)
            numbers = joint.normal(WEIGHTS, shape=(len(self.least), n_draws)).T
        parts = []
        for choice, own in zip(self.choices, np.split(rows, ends[:-1]), strict=True):
            size = len(own)
            weights = np.tile(choice.mean, (size, 1))
            if numbers is None:
                white = random.standard_normal((size, int(choice.used.sum())))
            else:
                white = numbers[np.ix_(own, choice.used)]
            weights[:, choice.used] += np.linalg.solve(choice.factor.T, white.T).T
            weights = np.clip(weights, self.least, self.most)
            if size:
                weights += choice.mean - weights.mean(axis=0)
            parts.append(weights)
        whole = np.concatenate(parts)
        whole = random.permutation(whole) if joint is None else whole[np.argsort(rows)]
        return whole.reshape(n_draws, 2, -1)


def _choices(informative: np.ndarray, n_sources: int) -> Iterator[tuple[np.ndarray, float]]:
    """Yield which weights are in use, and the log prior probability of that choice."""
    modifies = np.arange(len(informative)) >= n_sources
    for with_prognosis, with_modification in product((False, True), repeat=2):
        used = informative & np.where(modifies, with_modification, with_prognosis)
        if with_prognosis != used[~modifies].any() or with_modification != used[modifies].any():
            continue  # no source is informative: the same model as without it
        prior = np.log(USE_PROGNOSIS if with_prognosis else 1 - USE_PROGNOSIS)
        prior += np.log(USE_MODIFICATION if with_modification else 1 - USE_MODIFICATION)
        yield used, float(prior)


def _fit(
    parts: FloatArray,
    offset: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    sd: FloatArray,
    bounds: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, float]:
    """Return the posterior mode, the Cholesky factor of its curvature, and the Laplace log evidence.

    The evidence ignores the bounds, that is, the prior's factor of 2 per half-normal weight.
    """

    def objective(v: FloatArray) -> tuple[float, FloatArray]:
        logits = offset + parts @ v
        loss = weights @ (np.logaddexp(0, logits) - y * logits) + 0.5 * float(((v / sd) ** 2).sum())
        return float(loss), parts.T @ (weights * (expit(logits) - y)) + v / sd**2

    v = np.zeros(len(sd))
    if len(v):
        # start inside the bounds, so that no gradient is clipped in the first step
        start = np.where(bounds[0] < 0, 0.0, 0.05)
        v = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=np.transpose(bounds)).x
    p = expit(offset + parts @ v)
    curvature = (parts * (weights * p * (1 - p))[:, None]).T @ parts + np.diag(1 / sd**2)
    factor = np.linalg.cholesky(curvature)
    occam = float(np.log(np.diag(factor)).sum() + np.log(sd).sum())
    return v, factor, -objective(v)[0] - occam
