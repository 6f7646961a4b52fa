"""The model with effect modification and the one without, averaged by how well they predict.

Their evidence cannot be compared: with one variance per column, chosen by the data, that of the larger model
is too high by several nats even where effects do not differ. They are weighted by the log-likelihood of each
patient's outcome given the others (leave-one-out), which counts what the additional terms lose by
overfitting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Mode, Prior, State, System, find_mode
from treatsel.models.hierarchical._outside import Agreement, Outside
from treatsel.models.hierarchical._variances import (
    PROGNOSIS,
    Layout,
    Scales,
    draw_groups,
    draw_sites,
    maximize_evidence,
    no_effects,
)

# Prior probability that effects do not differ between patients, from 600 patients on; with fewer,
# proportionally less. With 0.5 instead of 0.1, the model is significantly worse than the best arm on no real
# trial (benchmarks/selection/REAL.md), loses 0 to .7 points less without modification at 1,000 patients, and
# gains as much with it. With 60 to 120 patients 0.5 costs .2 to .5 points: the leave-one-out likelihood
# hardly tells the models apart, so that the prior would decide, and one arm for all is chosen no better.
NULL_PROBABILITY, FULL_NULL_FROM = 0.5, 600
LEAST_INFORMATION = 0.02  # share of a posterior's precision that the patients contribute at least
NEGLIGIBLE = 1e-3  # weight below which a model is left out of the average


@dataclass(frozen=True, eq=False)
class Component:
    """A model that is averaged: whether effects are modified, its weight, scales, prior and posterior."""

    modified: bool
    weight: float
    scales: Scales
    prior: Prior
    mode: Mode

    def system(
        self, layout: Layout, random: np.random.Generator, of_sites: np.random.Generator
    ) -> tuple[System, Prior]:
        """Return the posterior at variances drawn from theirs, and the prior with these variances."""
        scales = draw_groups(self.mode.system, layout, self.scales, random)
        prior = layout.prior(draw_sites(scales, layout.shape[0] - 1, of_sites))
        return System.build(self.mode.curvature, self.mode.state, prior), prior


@dataclass(frozen=True, eq=False)
class Averaged:
    """Models with and without effect modification.

    `components`: posteriors, whose weights sum to 1. `scales`: the hyperparameters with modification.
    `start`: where the search for modes starts. `null`: prior probability of no modification. `agreement`:
    published estimates beside those of the patients.
    """

    components: list[Component]
    layout: Layout
    scales: Scales
    start: State
    null: float
    agreement: Agreement | None = None

    def again(self, patients: Patients) -> "Averaged":
        """Fit the models to other patients with the same variances of kinds and sites, for cross-fitting.

        These few hyperparameters carry little information about single patients. The variances of columns
        carry more, and are learned again.
        """
        layout = self.layout
        start = no_effects(patients, self.start.terms)
        scales = replace(self.scales, groups=self.scales.kinds[layout.kind])
        scales, state = maximize_evidence(patients, layout, scales, start=start)
        return replace(self, components=_components(patients, layout, scales, state, self.null))


def average(
    patients: Patients,
    kinds: npt.NDArray[np.str_],
    prognosis: Mapping[str, float] = PROGNOSIS,
    outside: Outside | None = None,
    null: float | None = None,
) -> Averaged:
    """Fit the models with and without effect modification, and weight them.

    `prognosis`: guessed SD of the shared terms of each kind. `outside`: published estimates. `null`: prior
    probability of no modification; None: by the number of patients.

    References
    ----------
    Hoeting et al. (1999), Statistical Science 14(4), 382-417. doi:10.1214/ss/1009212519 (averaging)
    Yao et al. (2018), Bayesian Analysis 13(3), 917-1007. doi:10.1214/17-BA1091 (weights by leave-one-out)
    """
    if null is None:
        null = NULL_PROBABILITY * min(1.0, float(patients.weights.sum()) / FULL_NULL_FROM)
    layout = Layout(
        kinds,
        patients.moments()[1],
        patients.n_arms,
        patients.levels.n_free,
        prognosis,
        _rare(patients.having(), kinds),
        outside,
    )
    agreement = None
    if outside is not None:
        agreement = _agreement(patients, layout, outside)
        layout = layout.with_outside(agreement.outside)
    scales, state = maximize_evidence(patients, layout, layout.guessed())
    components = _components(patients, layout, scales, state, null)
    return Averaged(components, layout, scales, state, null, agreement)


def _agreement(patients: Patients, layout: Layout, outside: Outside) -> Agreement:
    """Compare published estimates with those of the patients alone."""
    alone = layout.with_outside(None)
    scales, state = maximize_evidence(patients, alone, alone.guessed())
    prior = alone.prior(scales)
    mode = find_mode(patients, state, prior)
    value, covariance = _functions(outside, mode, layout.shape)
    return outside.compared(*_without_prior(value, covariance, _prior_covariance(outside, mode, prior)))


def _prior_covariance(outside: Outside, mode: Mode, prior: Prior) -> FloatArray:
    """Return the prior covariance of what published estimates are of."""
    derivative = outside.functions(mode.state.by_arm)[1]
    shared = derivative.sum(axis=1) * prior.terms[0]
    own = derivative * prior.terms[1:]
    return np.asarray(shared @ shared.T + np.einsum("akp,bkp->ab", own, own))


def _without_prior(
    value: FloatArray, covariance: FloatArray, prior: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return estimates and covariance of the patients alone: the posterior without its prior around 0.

    Directions about which the patients say little beside the prior get a large variance.
    """
    root = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) * np.eye(len(covariance)))
    # in units of the posterior, the prior keeps a share of the precision in each direction
    inner = np.linalg.solve(root, np.linalg.solve(root, prior).T)
    size, axes = np.linalg.eigh((inner + inner.T) / 2)
    kept = np.maximum(1 - 1 / np.maximum(size, 1.0), LEAST_INFORMATION)
    outer = root @ axes
    moved = np.linalg.solve(outer, value) / kept
    return outer @ moved, (outer / kept) @ outer.T


def _functions(outside: Outside, mode: Mode, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Return what published estimates are of, at a posterior mode, and its posterior covariance."""
    value, derivative = outside.functions(mode.state.by_arm)
    joint = mode.system.joint(shape)
    return value, np.einsum("akp,kplq,blq->ab", derivative, joint, derivative, optimize=True)


def _rare(counts: FloatArray, kinds: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Return where fewer than 5 patients of an arm have a category or lack a value, shape (K, n_columns)."""
    is_indicator = np.isin(kinds, ("category", "missing"))
    return np.asarray(np.append(False, is_indicator) & (counts < SMALLEST_GROUP))


def _components(
    patients: Patients, layout: Layout, scales: Scales, state: State, null: float
) -> list[Component]:
    """Return the models, without one of negligible weight."""
    choices = [(True, scales)]
    if layout.modifies.any():
        choices.append((False, replace(scales, groups=np.where(layout.modifies, 0.0, scales.groups))))
    found, log_weights = [], []
    for modified, chosen in choices:
        prior = layout.prior(chosen)
        mode = find_mode(patients, state, prior)
        found.append(Component(modified, 1.0, chosen, prior, mode))
        log_weights.append(np.log(1 - null if modified else null))
        if len(choices) > 1:
            covariance = mode.system.by_arm(prior.terms.shape)
            at = mode.state
            log_weights[-1] += patients.left_out_loglik(at.by_arm, at.sites, covariance, at.therapists)
            if layout.outside is not None:  # published estimates are data as well
                bare = layout.with_outside(None).prior(chosen)
                apart = find_mode(patients, mode.state, bare)
                log_weights[-1] += layout.outside.log_density(
                    *_functions(layout.outside, apart, layout.shape)
                )
    weights = np.exp(np.array(log_weights) - max(log_weights))
    weights /= weights.sum()
    weights = np.where(weights > NEGLIGIBLE, weights, 0.0)
    weights /= weights.sum()
    return [replace(c, weight=float(w)) for c, w in zip(found, weights, strict=True) if w > 0]
