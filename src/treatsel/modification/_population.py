"""Patients and posterior draws of one outcome's model, and what covariates contribute to its logits.

logit p_k(x) is split into its mean over arms (prognosis) and the deviation of each arm from it
(modification). A covariate's contribution to either is the value for a patient minus the mean over the values
that the covariate has in the population, with all other covariates as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.additive import AdditiveModel, logistic, score_trees

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 200  # patients at once: with 6 arms and 1,000 draws, an array takes 10 MB
N_DONORS = 10  # values of a covariate over which trees are averaged; linear terms use the exact mean


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Patients whose predictions are examined, at the average service if the model knows services.

    Attributes
    ----------
    model : AdditiveModel
        Model of one outcome, with posterior draws.
    clean : DataFrame of shape (n_patients, n_covariates)
        Covariates in clean form.
    """

    model: AdditiveModel
    clean: "pd.DataFrame"

    @lazy
    def matrix(self) -> FloatArray:
        """Encoded covariates, shape (n_patients, n_features)."""
        return self.model.encoding.encode(self.clean)

    @lazy
    def terms(self) -> FloatArray:
        """Values of all terms, shape (n_patients, n_terms): 1, features, scores of trees."""
        return self.terms_of(self.matrix)

    def terms_of(self, matrix: FloatArray) -> FloatArray:
        """Return the values of all terms for an encoded matrix."""
        parts = [np.ones((len(matrix), 1)), matrix]
        if self.model.trees is not None:
            parts.append(score_trees(self.model.trees, matrix))
        return np.column_stack(parts)

    @lazy
    def draws(self) -> FloatArray:
        """Posterior draws of the coefficients of the terms, shape (n_arms, n_terms, n_draws)."""
        drawn, sites = self.model.coefficient_draws, self.model.sites
        assert drawn is not None
        found = np.ascontiguousarray(drawn.transpose(1, 2, 0), dtype=np.float64)
        if sites is not None and sites.draws is not None:
            found[:, 0] += sites.draws[:, -1].T  # the average service comes last
        return found

    @lazy
    def point(self) -> FloatArray:
        """Coefficients with which the model predicts, shape (n_arms, n_terms)."""
        model, sites = self.model, self.model.sites
        intercept, linear = (
            (model.intercept, model.coefficients)
            if sites is None
            else (sites.intercept[-1], sites.coefficients)
        )
        parts = [intercept[:, None], linear]
        if model.trees is not None and model.mixing is not None:
            parts.append(model.mixing)
        return np.column_stack(parts)

    def columns_of(self, covariates: Sequence[str]) -> np.ndarray:
        """Return the columns of the matrix that belong to some covariates."""
        places = [self.model.encoding.names.index(name) for name in covariates]
        return np.flatnonzero(np.isin(self.model.encoding.sources, places))

    def departures(self, covariates: Sequence[str]) -> FloatArray:
        """Return each term minus its mean over the values of some covariates, shape (n_patients, n_terms).

        Several covariates are replaced together, by their values in the same patient.
        """
        columns = self.columns_of(covariates)
        found = np.zeros_like(self.terms)
        found[:, 1 + columns] = self.matrix[:, columns] - self.matrix[:, columns].mean(axis=0)
        trees = self.model.trees
        if trees is not None and np.isin(trees.feature, columns).any():
            start = 1 + self.matrix.shape[1]
            found[:, start:] = self.terms[:, start:]
            donors = self._donors(columns)
            for donor in donors:
                replaced = self.matrix.copy()
                replaced[:, columns] = donor
                found[:, start:] -= score_trees(trees, replaced) / len(donors)
        return found

    def _donors(self, columns: np.ndarray) -> FloatArray:
        """Return values of some columns at evenly spaced ranks, shape (n_donors, n_columns)."""
        own = self.matrix[:, columns]
        ordered = own[np.lexsort(own.T[::-1])]
        n = min(N_DONORS, len(ordered))
        return np.asarray(ordered[((np.arange(n) + 0.5) / n * len(ordered)).astype(int)])

    def blocks(self) -> Iterator[slice]:
        """Return the blocks of patients."""
        for start in range(0, len(self.terms), BLOCK):
            yield slice(start, start + BLOCK)

    def logits(self, rows: slice) -> FloatArray:
        """Return draws of the logits of some patients, shape (n_arms, n_rows, n_draws)."""
        return np.asarray(np.matmul(self.terms[rows], self.draws))

    def contributions(self, departures: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return draws of contributions in logits: to the mean over arms, and to each arm's deviation.

        Shapes (n_rows, n_draws) and (n_arms, n_rows, n_draws).
        """
        used = np.flatnonzero(departures.any(axis=0))
        shared = self.draws.mean(axis=0)
        own = np.matmul(departures[:, used], self.draws[:, used] - shared[used])
        return departures[:, used] @ shared[used], np.asarray(own)


def differences(probability: FloatArray, comparator: int) -> FloatArray:
    """Return the differences of all other arms to the comparator, along the first axis."""
    return np.asarray(np.delete(probability, comparator, axis=0) - probability[comparator])


@dataclass(frozen=True, eq=False, repr=False)
class Contribution:
    """What some covariates contribute to the predictions of the patients; draws come last.

    Attributes
    ----------
    modification : ndarray of shape (n_draws,)
        Standard deviation over patients of the contribution to a difference in probability between an arm
        and the comparator; root mean square over arms.
    noise : float
        The same for the deviations of the draws from their mean.
    prognosis : ndarray of shape (n_draws,)
        Standard deviation over patients of the contribution to the mean probability over arms.
    by_level : ndarray of shape (n_levels, n_arms - 1, n_draws)
        Mean contribution to the difference in probability among the patients of each level.
    logits : ndarray of shape (n_arms, n_levels, n_draws)
        Mean contribution to the deviation of each arm from the mean over arms, in logits.
    """

    modification: FloatArray
    noise: float
    prognosis: FloatArray
    by_level: FloatArray
    logits: FloatArray


def contributions_of(
    population: Population, departures: Sequence[FloatArray], levels: Sequence[FloatArray], comparator: int
) -> list[Contribution]:
    """Return what each set of covariates contributes.

    Parameters
    ----------
    departures : sequence of ndarray of shape (n_patients, n_terms)
        As returned by `Population.departures`.
    levels : sequence of ndarray of shape (n_levels, n_patients)
        Weights that give the mean over the patients of each level.
    comparator : int
        Position of the arm with which all others are compared.
    """
    n_arms, _, n_draws = population.draws.shape
    sums = [_Sums(len(each), n_arms, n_draws) for each in levels]
    # Means of levels, and not patients: the draws understate how far trees err for single patients.
    means = [
        population.contributions(weights @ each)[1] for each, weights in zip(departures, levels, strict=True)
    ]
    for rows in population.blocks():
        logit = population.logits(rows)
        full = logistic(logit)
        for own, departure, weights in zip(sums, departures, levels, strict=True):
            shared, deviation = population.contributions(departure[rows])
            change = differences(full - logistic(logit - deviation), comparator)
            own.add(change, (full - logistic(logit - shared)).mean(axis=0), weights[:, rows])
    return [own.contribution(logits) for own, logits in zip(sums, means, strict=True)]


class _Sums:
    """Sums over blocks of patients for one set of covariates."""

    def __init__(self, n_levels: int, n_arms: int, n_draws: int) -> None:
        self._arms = [_Spread(n_draws) for _ in range(n_arms - 1)]
        self._prognosis = _Spread(n_draws)
        self._by_level = np.zeros((n_levels, n_arms - 1, n_draws))

    def add(self, change: FloatArray, prognosis: FloatArray, weights: FloatArray) -> None:
        """Add contributions to differences and to the mean over arms."""
        for spread, values in zip(self._arms, change, strict=True):
            spread.add(values)
        self._prognosis.add(prognosis)
        self._by_level += np.matmul(weights, change).transpose(1, 0, 2)

    def contribution(self, logits: FloatArray) -> Contribution:
        """Return the contributions of all patients that were added."""
        variances = np.array([spread.variance for spread in self._arms])
        noise = variances.mean() - np.mean([spread.of_mean for spread in self._arms])
        return Contribution(
            modification=np.sqrt(variances.mean(axis=0)),
            noise=float(np.sqrt(max(noise, 0.0))),
            prognosis=np.sqrt(self._prognosis.variance),
            by_level=self._by_level,
            logits=logits,
        )


class _Spread:
    """Variance over patients, of each draw and of the mean over draws."""

    def __init__(self, n_draws: int) -> None:
        self._n, self._sum, self._squares = 0, np.zeros(n_draws), np.zeros(n_draws)
        self._means: list[FloatArray] = []

    def add(self, values: FloatArray) -> None:
        """Add patients, shape (n_rows, n_draws)."""
        # contributions are deviations from a mean, so that sums of squares lose no digits
        self._n += len(values)
        self._sum += values.sum(axis=0)
        self._squares += np.einsum("nd,nd->d", values, values)
        self._means.append(values.mean(axis=1))

    @property
    def variance(self) -> FloatArray:
        """Variance of each draw."""
        return np.asarray(np.maximum(self._squares / self._n - (self._sum / self._n) ** 2, 0.0))

    @property
    def of_mean(self) -> float:
        """Variance of the mean over draws."""
        return float(np.var(np.concatenate(self._means)))
