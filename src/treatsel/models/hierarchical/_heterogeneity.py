"""Prior variances by maximum evidence, and model averaging over the size of effect modification.

All prior variances but one maximize the evidence (empirical Bayes). The size of effect modification, on which
recommendations depend most, is averaged over instead: its evidence is flat, and a single value would be 0 or
overconfident. Models of a grid of sizes, including zero, are weighted by their evidence; each size with the
same variance for all covariates, and with one variance per covariate (sparse).
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from treatsel._checks import FloatArray
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Mode, Prior, State, System, advance, find_mode

LOG = logging.getLogger(__name__)

# The intercept is practically unpenalized: two SDs from 1 in 2 is an outcome of 1 in 20,000.
INTERCEPT_SD = 5.0

# Prior guesses, in logits, that keep the variances away from 0 and infinity if a kind has few terms; they
# count as much as PSEUDO_COUNT terms. ARM_SD: an arm deviates by an odds ratio of about 1.6. TOTALS: SD
# over patients of all terms of a kind together. With all four, prognosis has an SD of 0.77 logits, an AUC
# of about 0.7; missing indicators and hinges correct a linear predictor and are guessed smaller.
ARM_SD = 0.5
TOTALS = {"number": 0.6, "category": 0.4, "missing": 0.2, "hinge": 0.2}
PSEUDO_COUNT = 3.0
SIZE_GUESS = 0.2
# Largest SD over patients, in logits, of all terms of a kind together. Where covariates separate the outcomes
# the evidence increases without bound in it; at 5, a predictor already has an AUC of about 0.97.
MAX_TOTAL = 5.0

# Prior SD of the modifying terms of a kind relative to a number's: no hinges, which gained nothing on
# average in simulations and cost part of a strong linear modifier; missing indicators are guessed to modify
# effects less.
MODIFIER_RATIO = {"number": 1.0, "category": 1.0, "missing": 0.3, "hinge": 0.0}

# SD over patients of an arm's effect modification, in logits: 0, and doublings from negligible (0.05) to as
# large as the strongest prognosis (1.6); between doublings the evidence changes little. Half-Cauchy prior
# above zero (Gelman 2006, Bayesian Analysis 1(3), 515-534, doi:10.1214/06-BA117A) with scale TYPICAL_SIZE.
SIZES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
TYPICAL_SIZE = 0.5
NULL_WEIGHT = 0.2  # prior probability of no effect modification at all
SPARSE_WEIGHT = 0.5  # prior probability that modification, if any, is sparse

# Sparse modification: a covariate's variance, relative to an even spread, is scaled inverse chi-squared
# with SPARSE_FREEDOM degrees of freedom and scale SPARSE_SCALE. Half a degree of freedom gives tails
# heavier than Cauchy's, so that a single strong modifier is hardly shrunk while most covariates are close
# to 0. Tighter and heavier priors differed by less than the simulation error.
SPARSE_FREEDOM = 0.5
SPARSE_SCALE = 0.2
# Mean-field updates. They converge linearly and are stopped early: after 8 updates, precisions still change
# by 7 to 25 % per update (1,000 simulated patients).
SPARSE_STEPS = 8

# Grid of the SDs of site and of site by arm, in logits, and scale of their half-normal prior (half as much
# for site by arm): finer near 0, where the SDs of services usually lie.
SITE_SIZES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.2)
TYPICAL_SITE = 0.5
NEGLIGIBLE = 1e-3  # weight below which a model is left out of the average
MAX_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class Scales:
    """Hyperparameters: standard deviation per kind of term, of effect modification and of sites."""

    kinds: dict[str, float]
    size: float
    site: float = 0.0
    site_by_arm: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """Return the standard deviations that are the same for all sizes of modification."""
        return {**self.kinds, "site": self.site, "site x arm": self.site_by_arm}


@dataclass(frozen=True, eq=False)
class Component:
    """One size and shape of effect modification: its weight, prior and posterior."""

    size: float
    sparse: "Sparsity | None"
    weight: float
    scales: Scales
    prior: Prior
    mode: Mode


@dataclass(frozen=True, eq=False, repr=False)
class Sparsity:
    """Gamma distributions of each covariate's precision, relative to an even spread.

    `even` is the prior that they rescale, at the terms `where`, each of which belongs to a `source`.
    """

    even: Prior
    where: np.ndarray
    source: npt.NDArray[np.intp]
    shape: FloatArray
    rate: FloatArray

    def prior(self, precision: FloatArray) -> Prior:
        """Return the prior at given precisions, one per covariate."""
        terms = self.even.terms.copy()
        terms[self.where] /= np.sqrt(precision[self.source])
        return replace(self.even, terms=terms)

    def mean(self) -> Prior:
        """Return the prior at the mean precisions."""
        return self.prior(self.shape / self.rate)

    def draw(self, random: np.random.Generator) -> Prior:
        """Return the prior at precisions drawn from these distributions."""
        # at half a degree of freedom a drawn precision may underflow to 0, that is, an infinite variance
        return self.prior(np.maximum(random.gamma(self.shape) / self.rate, 1e-6))

    def log_bound(self) -> float:
        """Return the correction to the Laplace log evidence at the mean precisions, for weighting this model.

        It is the variational bound minus the bound without any data, which is loose by a constant. For a
        covariate on which the data are informative this exceeds the exact evidence by about half a nat
        (0.5 to 0.9 against sampling), and so favors sparse modification. With exact evidence, the gain in
        simulations was one point lower, and coverage 9 % lower, at 1,000 patients.
        """
        count = 2 * self.shape - SPARSE_FREEDOM
        used = count > 0
        bare = (SPARSE_FREEDOM + count) * SPARSE_SCALE / 2
        bound = _bound(count, self.shape, self.rate) - _bound(count, self.shape, bare)
        return float(bound[used].sum())


class Layout:
    """Assignment of terms to hyperparameters."""

    def __init__(
        self, kinds: np.ndarray, sources: npt.NDArray[np.intp], variances: FloatArray, n_arms: int
    ) -> None:
        self.n_arms, self.shape = n_arms, (n_arms + 1, len(kinds) + 1)
        ratio = np.array([MODIFIER_RATIO[kind] for kind in kinds]) if n_arms > 1 else np.zeros(len(kinds))
        total = float(np.sqrt((ratio**2 * variances[1:]).sum()))
        # SD of each modifying term at size 1: divided by the SD of the design, so that "size" is the SD over
        # patients of an arm's effect modification, whatever the number and scale of the covariates
        self.unit = ratio / total if total > 0 else ratio
        self.modifiers = np.zeros(self.shape, dtype=bool)
        self.modifiers[1:, 1:] = self.unit > 0
        self.source = np.broadcast_to(np.append(0, sources), self.shape)
        self.groups, self.guesses, self.largest = {}, {}, {}
        for kind in dict.fromkeys(kinds):
            where = np.zeros(self.shape, dtype=bool)
            where[0, 1:] = kinds == kind
            self.groups[kind] = where
            spread = float(np.sqrt(variances[1:][kinds == kind].sum()))
            spread = max(spread, 0.1)  # no huge guess for rare categories
            self.guesses[kind], self.largest[kind] = TOTALS[kind] / spread, MAX_TOTAL / spread
        if n_arms > 1:
            where = np.zeros(self.shape, dtype=bool)
            where[1:, 0] = True
            self.groups["arm"], self.guesses["arm"], self.largest["arm"] = where, ARM_SD, MAX_TOTAL

    def prior(self, scales: Scales) -> Prior:
        """Return the prior at these scales, with modification spread evenly."""
        terms = np.zeros(self.shape)
        terms[0, 0] = INTERCEPT_SD
        for kind, where in self.groups.items():
            terms[where] = scales.kinds[kind]
        terms[1:, 1:] = scales.size * self.unit
        return Prior(terms, scales.site, scales.site_by_arm)


@dataclass(frozen=True, eq=False)
class Averaged:
    """Models of several sizes and shapes of effect modification, averaged by evidence.

    `components`: posteriors, whose weights sum to 1. `scales`: the hyperparameters found. `sizes`: the sizes
    that were not ruled out. `start`: where the search for modes starts.
    """

    components: list[Component]
    layout: Layout
    scales: Scales
    sizes: list[float]
    start: State

    def again(self, patients: Patients) -> "Averaged":
        """Fit the models to other patients with the same hyperparameters, for cross-fitting.

        The few hyperparameters carry little information about single patients. The precisions of the sparse
        models, one per covariate, carry more, and are learned again.
        """
        sites = np.zeros((patients.n_sites, patients.n_arms))
        start = State(self.start.terms, sites)
        components = _components(patients, self.layout, self.scales, self.sizes, start)
        return replace(self, components=components)


def average_over_sizes(patients: Patients, kinds: np.ndarray, sources: npt.NDArray[np.intp]) -> Averaged:
    """Fit the hierarchical model at every size and shape of modification that the data do not rule out.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447. doi:10.1162/neco.1992.4.3.415
    Hoeting et al. (1999), Statistical Science 14(4), 382-417. doi:10.1214/ss/1009212519
    """
    layout = Layout(kinds, sources, patients.moments()[1], patients.n_arms)
    scales, state = maximize_evidence(patients, layout)
    sizes = [0.0] if patients.n_arms == 1 else _plausible_sizes(patients, layout, scales, state)
    return Averaged(_components(patients, layout, scales, sizes, state), layout, scales, sizes, state)


def _components(
    patients: Patients, layout: Layout, scales: Scales, sizes: list[float], state: State
) -> list[Component]:
    """Return the posterior at each size, even and sparse, without those of negligible weight."""
    found, log_weights = [], []
    for number, size in enumerate(sizes):
        LOG.info("Effect modification: size %d of %d", number + 1, len(sizes))
        at_size = replace(scales, size=size)
        prior = layout.prior(at_size)
        mode = find_mode(patients, state, prior)
        state = mode.state
        share = 0.0 if size == 0 else float(np.log(1 - SPARSE_WEIGHT))
        found.append(Component(size, None, 1.0, at_size, prior, mode))
        log_weights.append(mode.log_evidence + log_prior_of_size(size) + share)
        if size > 0:
            sparse = sparsity(mode, prior, layout)
            mode = find_mode(patients, state, sparse.mean())
            share = float(np.log(SPARSE_WEIGHT)) + sparse.log_bound()
            found.append(Component(size, sparse, 1.0, at_size, sparse.mean(), mode))
            log_weights.append(mode.log_evidence + log_prior_of_size(size) + share)
    weights = _normalized(np.array(log_weights))
    weights = np.where(weights > NEGLIGIBLE, weights, 0.0)
    weights /= weights.sum()
    return [replace(c, weight=float(w)) for c, w in zip(found, weights, strict=True) if w > 0]


def log_prior_of_size(size: float) -> float:
    """Return the log prior probability of a size: a point mass at zero, half-Cauchy above."""
    if size == 0:
        return float(np.log(NULL_WEIGHT))
    grid = np.array(SIZES[1:])
    mass = grid / (1 + (grid / TYPICAL_SIZE) ** 2)  # density times spacing on the log scale
    return float(np.log((1 - NULL_WEIGHT) * mass[SIZES.index(size) - 1] / mass.sum()))


def _normalized(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def _plausible_sizes(patients: Patients, layout: Layout, scales: Scales, state: State) -> list[float]:
    """Return the sizes of non-negligible weight, judged by a single quadratic approximation."""
    curvature = patients.curvature(state.by_arm, state.sites)
    log_weights = [
        System.build(curvature, state, layout.prior(replace(scales, size=size))).log_evidence()
        + log_prior_of_size(size)
        for size in SIZES
    ]
    weights = _normalized(np.array(log_weights))
    return [size for size, weight in zip(SIZES, weights, strict=True) if weight > NEGLIGIBLE]


def sparsity(mode: Mode, prior: Prior, layout: Layout) -> Sparsity:
    """Learn a variance for each covariate, with an inverse-gamma prior around the common variance.

    The terms of a covariate then have a Student-t prior (automatic relevance determination). Mean-field
    variational updates on the quadratic approximation at `mode`.

    References
    ----------
    Tipping (2001), J Machine Learning Research 1, 211-244.
    Bishop & Tipping (2000), UAI 16, 46-53 (variational updates).
    """
    where, source = layout.modifiers, layout.source[layout.modifiers]
    # Deviations of K arms from what they share have K - 1 degrees of freedom: without this factor, two arms
    # would count the evidence on a covariate twice.
    free = (layout.n_arms - 1) / layout.n_arms
    count = np.bincount(source) * free
    shape = (SPARSE_FREEDOM + count) / 2
    found = Sparsity(prior, where, source, shape, shape)  # start at precision 1, the even spread
    for _ in range(SPARSE_STEPS):
        system = System.build(mode.curvature, mode.state, found.mean())
        z, variance = np.zeros(layout.shape), np.ones(layout.shape)
        z.ravel()[system.active], variance.ravel()[system.active] = system.optimum(), system.variance()
        second = (z**2 + variance)[where] / (found.shape / found.rate)[source]
        squares = np.bincount(source, second) * free
        found = replace(found, rate=(SPARSE_FREEDOM * SPARSE_SCALE + squares) / 2)
    return found


def _bound(count: FloatArray, shape: FloatArray, rate: FloatArray) -> FloatArray:
    """Return each covariate's part of the variational bound beyond the evidence at its mean precision."""
    half, precision = SPARSE_FREEDOM / 2, shape / rate
    squares = 2 * rate - SPARSE_FREEDOM * SPARSE_SCALE
    gain = precision * squares / 2 - count / 2 * np.log(precision)
    prior = half * np.log(half * SPARSE_SCALE) - gammaln(half)
    return np.asarray(gain + prior - shape * np.log(rate) + gammaln(shape))


def maximize_evidence(patients: Patients, layout: Layout) -> tuple[Scales, State]:
    """Maximize the evidence: alternate Newton steps and MacKay's update of each variance until convergence.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447. doi:10.1162/neco.1992.4.3.415
    """
    scales = Scales(dict(layout.guesses), TYPICAL_SIZE)
    if patients.n_sites:
        scales = replace(scales, site=TYPICAL_SITE, site_by_arm=TYPICAL_SITE / 2)
    state = State(np.zeros(layout.shape), np.zeros((patients.n_sites, patients.n_arms)))
    # start at the logit of the base rate, kept finite
    rate = float(np.clip(patients.weights @ patients.y / patients.weights.sum(), 1e-3, 1 - 1e-3))
    state.terms[0, 0] = np.log(rate / (1 - rate))
    curvature = patients.curvature(state.by_arm, state.sites)
    for number in range(MAX_ROUNDS):
        LOG.info("Maximizing the evidence: round %d, at most %d", number + 1, MAX_ROUNDS)
        before = scales
        for _ in range(3):  # updates converge linearly, and are cheap compared with a pass over the patients
            scales = _updated(System.build(curvature, state, layout.prior(scales)), layout, scales)
        if patients.n_sites:
            linear = curvature.site_hessian * state.sites + curvature.site_gradient
            scales = _with_sites(curvature.site_hessian, linear, scales)
        state, curvature, _ = advance(patients, curvature, state, layout.prior(scales))
        if _change(before, scales) < 0.02:  # 2 % of a prior SD changes the posterior by much less than its SD
            break
    return scales, state


def _updated(system: System, layout: Layout, scales: Scales) -> Scales:
    """Return the scales after one fixed-point update: sum of squares over effective number of terms.

    The effective number is sum(1 - posterior variance of z), MacKay's gamma; the guess is added as
    ``PSEUDO_COUNT`` further terms.
    """
    z, kept = np.zeros(layout.shape), np.zeros(layout.shape)
    z.ravel()[system.active] = system.optimum()
    kept.ravel()[system.active] = 1 - system.variance()

    def scale(now: float, guess: float, largest: float, where: np.ndarray) -> float:
        total = now**2 * float((z[where] ** 2).sum()) + PSEUDO_COUNT * guess**2
        return min(float(np.sqrt(total / (float(kept[where].sum()) + PSEUDO_COUNT))), largest)

    kinds = {
        kind: scale(scales.kinds[kind], layout.guesses[kind], layout.largest[kind], where)
        for kind, where in layout.groups.items()
    }
    modifies = layout.modifiers.any()
    size = scale(scales.size, SIZE_GUESS, MAX_TOTAL, layout.modifiers) if modifies else 0.0
    return replace(scales, kinds=kinds, size=size)


def _with_sites(curve: FloatArray, linear: FloatArray, scales: Scales) -> Scales:
    """Return the scales with the posterior mean of the site variances over a grid, given the terms.

    The mean instead of the mode, since with few sites the mode is often 0 (Chung et al. 2013, Psychometrika
    78(4), 685-709, doi:10.1007/s11336-013-9328-2).
    """
    n_arms = linear.shape[1]
    grid = np.array([(site, by) for site in SITE_SIZES for by in (SITE_SIZES if n_arms > 1 else (0.0,))])
    values = []
    for site, by_arm in grid:
        sigma = site**2 + by_arm**2 * np.eye(n_arms)
        inner = np.eye(n_arms) + curve[:, :, None] * sigma
        covariance = sigma @ np.linalg.inv(inner)
        value = np.einsum("sk,skl,sl->", linear, covariance, linear) - np.linalg.slogdet(inner)[1].sum()
        values.append(0.5 * float(value) - 0.5 * (site**2 + 4 * by_arm**2) / TYPICAL_SITE**2)
    site, by_arm = np.sqrt(_normalized(np.array(values)) @ grid**2)
    return replace(scales, site=float(site), site_by_arm=float(by_arm))


def _change(old: Scales, new: Scales) -> float:
    """Return the largest relative change of a scale; 0.01 is added, so that scales near 0 do not count."""
    before, after = ({**s.to_dict(), "size": s.size} for s in (old, new))
    return max(abs(float(np.log((after[key] + 0.01) / (before[key] + 0.01)))) for key in before)
