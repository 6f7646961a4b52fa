"""Refits of a calibration curve to resampled or simulated outcomes, and their distances from predictions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.intervals import weighted_quantile
from treatsel._stats.refits import CELLS, both_classes, cells_of, fit_at_places
from treatsel._stats.resampling import PERCENTILE_FROM, Resamples
from treatsel._stats.smoothers import Smooth, Smoothing
from treatsel._stats.splines import SmoothFit, refits_of
from treatsel._stats.vectors import Scored

ERRORS = ("ici", "e50", "e90", "emax", "eci")
BLOCK = 100  # simulated sets of outcomes at once, which limits memory


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CurveRefits:
    """Refits of the curve to resampled or simulated outcomes at fixed places, each with its prediction.

    Places are the distinct predictions or, if there are many, cells of close predictions (`shared`).
    """

    data: Scored
    place: npt.NDArray[np.intp]
    x: FloatArray
    score: FloatArray
    counts: FloatArray
    shared: bool
    curve: FloatArray
    fit: Callable[[FloatArray, FloatArray], FloatArray]
    fit_many: Callable[[FloatArray, FloatArray], FloatArray]

    @classmethod
    def of(cls, data: Scored, x: FloatArray, fitted: Smooth | None, smoothing: Smoothing) -> "CurveRefits":
        """Return the places; without a fitted curve, the smoothed values are the predictions."""
        distinct, place = np.unique(x, return_inverse=True)
        if shared := len(distinct) > CELLS:
            place = np.unique(cells_of(x), return_inverse=True)[1]
        counts = _sums(place, data.weight)
        at, score = (_sums(place, data.weight * values) / counts for values in (x, data.score))
        refits = refits_of(fitted, at, counts) if isinstance(fitted, SmoothFit) else None

        def fit(counts: FloatArray, events: FloatArray) -> FloatArray:
            return score if fitted is None else _local(smoothing, at, counts, events)

        def fit_many(counts: FloatArray, events: FloatArray) -> FloatArray:
            return np.array([fit(counts, row) for row in events])

        return cls(
            data=data,
            place=place,
            x=at,
            score=score,
            counts=counts,
            shared=shared,
            curve=score if fitted is None else fitted.at(at),
            fit=fit if refits is None else refits.probabilities,
            fit_many=fit_many if refits is None else refits.probabilities_of_many,
        )

    def many(self, samples: Iterable[tuple[FloatArray, FloatArray]]) -> FloatArray:
        """Return one row of indices for each sample of patients and events at the places."""
        rows = [
            errors_of(np.abs(self.fit(counts, events) - self.score), counts, shared=self.shared)
            for counts, events in samples
        ]
        return np.array(rows).reshape(-1, len(ERRORS))

    def resampled(self, resamples: Resamples) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield the numbers of patients and events at each place, for each resample."""
        cases, size = np.flatnonzero(self.data.outcome), len(self.score)
        for weight in resamples:
            yield _sums(self.place, weight, size), _sums(self.place[cases], weight[cases], size)

    def errors(self, truth: FloatArray) -> FloatArray:
        """Return the indices of a curve, given at the places."""
        return errors_of(np.abs(truth - self.score), self.counts, shared=self.shared)

    def line(self) -> FloatArray | None:
        """Return the probabilities of logistic recalibration at the places; None if it has no fit."""
        events = _sums(self.place, self.data.weight * self.data.outcome)
        columns = np.stack([np.ones(len(self.x)), self.x])
        fit = fit_at_places(columns, self.counts, events)
        return None if fit is None else np.asarray(expit(fit.linear(columns.T)))

    def simulated(self, times: int, seed: int, truth: FloatArray | None = None) -> FloatArray:
        """Return one row of indices for each set of outcomes drawn from the truth (predictions if None)."""
        found = [np.empty((0, len(ERRORS)))]
        for events in self._outcomes(self.score if truth is None else truth, times, seed):
            distance = np.abs(self.fit_many(self.counts, events) - self.score)
            found.append(errors_of_many(distance, self.counts, shared=self.shared))
        return np.concatenate(found)

    def _outcomes(self, truth: FloatArray, times: int, seed: int) -> Iterator[FloatArray]:
        """Yield blocks of simulated events at each place, from the same random numbers for each truth.

        Many patients, whose intervals are percentiles, need outcomes under one truth only.
        """
        random = np.random.default_rng([seed, 1])  # separate stream, independent of the resamples
        weight, whole = self.data.weight, np.round(self.counts).astype(int)
        order = np.lexsort((weight, self.place))
        place, mass = self.place[order], weight[order]
        # a patient with a sampling weight has one outcome; a count stands for as many patients
        is_count = not self.data.weights.sampling and bool((weight == np.round(weight)).all())
        is_large = is_count and whole.sum() >= PERCENTILE_FROM
        if is_count and not is_large:
            place = np.repeat(np.arange(len(whole)), whole)
            mass = np.ones(len(place))
        first = np.flatnonzero(np.diff(place, prepend=-1))
        for start in range(0, times, BLOCK):
            rows = min(BLOCK, times - start)
            if is_large:
                yield random.binomial(whole, truth, (rows, len(whole))).astype(float)
            else:
                happened = mass * (random.random((rows, len(place))) < truth[place])
                yield np.add.reduceat(happened, first, axis=1)


def _sums(place: npt.NDArray[np.intp], weights: FloatArray, size: int = 0) -> FloatArray:
    """Return the sum of the weights at each place."""
    return np.asarray(np.bincount(place, weights=weights, minlength=size), dtype=float)


def _local(smoothing: Smoothing, x: FloatArray, counts: FloatArray, events: FloatArray) -> FloatArray:
    place, outcome, weights = both_classes(counts, events)
    return smoothing.fit(x[place], outcome, weights).at(x)


def errors_of(distance: FloatArray, counts: FloatArray, *, shared: bool = False) -> FloatArray:
    """Return the indices in the order of ``ERRORS``; NaN if a patient has no smoothed value.

    With d = |smoothed observed proportion - predicted probability| of each patient (Austin & Steyerberg
    2019): ICI = mean d, E50 and E90 its quantiles, Emax = max d; ECI = 100 mean d^2 (Van Hoorde et al.
    2015). Where patients share places, the quantiles are interpolated between the distances.
    """
    present = counts > 0
    distance, counts = distance[present], counts[present]
    if not np.isfinite(distance).all():
        return np.full(len(ERRORS), np.nan)
    total = counts.sum()
    if shared:
        order = np.argsort(distance)
        middle_of = np.cumsum(counts[order]) - counts[order] / 2
        middle, high = np.interp([0.5 * total, 0.9 * total], middle_of, distance[order])
    else:
        middle, high = weighted_quantile(distance, counts, [0.5, 0.9])
    ici, square = counts @ distance / total, counts @ distance**2 / total
    return np.array([ici, middle, high, distance.max(), 100 * square])


def errors_of_many(distance: FloatArray, counts: FloatArray, *, shared: bool) -> FloatArray:
    """Return the indices of curves with distances of shape (n_curves, n_places) at the same patients."""
    if shared or (counts != np.round(counts)).any():
        return np.array([errors_of(row, counts, shared=shared) for row in distance])
    # quantiles of whole counts are those of repeated rows, which numpy sorts at once
    each = np.repeat(distance, counts.astype(int), axis=1)
    middle, high = np.quantile(each, [0.5, 0.9], axis=1)
    ici, square = each.mean(axis=1), (each**2).mean(axis=1)
    return np.column_stack([ici, middle, high, each.max(axis=1), 100 * square])


def usable_draws(draws: FloatArray) -> FloatArray | None:
    """Return the rows without missing values; None if these are fewer than nine in ten."""
    finite = draws[np.isfinite(draws).all(axis=1)]
    return finite if len(finite) and len(finite) >= 0.9 * len(draws) else None
