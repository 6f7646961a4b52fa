"""The fitted hierarchical model: averaged posteriors, their projection to one logit per arm, and draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel.additive import Encoding
from treatsel.errors import warn
from treatsel.models._projection import matched
from treatsel.models.hierarchical._averaging import Averaged, Component, average
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import System
from treatsel.models.hierarchical._variances import ARM_SD, PROGNOSIS, Layout

PROJECTION_ROWS = 2000  # patients used for the projection: bounds its time
# Draws of the prior variances. Each needs its own Cholesky factor; therefore 1,000 draws of the terms share
# 20 draws of the variances.
VARIANCE_DRAWS = 20
# Gauss-Hermite rule for the mean probability of a normal logit: with 9 nodes the error is below 1e-4 up to an
# SD of the logit of 1.5, and 4e-4 at 2.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True, eq=False, repr=False)
class Hierarchy:
    """A fitted hierarchical logistic regression.

    Attributes
    ----------
    averaged : Averaged
        Posteriors with and without effect modification. Their arms are ordered by size, events and
        covariates, so that results do not depend on arm labels.
    terms : ndarray of shape (n_arms, n_terms)
        Intercept and coefficients whose probabilities are closest to the posterior mean.
    rank : ndarray of shape (n_arms,)
        Position of each arm in that order.
    """

    averaged: Averaged
    terms: FloatArray
    rank: np.ndarray

    @classmethod
    def learn(
        cls, patients: Patients, encoding: Encoding, prognosis: Mapping[str, float] = PROGNOSIS
    ) -> "Hierarchy":
        """Fit the model to patients; `prognosis`: guessed SD of the shared terms of each kind."""
        order = np.lexsort(patients.totals_by_arm())
        rank = np.argsort(order)
        ordered = patients.with_arms(rank[patients.arms])
        averaged = average(ordered, encoding.kinds, prognosis)
        if not all(component.mode.converged for component in averaged.components):
            warn(
                "The hierarchical model did not converge: its gradient does not vanish at the estimates. "
                "Check for covariates that determine the outcome and for values of very different size.",
            )
        return cls(averaged, _projected(averaged.components, ordered)[rank], rank)

    def again(self, patients: Patients) -> "Hierarchy":
        """Fit the model to other patients with the same hyperparameters, for cross-fitting."""
        ordered = patients.with_arms(self.rank[patients.arms])
        averaged = self.averaged.again(ordered)
        return Hierarchy(averaged, _projected(averaged.components, ordered)[self.rank], self.rank)

    @property
    def components(self) -> list[Component]:
        """The posteriors that are averaged."""
        return self.averaged.components

    @property
    def thresholds(self) -> FloatArray:
        """Thresholds of the levels of a score, see `Levels.thresholds`; of a 0/1 outcome, none is free."""
        n = self.averaged.layout.n_columns
        return np.asarray(sum(c.weight * c.mode.state.terms[0, n:] for c in self.components))

    @property
    def modification_weight(self) -> float:
        """Weight of the model with effect modification; NaN for a single arm."""
        if not self.averaged.layout.modifies.any():
            return float("nan")
        return float(sum(c.weight for c in self.components if c.modified))

    @property
    def column_sd(self) -> FloatArray:
        """Prior SD of prognosis and modification of each column of the matrix, shape (n_features, 2)."""
        return self.averaged.layout.by_column(self.averaged.scales)

    @property
    def prior(self) -> pd.Series:
        """Prior standard deviations of the kinds of terms, in logits."""
        layout, scales = self.averaged.layout, self.averaged.scales
        found = dict(zip(layout.names, scales.kinds.tolist(), strict=True))
        if len(self.rank) > 1:
            found["arm"] = ARM_SD
        return pd.Series({**found, "site": scales.site, "site x arm": scales.site_by_arm}, name="sd")

    def draw(self, n_draws: int) -> FloatArray:
        """Return draws of each arm's terms, shape (n_draws, n_arms, n_terms).

        The number of draws from each posterior is proportional to its weight. The random stream is fixed:
        the draws are part of the model. They come in antithetic pairs, whose mean is exactly the posterior
        mean.
        """
        ends = np.round(np.cumsum([c.weight for c in self.components]) * n_draws / 2).astype(int)
        sizes = np.diff(ends, prepend=0)
        pairs = [
            _draw_component(component, self.averaged.layout, size, np.random.default_rng([0, number]))
            for number, (component, size) in enumerate(zip(self.components, sizes, strict=True))
            if size
        ]
        return np.concatenate(pairs)[:, self.rank, : self.averaged.layout.n_columns]

    def draw_sites(self, n_draws: int) -> FloatArray:
        """Return draws of a new site's effect on each arm's intercept, shape (n_draws, n_arms)."""
        random, prior = np.random.default_rng([5]), self.averaged.scales
        effects = prior.site_by_arm * random.standard_normal((n_draws, len(self.rank)))
        return np.asarray(effects + prior.site * random.standard_normal((n_draws, 1)))[:, self.rank]


def _draw_component(c: Component, layout: Layout, n_pairs: int, random: np.random.Generator) -> FloatArray:
    """Draw from one posterior, with several draws of the prior variances.

    The draws are shifted to the mode: the mean over the drawn variances, which are heavy-tailed, predicts
    worse, by 0.1 points of gain at 300 patients.
    """
    parts = []
    for rows in np.array_split(np.arange(n_pairs), min(n_pairs, VARIANCE_DRAWS)):
        system = c.system(layout, random)
        terms = system.terms(system.optimum(), layout.shape)
        parts.append(_draw_pairs(system, terms[0] + terms[1:], len(rows), random))
    draws = np.concatenate(parts)
    return np.asarray(draws + (c.mode.state.by_arm - draws.mean(axis=0)))


def _draw_pairs(system: System, mean: FloatArray, n_pairs: int, random: np.random.Generator) -> FloatArray:
    n_arms, q = mean.shape
    white = random.standard_normal((len(system.factor), n_pairs))
    z = solve_triangular(system.factor, white, lower=True, trans="T", check_finite=False)
    moves = np.zeros(((n_arms + 1) * q, n_pairs))
    moves[system.active] = system.scale[:, None] * z
    layers = moves.reshape(n_arms + 1, q, n_pairs)
    steps = np.moveaxis(layers[0] + layers[1:], -1, 0)
    return np.concatenate([mean + steps, mean - steps])


def _projected(components: Sequence[Component], patients: Patients) -> FloatArray:
    """Return the terms whose probabilities are closest to the posterior mean probabilities.

    Closest in Kullback-Leibler divergence over (at most ``PROJECTION_ROWS`` of) the patients. The model is
    then a single additive logit per arm, whose probabilities are nevertheless averaged over the posterior.

    References
    ----------
    Piironen, Paasiniemi & Vehtari (2020), Electronic J Statistics 14(1), 2155-2197. doi:10.1214/20-EJS1711
    """
    design, weights = patients.sample(PROJECTION_ROWS)
    n = patients.n_columns
    terms, spread = np.zeros((patients.n_arms, n)), np.zeros((patients.n_arms, n))
    target = np.zeros((len(design), patients.n_arms))
    for c in components:
        covariances = c.mode.system.by_arm(c.prior.terms.shape)[:, :n, :n]
        mean = c.mode.state.by_arm[:, :n]
        site = c.prior.site**2 + c.prior.site_by_arm**2
        for k, covariance in enumerate(covariances):
            variance = np.einsum("np,np->n", design @ covariance, design) + site
            logits = (design @ mean[k])[:, None] + np.sqrt(variance)[:, None] * _NODES
            target[:, k] += c.weight * (expit(logits) @ _WEIGHTS)
            spread[k] += c.weight * np.diag(covariance)
        terms += c.weight * mean
    for k in range(patients.n_arms):
        terms[k] = matched(design, weights, target[:, k], terms[k], spread[k])
    return terms
