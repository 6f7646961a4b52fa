"""Prior variances by maximum evidence: one for each column, drawn towards the variance of its kind.

A column of the design has one variance for its shared effect (prognosis) and one for its deviations by arm
(effect modification). Most columns matter little and a few much more: with a variance of its own, a strong
column is hardly shrunken, while the others, whose variance is that of their kind, are shrunken together. The
prior is thus dense and sparse at once.
"""

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Prior, State, System, advance, curvature_at
from treatsel.models.hierarchical._outside import Outside
from treatsel.models.hierarchical._therapists import Residuals

LOG = logging.getLogger(__name__)

# The intercept and the thresholds of a score are practically unpenalized: two SDs of the intercept from 1 in
# 2 is an outcome of 1 in 20,000.
INTERCEPT_SD = 5.0
THRESHOLD_SD = 20.0

# Guessed prior SDs in logits: of a number's coefficient per SD of the number, and of the coefficient of a
# category, of a missing indicator and of a hinge (change of slope per SD). With 15 numbers of 0.15, prognosis
# has an SD of 0.6 logits, an AUC of about 0.66. Effects vary less than outcomes do. Hinges do not modify
# effects: below 1,000 patients they cost more than they gained, and with more patients trees replace them.
# Chosen by the mean gain over simulated processes with and without effect modification, at 300 and 1,000
# patients (benchmarks/selection/records.py and processes.py): with 0.07 instead of 0.1 it was up to 0.7
# points lower at 300 patients, with 0.15 up to 0.2 points lower at both sizes.
PROGNOSIS = {"number": 0.15, "category": 0.08, "missing": 0.05, "hinge": 0.08}
MODIFICATION = {"number": 0.1, "category": 0.05, "missing": 0.05, "hinge": 0.0}
# SD of an arm's mean, in logits, not estimated: a handful of arms hardly informs it. Arms of the same trial
# or service differ by an odds ratio of about 1.2.
ARM_SD = 0.15

# The variance of a column is scaled inverse chi-squared around that of its kind, with these degrees of
# freedom, of prognosis and of modification. Fewer let single columns stand out more.
PROGNOSIS_FREEDOM, MODIFICATION_FREEDOM = 4.0, 2.0
KIND_FREEDOM = 4.0  # the guess of a kind counts as much as this number of terms
# Largest SD of a column's terms: where a covariate separates the outcomes the evidence increases without
# bound in it; at 3 logits per SD, one number alone has an AUC of 0.97.
LARGEST = 3.0

# Grid of the SDs of site and of site by arm, in logits, and scale of their half-normal prior: finer near 0,
# where the SDs of services usually lie. With half this scale for site by arm, its SD was underestimated; a
# planted SD of 0.4 is now found as 0.3 to 0.5 (tests/models/test_known_sites.py).
SITE_SIZES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.2)
TYPICAL_SITE = 0.5
MAX_ROUNDS = 60


@dataclass(frozen=True, eq=False)
class Scales:
    """Hyperparameters, in logits: SDs of groups of terms, kinds, sites, sites by arm and therapists.

    `of_sites`: posterior probability of each pair of `site_sizes`; None without sites. `of_therapists`: of
    each of ``SITE_SIZES``; None without therapists.
    """

    groups: FloatArray
    kinds: FloatArray
    site: float = 0.0
    site_by_arm: float = 0.0
    of_sites: FloatArray | None = None
    therapist: float = 0.0
    of_therapists: FloatArray | None = None


class Layout:
    """Assignment of terms to groups with one variance each, and of groups to kinds.

    Attributes
    ----------
    shape : tuple of int
        Of the terms: (n_arms + 1, 1 + n_features + n_thresholds); row 0 is shared by the arms.
    names : list of str
        Kinds: number, category, missing and hinge for prognosis, and "number x arm", ... for modification.
    kind, freedom, count : ndarray of shape (n_groups,)
        Position of a group's kind; degrees of freedom of its variance; and its number of independent terms.
    modifies : ndarray of bool of shape (n_groups,)
        Whether a group is the effect modification of a column.
    """

    def __init__(
        self,
        kinds: npt.NDArray[np.str_],
        variances: FloatArray,
        n_arms: int,
        n_thresholds: int = 0,
        prognosis: Mapping[str, float] = PROGNOSIS,
        rare: npt.NDArray[np.bool_] | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.outside = outside
        self.n_columns = len(kinds) + 1
        self.shape = (n_arms + 1, self.n_columns + n_thresholds)
        self._fixed = np.zeros(self.shape)
        self._fixed[0, 0], self._fixed[0, self.n_columns :] = INTERCEPT_SD, THRESHOLD_SD
        self._fixed[1:, 0] = ARM_SD if n_arms > 1 else 0.0
        if outside is not None:  # published differences larger than usual are hardly shrunken once more
            self._fixed[1:, 0][outside.speaks_of] = max(ARM_SD, outside.arm_sd())
        # deviations of K arms from what they share have K - 1 degrees of freedom
        self._free = np.array([1.0, *[(n_arms - 1) / n_arms] * n_arms])[:, None]
        self.names: list[str] = []
        self.guesses: list[float] = []
        self._group = np.full(self.shape, -1)
        of_group: list[tuple[int, float, float]] = []
        layers = [(slice(0, 1), "", prognosis, PROGNOSIS_FREEDOM)]
        if n_arms > 1:
            layers += [(slice(1, None), " x arm", MODIFICATION, MODIFICATION_FREEDOM)]
        for rows, ending, guesses, freedom in layers:
            for j, kind in enumerate(kinds, start=1):
                if guesses[kind] > 0 and variances[j] > 0:
                    own = np.full(n_arms + 1, False)
                    own[rows] = True
                    if rare is not None and ending:  # a term of a handful of patients would describe them
                        own[1:] &= ~rare[:, j]
                    self._group[own, j] = len(of_group)
                    count = float(self._free[own].sum())
                    of_group.append((self._number_of(kind + ending, guesses[kind]), freedom, count))
        table = np.array(of_group, dtype=float).reshape(-1, 3)
        self.kind, self.freedom, self.count = table[:, 0].astype(np.intp), table[:, 1], table[:, 2]
        self.modifies = np.array([name.endswith("x arm") for name in self.names], dtype=bool)[self.kind]

    def _number_of(self, name: str, guess: float) -> int:
        if name not in self.names:
            self.names.append(name)
            self.guesses.append(guess)
        return self.names.index(name)

    def guessed(self) -> Scales:
        """Return the scales before any data."""
        kinds = np.array(self.guesses, dtype=float)
        return Scales(kinds[self.kind], kinds)

    def prior(self, scales: Scales) -> Prior:
        """Return the prior at these scales."""
        terms = np.where(self._group < 0, self._fixed, np.append(scales.groups, 0.0)[self._group])
        return Prior(terms, scales.site, scales.site_by_arm, self.outside, scales.therapist)

    def with_outside(self, outside: Outside | None) -> "Layout":
        """Return the same layout with other estimates from elsewhere, for the same arms."""
        other = copy(self)
        other.outside = outside
        return other

    def sums(self, values: FloatArray) -> FloatArray:
        """Return sums over the terms of each group, by degrees of freedom; `values` as `shape`."""
        used = self._group >= 0
        counted = np.broadcast_to(self._free, self.shape)[used]
        return np.asarray(np.bincount(self._group[used], values[used] * counted, len(self.kind)), float)

    def by_column(self, scales: Scales) -> FloatArray:
        """Return the prior SD of prognosis and modification of each column, shape (n_features, 2)."""
        terms = self.prior(scales).terms[:, 1 : self.n_columns]
        return np.column_stack([terms[0], terms[-1] if len(terms) > 2 else np.zeros(terms.shape[1])])


def maximize_evidence(
    patients: Patients, layout: Layout, scales: Scales, *, start: State | None = None
) -> tuple[Scales, State]:
    """Maximize the evidence: alternate Newton steps and updates of each variance until convergence.

    With a `start`, the scales of kinds and sites are kept, and only those of columns are learned.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447. doi:10.1162/neco.1992.4.3.415
    Tipping (2001), J Machine Learning Research 1, 211-244. (one variance per column)
    """
    learns_kinds = start is None
    state = _first(patients, layout) if start is None else start
    curvature = curvature_at(patients, state)
    for number in range(MAX_ROUNDS):
        LOG.info("Maximizing the evidence: round %d, at most %d", number + 1, MAX_ROUNDS)
        before = scales
        for _ in range(3):  # updates converge linearly, and are cheap compared with a pass over the patients
            system = System.build(curvature, state, layout.prior(scales))
            scales = _updated(system, layout, scales, kinds=learns_kinds)
        if learns_kinds and (patients.n_sites or patients.n_caseloads):
            residuals = Residuals.at(curvature, state.sites, state.therapists)
            scales = with_sites(_with_therapists(scales, residuals), residuals, patients.n_sites)
        state, curvature, _ = advance(patients, curvature, state, layout.prior(scales))
        if _change(before, scales) < 0.02:  # 2 % of a prior SD changes the posterior by much less than its SD
            break
    return scales, state


def no_effects(patients: Patients, terms: FloatArray) -> State:
    """Return the state with these terms, and without effects of sites and therapists."""
    return State(terms, np.zeros((patients.n_sites, patients.n_arms)), np.zeros(patients.n_caseloads))


def _first(patients: Patients, layout: Layout) -> State:
    """Return the state without covariates: the base rate, kept finite, and the thresholds."""
    state = no_effects(patients, np.zeros(layout.shape))
    rate = float(np.clip(patients.weights @ patients.y / patients.weights.sum(), 1e-3, 1 - 1e-3))
    state.terms[0, 0] = np.log(rate / (1 - rate))
    if patients.levels.n_free:
        state.terms[0, layout.n_columns :] = patients.levels.start(patients.weights)
    return state


def _updated(system: System, layout: Layout, scales: Scales, *, kinds: bool) -> Scales:
    """Return the scales after one fixed-point update: sum of squares over effective number of terms.

    The effective number is sum(1 - posterior variance of z), MacKay's gamma. A column's variance takes its
    kind's as `freedom` further terms; a kind's variance, with the ratios of its columns to it held, takes the
    guess as ``KIND_FREEDOM`` further terms.
    """
    z, kept = np.zeros(layout.shape), np.zeros(layout.shape)
    z.ravel()[system.active] = system.optimum()
    kept.ravel()[system.active] = 1 - system.variance()
    squares, effective = layout.sums(z**2), layout.sums(kept)
    of_kind = scales.kinds**2
    if kinds:
        n = len(layout.names)
        total = of_kind * np.bincount(layout.kind, squares, n) + KIND_FREEDOM * np.square(layout.guesses)
        of_kind = total / (np.bincount(layout.kind, effective, n) + KIND_FREEDOM)
    total = layout.freedom * of_kind[layout.kind] + scales.groups**2 * squares
    groups = np.sqrt(total / (layout.freedom + effective))
    return replace(scales, groups=np.minimum(groups, LARGEST), kinds=np.sqrt(of_kind))


def draw_groups(system: System, layout: Layout, scales: Scales, random: np.random.Generator) -> Scales:
    """Return scales whose groups are drawn from their posterior: precisions are gamma distributed."""
    z, second = np.zeros(layout.shape), np.zeros(layout.shape)
    z.ravel()[system.active] = system.optimum()
    second.ravel()[system.active] = system.variance()
    squares = scales.groups**2 * layout.sums(z**2 + second)
    rate = layout.freedom * scales.kinds[layout.kind] ** 2 + squares
    precision = random.gamma((layout.freedom + layout.count) / 2) / np.maximum(rate / 2, 1e-12)
    drawn = np.minimum(1 / np.sqrt(np.maximum(precision, 1e-12)), LARGEST)
    return replace(scales, groups=np.where(scales.groups > 0, drawn, 0.0))


def site_sizes(n_arms: int) -> FloatArray:
    """Return the pairs of SDs, of sites and of sites by arm, between which the data decide."""
    return np.array([(site, by) for site in SITE_SIZES for by in (SITE_SIZES if n_arms > 1 else (0.0,))])


def draw_sites(scales: Scales, n_arms: int, random: np.random.Generator) -> Scales:
    """Return scales whose SDs of sites and therapists are drawn from their posterior."""
    if scales.of_sites is not None:
        site, by_arm = site_sizes(n_arms)[random.choice(len(scales.of_sites), p=scales.of_sites)]
        scales = replace(scales, site=float(site), site_by_arm=float(by_arm))
    if scales.of_therapists is not None:
        scales = replace(scales, therapist=float(random.choice(SITE_SIZES, p=scales.of_therapists)))
    return scales


def with_sites(scales: Scales, residuals: Residuals, n_sites: int) -> Scales:
    """Return the scales with the posterior mean of the variances of sites over a grid, given the terms.

    The mean instead of the mode, since with few sites the mode is often 0 (Chung et al. 2013, Psychometrika
    78(4), 685-709, doi:10.1007/s11336-013-9328-2).
    """
    if not n_sites:
        return scales
    sums, _ = residuals.without_therapists(scales.therapist)
    grid = site_sizes(sums.shape[2])
    weights = _posterior(grid, [_log_likelihood(sums, *sizes) for sizes in grid])
    site, by_arm = np.sqrt(weights @ grid**2)
    return replace(scales, site=float(site), site_by_arm=float(by_arm), of_sites=weights)


def _with_therapists(scales: Scales, residuals: Residuals) -> Scales:
    """Return the scales with the posterior mean of the variance of therapists, given those of sites."""
    if not len(residuals.cells):
        return scales
    values = []
    for sd in SITE_SIZES:
        sums, value = residuals.without_therapists(sd)
        values.append(value + _log_likelihood(sums, scales.site, scales.site_by_arm))
    grid = np.array(SITE_SIZES)
    weights = _posterior(grid[:, None], values)
    return replace(scales, therapist=float(np.sqrt(weights @ grid**2)), of_therapists=weights)


def _posterior(grid: FloatArray, log_likelihood: Sequence[float]) -> FloatArray:
    """Return the posterior probabilities of SDs, shape (n, d), under half-normal priors."""
    values = np.array(log_likelihood) - 0.5 * (grid**2).sum(axis=1) / TYPICAL_SITE**2
    weights = np.exp(values - values.max())
    return np.asarray(weights / weights.sum())


def _log_likelihood(sums: FloatArray, site: float, by_arm: float) -> float:
    """Return the log-likelihood of the SDs of sites; `sums`: linear part and curvature, shape (2, S, K)."""
    linear, curve = sums
    n_arms = linear.shape[1]
    sigma = site**2 + by_arm**2 * np.eye(n_arms)
    inner = np.eye(n_arms) + curve[:, :, None] * sigma
    covariance = sigma @ np.linalg.inv(inner)
    value = np.einsum("sk,skl,sl->", linear, covariance, linear) - np.linalg.slogdet(inner)[1].sum()
    return 0.5 * float(value)


def _change(old: Scales, new: Scales) -> float:
    """Return the largest relative change of a scale; 0.01 is added, so that scales near 0 do not count."""
    before, after = (
        np.concatenate([s.groups, s.kinds, [s.site, s.site_by_arm, s.therapist]]) for s in (old, new)
    )
    return float(np.abs(np.log((after + 0.01) / (before + 0.01))).max())
