"""The fitted hierarchical model: averaged posteriors, their projection to one logit per arm, and draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

from treatsel._checks import FloatArray
from treatsel.additive import Encoding
from treatsel.errors import warn
from treatsel.models._joint import COMPONENTS, NEW_SITE, PRIOR, RARE, SITES, TERMS, JointDraws
from treatsel.models._projection import averaged_over, matched, normal_mean
from treatsel.models.hierarchical._averaging import Averaged, Component, average
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import System
from treatsel.models.hierarchical._known_sites import Draws, KnownSites, shifts
from treatsel.models.hierarchical._outside import Outside
from treatsel.models.hierarchical._variances import ARM_SD, PROGNOSIS, Layout

PROJECTION_ROWS = 2000  # patients used for the projection: bounds its time
# Draws of the prior variances. Each needs its own Cholesky factor; therefore 1,000 draws of the terms share
# 20 draws of the variances.
VARIANCE_DRAWS = 20


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
    within : ndarray of shape (n_arms, n_terms)
        The same terms for the average site.
    known : KnownSites
        The sites whose effects are kept.
    """

    averaged: Averaged
    terms: FloatArray
    rank: np.ndarray
    within: FloatArray
    known: KnownSites

    @classmethod
    def learn(
        cls,
        patients: Patients,
        encoding: Encoding,
        prognosis: Mapping[str, float] = PROGNOSIS,
        *,
        outside: Outside | None = None,
        null: float | None = None,
    ) -> "Hierarchy":
        """Fit the model to patients.

        `prognosis`: guessed SD of the shared terms of each kind. `outside`: published estimates. `null`:
        prior probability of no effect modification.
        """
        order = np.lexsort(patients.totals_by_arm())
        rank = np.argsort(order)
        ordered = patients.with_arms(rank[patients.arms])
        published = None if outside is None else outside.with_arms(order)
        averaged = average(ordered, encoding.kinds, prognosis, published, null)
        if not all(component.mode.converged for component in averaged.components):
            warn(
                "The hierarchical model did not converge: its gradient does not vanish at the estimates. "
                "Check for covariates that determine the outcome and for values of very different size.",
            )
        return cls._of(averaged, ordered, rank)

    @classmethod
    def _of(cls, averaged: Averaged, ordered: Patients, rank: np.ndarray) -> "Hierarchy":
        terms = _projected(averaged.components, ordered)
        known, within = KnownSites.of(ordered), terms
        if ordered.n_sites:
            within = _projected(averaged.components, ordered, new_site=False)
        return cls(averaged, terms[rank], rank, within[rank], known)

    def again(self, patients: Patients) -> "Hierarchy":
        """Fit the model to other patients with the same hyperparameters, for cross-fitting."""
        ordered = patients.with_arms(self.rank[patients.arms])
        return Hierarchy._of(self.averaged.again(ordered), ordered, self.rank)

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
        found |= {"site": scales.site, "site x arm": scales.site_by_arm}
        if scales.of_therapists is not None:
            found["therapist"] = scales.therapist
        return pd.Series(found, name="sd")

    def shifts(self, patients: Patients) -> FloatArray:
        """Return what known sites add to the logits within the average site, shape (n_known, n_arms)."""
        if not len(self.known.numbers):
            return np.zeros((0, len(self.rank)))
        moments = [(c.weight, self.known.moments(c.mode, c.prior)) for c in self.components]
        order = np.argsort(self.rank)
        return shifts(patients, self.within[order], moments)[:, self.rank]

    def draw(
        self, n_draws: int, joint: JointDraws | None = None, arms: Sequence[Any] | np.ndarray = ()
    ) -> Draws:
        """Return joint draws of each arm's terms and of the effects of sites.

        The number of draws from each posterior is proportional to its weight. The random stream is fixed:
        the draws are part of the model. They come in antithetic pairs, whose mean is exactly the posterior
        mean.

        `joint`: random numbers that depend on those of other outcomes, for models of these `arms`.
        """
        ends = np.round(np.cumsum([c.weight for c in self.components]) * n_draws / 2).astype(int)
        rows, n_arms, noise = np.arange(n_draws // 2), len(self.rank), None
        if joint is not None:
            rows = joint.order(COMPONENTS, n=len(rows))
            ordered = joint.numbers_of(arms)[np.argsort(self.rank)]
            noise = Noise.of(joint, self.averaged.layout, self.known, ordered, n_draws)
        pairs = [
            _draw_component(component, self.averaged.layout, self.known, own, number, noise)
            for number, (component, own) in enumerate(
                zip(self.components, np.split(rows, ends[:-1]), strict=True)
            )
            if len(own)
        ]
        terms, sites, sd, place = (np.concatenate(each) for each in zip(*pairs, strict=True))
        if noise is None:
            random = np.random.default_rng([5])
            by_arm, common = random.standard_normal((n_draws, n_arms)), random.standard_normal((n_draws, 1))
        else:
            back = np.argsort(place)
            terms, sites, sd = terms[back], sites[back], sd[back]
            by_arm, common = noise.new[:, 1:], noise.new[:, :1]
        new = sd[:, [1]] * by_arm + sd[:, [0]] * common
        n_columns = self.averaged.layout.n_columns
        draws = terms[:, self.rank, :n_columns], sites[:, :, self.rank], new[:, self.rank]
        # the patient's therapist is unknown: probabilities are means over therapists
        share = averaged_over(sd[:, 2])[:, None]
        return Draws(draws[0] * share[..., None], draws[1] * share[..., None], draws[2] * share)


@dataclass(frozen=True, eq=False, repr=False)
class Noise:
    """Standard normal numbers of all pairs of draws, which depend on those of other outcomes.

    `data`: (K q, n_pairs), and `prior`: ((K + 1) q, n_pairs), as in `System.moved`; `sites`: (n_pairs, S, K);
    `new`: of a new site, and of its deviation under each arm, (n_draws, 1 + K); `random`: generator for the
    deviations of sites under rare arms, which are of this outcome alone.
    """

    data: FloatArray
    prior: FloatArray
    sites: FloatArray
    new: FloatArray
    random: np.random.Generator

    @classmethod
    def of(
        cls, joint: JointDraws, layout: Layout, known: KnownSites, arms: np.ndarray, n_draws: int
    ) -> "Noise":
        """Draw the numbers; `arms`: the number of each arm in the order of all outcomes."""
        layers = [0, *(1 + arms)]  # the shared terms, and the deviations of each arm
        q, n_arms, n_pairs = layout.shape[1], len(arms), n_draws // 2
        data = [joint.normal(TERMS, arm, shape=(q, n_pairs)) for arm in arms]
        prior = [joint.normal(PRIOR, layer, shape=(q, n_pairs)) for layer in layers]
        sites = [joint.normal(SITES, site, shape=(n_arms, n_pairs))[arms].T for site in known.numbers]
        effects = np.stack(sites, axis=1) if sites else np.zeros((n_pairs, 0, n_arms))
        new = joint.normal(NEW_SITE, shape=(n_arms + 1, n_draws))[layers].T
        return cls(np.concatenate(data), np.concatenate(prior), effects, new, joint.generator(RARE))


def _draw_component(
    c: Component, layout: Layout, known: KnownSites, pairs: np.ndarray, number: int, noise: Noise | None
) -> tuple[np.ndarray, ...]:
    """Draw terms and effects of sites from one posterior, with several draws of the prior variances.

    Also returned: the SDs of sites, of sites by arm and of therapists of each draw, and its place among all
    draws. `pairs`: numbers of the pairs of draws; `noise`: their random numbers, None for own ones.

    The draws are shifted to the mode: the mean over the drawn variances, which are heavy-tailed, predicts
    worse, by 0.1 points of gain at 300 patients.
    """
    random, of_sites = np.random.default_rng([0, number]), np.random.default_rng([7, number])
    n_pairs = len(noise.sites) if noise is not None else len(pairs)
    parts, effects, sizes, places = [], [], [], []
    for rows in np.array_split(pairs, min(len(pairs), VARIANCE_DRAWS)):
        system, prior = c.system(layout, random, of_sites)
        terms = system.terms(system.optimum(), layout.shape)
        if noise is None:
            white = random.standard_normal((len(system.factor), len(rows)))
            z = solve_triangular(system.factor, white, lower=True, trans="T", check_finite=False)
            white_of_sites = of_sites.standard_normal((len(rows), *known.is_rare.shape))
        else:
            z, white_of_sites = system.moved(noise.data[:, rows], noise.prior[:, rows]), noise.sites[rows]
        parts.append(_pairs(system, terms[0] + terms[1:], z))
        own = known.draw(c.mode, system, parts[-1], white_of_sites, symmetric=noise is not None)
        effects.append(own)
        sizes.append(np.tile([prior.site, prior.site_by_arm, prior.therapist], (2 * len(rows), 1)))
        places.append(np.concatenate([rows, rows + n_pairs]))
    draws, sites, sd, place = map(np.concatenate, (parts, effects, sizes, places))
    draws += c.mode.state.by_arm - draws.mean(axis=0)
    sites += c.mode.state.sites[known.numbers] - sites.mean(axis=0)
    return draws, known.disclosable(sites, sd, of_sites if noise is None else noise.random), sd, place


def _pairs(system: System, mean: FloatArray, z: FloatArray) -> FloatArray:
    """Return antithetic pairs of each arm's terms around their mean; `z`: (n_active, n_pairs)."""
    (n_arms, q), n_pairs = mean.shape, z.shape[1]
    moves = np.zeros(((n_arms + 1) * q, n_pairs))
    moves[system.active] = system.scale[:, None] * z
    layers = moves.reshape(n_arms + 1, q, n_pairs)
    steps = np.moveaxis(layers[0] + layers[1:], -1, 0)
    return np.concatenate([mean + steps, mean - steps])


def _projected(components: Sequence[Component], patients: Patients, *, new_site: bool = True) -> FloatArray:
    """Return the terms whose probabilities are closest to the posterior mean at a new (or the average) site.

    The therapist is a new one.

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
        others = c.prior.therapist**2
        if new_site:
            others += c.prior.site**2 + c.prior.site_by_arm**2
        for k, covariance in enumerate(covariances):
            variance = np.einsum("np,np->n", design @ covariance, design) + others
            target[:, k] += c.weight * normal_mean(design @ mean[k], variance)
            spread[k] += c.weight * np.diag(covariance)
        terms += c.weight * mean
    for k in range(patients.n_arms):
        terms[k] = matched(design, weights, target[:, k], terms[k], spread[k])
    return terms
