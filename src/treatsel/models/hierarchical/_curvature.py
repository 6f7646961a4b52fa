"""Log-likelihood, gradient and curvature of a logistic model by arm, in one pass over the patients.

The hierarchical model needs only sums over patients from the data. They are computed in blocks, so that
memory does not grow with the number of patients.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from treatsel._checks import FloatArray
from treatsel.additive import Encoding, patients_of
from treatsel.models.hierarchical._levels import Contributions, Levels

MOST_LEVERAGE = 0.95
BLOCK_CELLS = 4_000_000  # numbers of the design matrix held at once: 32 MB


NO_EFFECTS: FloatArray = np.zeros(0)


@dataclass(frozen=True, eq=False, repr=False)
class CaseloadSums:
    """Sums over the patients of a therapist under an arm, for C such caseloads.

    Attributes
    ----------
    cells : ndarray of int of shape (C,)
        Site and arm of each caseload: K times the number of the site (0 without sites), plus that of the arm.
    gradient, hessian : ndarray of shape (C,)
        With respect to the effect of the caseload.
    cross : ndarray of shape (C, q)
        Second derivatives between this effect and the arm's terms.
    """

    cells: npt.NDArray[np.intp]
    gradient: FloatArray
    hessian: FloatArray
    cross: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Curvature:
    """Sums over patients at a parameter value: K arms, q terms (the first is the intercept), S sites.

    Attributes
    ----------
    loglik : float
        Log-likelihood.
    gradient : ndarray of shape (K, q)
        With respect to each arm's terms.
    hessian : ndarray of shape (K, q, q)
        Of minus the log-likelihood; no patient is in two arms, so it is block diagonal in the arms.
    site_gradient, site_hessian : ndarray of shape (S, K)
        With respect to each site's intercept under each arm.
    cross : ndarray of shape (S, K, q)
        Second derivatives between these intercepts and the arm's terms.
    caseloads : CaseloadSums or None
        With respect to the effects of therapists; None without therapists.
    """

    loglik: float
    gradient: FloatArray
    hessian: FloatArray
    site_gradient: FloatArray
    site_hessian: FloatArray
    cross: FloatArray
    caseloads: CaseloadSums | None = None


class Patients:
    """Patients as blocks of a design matrix that is summed by arm.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Encoded again in every pass, unless a single block holds them all.
    encoding : Encoding
        Maps them to the design matrix.
    arms : ndarray of int of shape (n_patients,)
        Position of the received arm.
    y, weights : ndarray of shape (n_patients,)
        Outcomes and sample weights.
    n_arms : int
        Number of arms.
    sites : ndarray of int of shape (n_patients,), optional
        Number of the site, 0 to S - 1; None: no site effects.
    therapists : ndarray of int of shape (n_patients,), optional
        Number of the therapist, who works at one site; -1: no therapist. None: no effects of therapists.
    levels : Levels, optional
        Ordered levels of the score behind the outcome; None: the two levels of y.
    """

    def __init__(
        self,
        covariates: pd.DataFrame,
        encoding: Encoding,
        *,
        arms: npt.NDArray[np.intp],
        y: FloatArray,
        weights: FloatArray,
        n_arms: int,
        sites: npt.NDArray[np.intp] | None = None,
        therapists: npt.NDArray[np.intp] | None = None,
        levels: Levels | None = None,
    ) -> None:
        self._covariates, self._encoding = covariates, encoding
        self.arms, self.y, self.weights, self.n_arms = arms, y, weights, n_arms
        self.sites = np.zeros(len(y), dtype=np.intp) if sites is None else sites
        self.n_sites = 0 if sites is None else int(sites.max()) + 1
        self.therapists = therapists
        self._number_caseloads()
        self.levels = Levels.binary(y) if levels is None else levels
        self.n_columns = len(encoding.features) + 1
        self.n_terms = self.n_columns + self.levels.n_free
        rows = max(BLOCK_CELLS // self.n_columns, 1000)
        # design matrix and weights of those over whom published estimates are averages; None: these patients
        self.population: tuple[FloatArray, FloatArray] | None = None
        self._slices = [slice(i, i + rows) for i in range(0, len(y), rows)]
        self._kept = self._design(self._slices[0]) if len(self._slices) == 1 else None

    def _number_caseloads(self) -> None:
        """Number the pairs of therapist and arm; -1: no therapist."""
        self.caseloads = np.full(len(self.y), -1)
        self._cells = np.zeros(0, dtype=np.intp)
        if self.therapists is None:
            return
        has = self.therapists >= 0
        pairs = self.therapists[has] * self.n_arms + self.arms[has]
        _, first, self.caseloads[has] = np.unique(pairs, return_index=True, return_inverse=True)
        self._cells = (self.sites * self.n_arms + self.arms)[has][first]

    @property
    def clusters(self) -> npt.NDArray[np.intp] | None:
        """Number of each patient's site, or without sites of the therapist; None with neither.

        Patients without a therapist have numbers of their own.
        """
        if self.n_sites or self.therapists is None:
            return self.sites if self.n_sites else None
        alone = self.therapists < 0
        own = np.cumsum(alone) + self.therapists.max()
        return np.asarray(np.where(alone, own, self.therapists))

    @property
    def n(self) -> float:
        """Number of patients; whole weights are counts."""
        return float(patients_of(self.weights).sum())

    @property
    def n_caseloads(self) -> int:
        """Number of pairs of therapist and arm."""
        return len(self._cells)

    def subset(self, rows: npt.NDArray[np.intp]) -> "Patients":
        """Return some of the patients, by position."""
        sites = np.unique(self.sites[rows], return_inverse=True)[1] if self.n_sites else None
        return Patients(
            self._covariates.iloc[rows],
            self._encoding,
            arms=self.arms[rows],
            y=self.y[rows],
            weights=self.weights[rows],
            n_arms=self.n_arms,
            sites=sites,
            therapists=None if self.therapists is None else self.therapists[rows],
            levels=self.levels.among(rows),
        )

    def with_covariates(self, covariates: pd.DataFrame) -> "Patients":
        """Return the same patients with other values of the covariates."""
        other = copy(self)
        other._covariates = covariates
        other._kept = other._design(self._slices[0]) if len(self._slices) == 1 else None
        return other

    def _design(self, rows: slice) -> FloatArray:
        matrix = self._encoding.encode(self._covariates.iloc[rows])
        return np.column_stack([np.ones(len(matrix)), matrix])

    def blocks(self) -> Iterator[tuple[FloatArray, slice]]:
        """Yield the design matrix, with its column of ones, block by block."""
        for rows in self._slices:
            yield (self._design(rows) if self._kept is None else self._kept), rows

    def with_arms(self, arms: npt.NDArray[np.intp]) -> "Patients":
        """Return the same patients with other arm numbers."""
        other = copy(self)
        other.arms = arms
        other._number_caseloads()
        return other

    def totals_by_arm(self) -> list[FloatArray]:
        """Return sums by arm (covariates, events, patients), to order arms without their labels."""
        totals = np.zeros((3, self.n_arms))
        for design, rows in self.blocks():
            weights, arms = self.weights[rows], self.arms[rows]
            values = (weights * design.sum(axis=1), weights * self.y[rows], weights)
            totals += [np.bincount(arms, value, self.n_arms) for value in values]
        return list(totals)

    def keys(self, number: int) -> FloatArray:
        """Return a pseudo-random number in [0, 1) for each patient, derived from the covariates.

        The key of a patient does not depend on the other patients or on the order of rows and columns. Each
        `number` gives different keys.
        """
        # A random projection of the row; the directions are seeded by the names of the features, so that
        # the order of columns does not matter. Multiplied by 1,000, its fractional part is nearly uniform,
        # and patients with similar covariates get unrelated keys.
        seeds = [crc32(f"{number} {feature}".encode()) for feature in self._encoding.features]
        direction = np.array([0.0, *(np.random.default_rng(seed).standard_normal() for seed in seeds)])
        parts = [np.einsum("np,p->n", design, direction) for design, _ in self.blocks()]
        return np.asarray(np.mod(1000.0 * np.concatenate(parts), 1.0))

    def logits(self, terms: FloatArray) -> FloatArray:
        """Return each patient's logit under each arm, with site effects of 0: (n_patients, K)."""
        coefficients = terms[:, : self.n_columns].T
        return np.concatenate([design @ coefficients for design, _ in self.blocks()])

    def columns(self, which: npt.NDArray[np.intp]) -> FloatArray:
        """Return some columns of the matrix (without its column of ones) for all patients."""
        return np.concatenate([design[:, 1 + which] for design, _ in self.blocks()])

    def sample(self, n_rows: int) -> tuple[FloatArray, FloatArray]:
        """Return design matrix and weights of at most `n_rows` patients, equally spaced in the table."""
        n = len(self.y)
        rows = np.unique(np.linspace(0, n - 1, min(n_rows, n)).round().astype(int))
        matrix = self._encoding.encode(self._covariates.iloc[rows])
        return np.column_stack([np.ones(len(rows)), matrix]), self.weights[rows]

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return weighted mean and variance of each term, shape (q,)."""
        total, squares = np.zeros(self.n_columns), np.zeros(self.n_columns)
        for design, rows in self.blocks():
            total += self.weights[rows] @ design
            squares += self.weights[rows] @ design**2
        mean = total / self.weights.sum()
        return mean, np.maximum(squares / self.weights.sum() - mean**2, 0.0)

    def having(self) -> FloatArray:
        """Return the number of patients of each arm with a value other than 0 in each column: (K, q)."""
        counts, people = np.zeros((self.n_arms, self.n_columns)), patients_of(self.weights)
        for design, rows in self.blocks():
            for k in range(self.n_arms):
                mine = self.arms[rows] == k
                counts[k] += people[rows][mine] @ (design[mine] != 0)
        return counts

    def counts_by_site(self) -> FloatArray:
        """Return the number of patients of each site under each arm, shape (S, K)."""
        if not self.n_sites:
            return np.zeros((0, self.n_arms))
        cells = self.sites * self.n_arms + self.arms
        counts = np.bincount(cells, patients_of(self.weights), minlength=self.n_sites * self.n_arms)
        return np.asarray(counts.reshape(self.n_sites, self.n_arms))

    def curvature(
        self, terms: FloatArray, site_effects: FloatArray, therapist_effects: FloatArray = NO_EFFECTS
    ) -> Curvature:
        """Return the sums over all patients.

        Parameters
        ----------
        terms : ndarray of shape (K, q)
            Intercept, coefficients and thresholds of each arm (thresholds are the same in all arms).
        site_effects : ndarray of shape (S, K)
            Intercept of each site under each arm, added to the arm's.
        therapist_effects : ndarray of shape (C,)
            Effect of each caseload.

        Notes
        -----
        A patient of level l has passed threshold l and failed threshold l + 1. The likelihood of a
        cumulative logit model is the product of these two binary likelihoods, and of a factor of the
        distance between the two thresholds, 1 - exp(-distance).
        """
        n_arms, q, n_sites, p = self.n_arms, self.n_terms, self.n_sites, self.n_columns
        loglik, gradient, hessian = 0.0, np.zeros((n_arms, q)), np.zeros((n_arms, q, q))
        of_sites = np.zeros((2, n_sites * n_arms))
        cross = np.zeros((n_sites * n_arms, q))
        of_caseloads, in_caseload = np.zeros((2, self.n_caseloads)), np.zeros((self.n_caseloads, q))
        thresholds = self.levels.thresholds(terms[0, p:])
        for design, rows in self.blocks():
            arms = self.arms[rows]
            part = self._contributions(design, rows, terms, site_effects, therapist_effects, thresholds)
            loglik += part.loglik
            for k in range(n_arms):
                mine = np.flatnonzero(arms == k)
                x = design[mine]
                gradient[k, :p] += part.residual[mine] @ x
                hessian[k, :p, :p] += (x * part.curve[mine, None]).T @ x
                if q > p:
                    own = part.among(mine)
                    gradient[k, p:] += own.threshold_gradient()
                    hessian[k, p:, p:] += own.threshold_hessian()
                    mixed = own.curve_by_threshold() @ x
                    hessian[k, p:, :p] += mixed
                    hessian[k, :p, p:] += mixed.T
            if n_sites:
                cell = self.sites[rows] * n_arms + arms
                _add_by_group(part, design, cell, of_sites, cross)
            if self.n_caseloads:
                with_one = np.flatnonzero(self.caseloads[rows] >= 0)
                group = self.caseloads[rows][with_one]
                _add_by_group(part.among(with_one), design[with_one], group, of_caseloads, in_caseload)
        shape = (n_sites, n_arms)
        return Curvature(
            loglik,
            gradient,
            hessian,
            of_sites[0].reshape(shape),
            of_sites[1].reshape(shape),
            cross.reshape(*shape, q),
            CaseloadSums(self._cells, of_caseloads[0], of_caseloads[1], in_caseload)
            if self.n_caseloads
            else None,
        )

    def _contributions(
        self,
        design: FloatArray,
        rows: slice,
        terms: FloatArray,
        site_effects: FloatArray,
        therapist_effects: FloatArray,
        thresholds: FloatArray,
    ) -> Contributions:
        """Return log-likelihood and derivatives of a block of patients."""
        arms, of = self.arms[rows], terms[:, : self.n_columns]
        eta = np.einsum("np,np->n", design, of[arms]) if len(of) > 1 else design @ of[0]
        if self.n_sites:
            eta = eta + site_effects[self.sites[rows], arms]
        if self.n_caseloads:  # the last is that of patients without a therapist
            eta = eta + np.append(therapist_effects, 0.0)[self.caseloads[rows]]
        return Contributions.at(eta, self.levels.among(rows), thresholds, self.weights[rows])

    def left_out_loglik(
        self,
        terms: FloatArray,
        site_effects: FloatArray,
        covariance: FloatArray,
        therapist_effects: FloatArray = NO_EFFECTS,
    ) -> float:
        """Return the log-likelihood of each patient's event, given all other patients.

        One Newton step from the mode removes a patient. Sites, therapists, thresholds and hyperparameters are
        held.

        Parameters
        ----------
        terms, site_effects, therapist_effects
            As in `curvature`, at the mode.
        covariance : ndarray of shape (K, q, q)
            Posterior covariance of each arm's terms.

        References
        ----------
        Pregibon (1981), Annals of Statistics 9(4), 705-724. doi:10.1214/aos/1176345513 (one-step deletion)
        """
        p, total = self.n_columns, 0.0
        thresholds = self.levels.thresholds(terms[0, p:])
        for design, rows in self.blocks():
            part = self._contributions(design, rows, terms, site_effects, therapist_effects, thresholds)
            variance = np.empty(len(design))
            for k in range(self.n_arms):
                mine = self.arms[rows] == k
                variance[mine] = np.einsum("np,np->n", design[mine] @ covariance[k, :p, :p], design[mine])
            # a leverage of 1 would leave the patient's logit undetermined by the others
            leverage = np.minimum(part.curve * variance, MOST_LEVERAGE)
            eta = part.eta - variance * part.residual / (1 - leverage)
            total += self.weights[rows] @ (self.y[rows] * eta - np.logaddexp(0.0, eta))
        return float(total)


def _add_by_group(
    part: Contributions, design: FloatArray, group: npt.NDArray[np.intp], sums: FloatArray, cross: FloatArray
) -> None:
    """Add each group's gradient and curvature, shape (2, n_groups), and second derivatives with terms."""
    n_groups, p = len(cross), design.shape[1]
    sums[0] += np.bincount(group, part.residual, minlength=n_groups)
    sums[1] += np.bincount(group, part.curve, minlength=n_groups)
    where, size = (group, np.arange(len(group))), (n_groups, len(group))
    cross[:, :p] += csr_array((part.curve, where), shape=size) @ design
    if cross.shape[1] > p:
        in_group = csr_array((np.ones(len(group)), where), shape=size)
        cross[:, p:] += (in_group @ part.curve_by_threshold().T).toarray()
