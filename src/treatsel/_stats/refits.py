"""Refits of one logistic regression to many resamples, given as counts of patients and events at places.

A place is a distinct prediction, or a cell of close ones. What does not change between resamples (the columns
at the places, the fit to all patients) is computed once; each refit takes Newton's steps from there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.logistic import LogisticFit, fit_logistic

CELLS = 8192  # with more distinct predictions, close ones share a place, which changes limits by about 1e-5
MOST_STEPS = 30
MOST_TOGETHER = 10  # steps of many fits at once: nearly all converge in 4 to 6, the others are fitted alone
CLOSE_LOGIT = 1e-5  # last step of a coefficient; Newton's method squares the error, to about 1e-10
CLOSE_PROBABILITY = 1e-6  # last step of a probability, likewise
# Score that remains at the maximum, for columns that are orthonormal over the patients, times the root of
# their number: steps that overshoot until all probabilities are 0 or 1 also stop moving them, but not there.
CLOSE_SCORE = 1e-4
FAR = 5.0  # a longer step of a coefficient may overshoot; the fit is then made with step halving


def cells_of(x: FloatArray) -> FloatArray:
    """Return the cell of each value: one of ``CELLS`` cells of equal width over the range of the values."""
    low, high = x.min(), x.max()
    return np.asarray(np.floor((x - low) * (CELLS / (high - low))))


def both_classes(
    counts: FloatArray, events: FloatArray
) -> tuple[npt.NDArray[np.intp], FloatArray, FloatArray]:
    """Return place, outcome and weight of the events and the non-events at each place, leaving out zeros."""
    weights = np.concatenate([events, counts - events])
    kept = np.flatnonzero(weights > 0)
    return kept % len(counts), (kept < len(counts)).astype(float), weights[kept]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Refits:
    """A logistic regression at the places, fitted to all patients, and its refits.

    Attributes
    ----------
    columns : ndarray of shape (n_terms, n_places)
        The design.
    offset : ndarray of shape (n_places,) or float
        Known part of the logit.
    start : ndarray of shape (n_terms,)
        Coefficients of the fit to all patients.
    fitted : ndarray of shape (n_places,)
        Its probabilities.
    of_probabilities : bool
        Whether to stop when the probabilities converge, which they do even where the coefficients diverge (a
        resample without events at the smallest predictions), or when the coefficients converge.
    """

    columns: FloatArray
    offset: FloatArray | float
    start: FloatArray
    fitted: FloatArray
    of_probabilities: bool

    @classmethod
    def of(
        cls,
        columns: FloatArray,
        start: FloatArray,
        *,
        offset: FloatArray | float = 0.0,
        of_probabilities: bool = False,
    ) -> "Refits":
        """Return the refits that start from these coefficients of the fit to all patients."""
        fitted = np.asarray(expit(offset + start @ columns))
        return cls(
            columns=columns, offset=offset, start=start, fitted=fitted, of_probabilities=of_probabilities
        )

    def coefficients(self, counts: FloatArray, events: FloatArray) -> FloatArray | None:
        """Return the coefficients in a resample; None if there are none."""
        found = self._climb(counts, events)
        if found is None and (fit := fit_at_places(self.columns, counts, events, offset=self.offset)):
            found = fit.coefficients
        return found

    def probabilities(self, counts: FloatArray, events: FloatArray) -> FloatArray:
        """Return the fitted probability at each place; NaN if there is no fit."""
        found = self.coefficients(counts, events)
        if found is None:
            return np.full(self.columns.shape[1], np.nan)
        return np.asarray(expit(self.offset + found @ self.columns))

    def probabilities_of_many(self, counts: FloatArray, events: FloatArray) -> FloatArray:
        """Return the fitted probabilities for several outcomes of the same patients; NaN without a fit.

        Parameters
        ----------
        counts : ndarray of shape (n_places,)
            Patients at each place.
        events : ndarray of shape (n_samples, n_places)
            Events there.

        Returns
        -------
        ndarray of shape (n_samples, n_places)
        """
        pairs = (self.columns[:, None] * self.columns * counts).reshape(-1, len(counts)).T
        target, terms = events @ self.columns.T, len(self.columns)
        current = np.tile(self.start, (len(events), 1))
        fitted = np.tile(self.fitted, (len(events), 1))
        left = np.arange(len(events))
        for _ in range(MOST_TOGETHER):
            mine = fitted[left]
            information = (mine * (1 - mine)) @ pairs
            score = target[left] - (mine * counts) @ self.columns.T
            try:
                step = np.linalg.solve(information.reshape(-1, terms, terms), score[..., None])[..., 0]
            except np.linalg.LinAlgError:  # of one sample: the others are fitted again as well
                break
            current[left] += step
            with np.errstate(invalid="ignore", over="ignore"):  # of steps that run away
                fitted[left] = expit(self.offset + current[left] @ self.columns)
            moves = ~(np.abs(fitted[left] - mine).max(axis=1) < CLOSE_PROBABILITY)
            left = left[moves | ~self._at_maximum(target[left], fitted[left], counts)]
            if not len(left):
                return np.asarray(fitted)
        for row in left:  # with step halving, or without a finite maximum
            fitted[row] = self.probabilities(counts, events[row])
        return np.asarray(fitted)

    def _climb(self, counts: FloatArray, events: FloatArray) -> FloatArray | None:
        """Return the coefficients by plain Newton steps; None if these do not converge."""
        target, current, fitted = self.columns @ events, self.start, self.fitted
        for _ in range(MOST_STEPS):
            expected = counts * fitted
            information = (self.columns * (expected - expected * fitted)) @ self.columns.T
            try:
                step = np.linalg.solve(information, target - self.columns @ expected)
            except np.linalg.LinAlgError:
                return None
            current, longest = current + step, float(np.abs(step).max())
            if not self.of_probabilities:
                if not longest < FAR:
                    return None
                if longest < CLOSE_LOGIT:
                    return np.asarray(current)
            with np.errstate(invalid="ignore", over="ignore"):  # of steps that run away
                before, fitted = fitted, np.asarray(expit(self.offset + current @ self.columns))
            if self.of_probabilities and np.abs(fitted - before).max() < CLOSE_PROBABILITY:
                return np.asarray(current) if self._at_maximum(target, fitted, counts) else None
        return None

    def _at_maximum(self, target: FloatArray, fitted: FloatArray, counts: FloatArray) -> Any:
        """Return whether nothing is left of the score; probabilities of shape (..., n_places)."""
        score = np.abs(target - (counts * fitted) @ self.columns.T).max(axis=-1)
        return score < CLOSE_SCORE * np.sqrt(counts.sum())


def fit_at_places(
    columns: FloatArray, counts: FloatArray, events: FloatArray, *, offset: FloatArray | float = 0.0
) -> LogisticFit | None:
    """Return the fit of a design of shape (n_terms, n_places) to counts there; None if there is none."""
    place, outcome, weights = both_classes(counts, events)
    known = np.broadcast_to(np.asarray(offset, dtype=float), counts.shape)[place]
    return fit_logistic(columns.T[place], outcome, weights, offset=known)
