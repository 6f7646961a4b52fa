"""Metrics of a resample, which is given by the numbers of patients and events at each prediction.

The predictions are sorted, and everything that does not change between resamples is computed once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from treatsel._checks import FloatArray
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import weighted_quantile
from treatsel._stats.logits import inside
from treatsel._stats.refits import CELLS, Refits, cells_of, fit_at_places
from treatsel._stats.splines import fit_smooth, refits_of
from treatsel._stats.vectors import Scored, ordered_labels

N_KNOTS = 5
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sorted:
    """Patients in the order of their predictions (then outcomes).

    `first`: where each prediction begins; `shared`: whether close predictions share a place when
    recalibration is fitted.
    """

    data: Scored
    labels: npt.NDArray[np.object_] | None
    codes: FloatArray | None
    first: Positions
    level: FloatArray
    shared: bool

    @classmethod
    def of(cls, data: Scored, labels: npt.NDArray[np.object_] | None, codes: FloatArray | None) -> "Sorted":
        """Sort patients by prediction, outcome and cluster, so that the order of the rows does not matter."""
        keys = (data.outcome, data.score) if codes is None else (codes, data.outcome, data.score)
        order = np.lexsort(keys)
        score = data.score[order]
        first = np.flatnonzero(np.diff(score, prepend=-1.0))
        return cls(
            data=Scored(
                outcome=data.outcome[order],
                score=score,
                weights=data.weights.subset(order),
                rows=data.rows[order],
            ),
            labels=None if labels is None else labels[order],
            codes=None if codes is None else codes[order],
            first=first,
            level=score[first],
            shared=len(first) > CELLS,
        )

    def draw(self, weight: FloatArray) -> "Draw":
        """Return a resample."""
        counts, events = (added(part, self.first) for part in (weight, weight * self.data.outcome))
        sums = float(counts.sum()), float(events.sum())
        return Draw(of=self, weight=weight, counts=counts, events=events, total=sums[0], n_events=sums[1])

    @cached_property
    def inside(self) -> FloatArray:
        """Predictions kept away from 0 and 1, with a warning."""
        return inside(self.level)

    @cached_property
    def linear(self) -> FloatArray:
        """Logits of the predictions."""
        return np.asarray(logit(self.inside))

    @cached_property
    def places(self) -> "Places":
        """Where recalibration is fitted: at the predictions, or at the means of close ones."""
        x, score, counts = self.linear, self.level, added(self.data.weight, self.first)
        cell: FloatArray = np.arange(len(x), dtype=float)
        if self.shared:
            cell = cells_of(x)
        first = np.flatnonzero(np.diff(cell, prepend=-1.0))
        size = added(counts, first)
        return Places(
            first=first,
            x=added(counts * x, first) / size,
            score=added(counts * score, first) / size,
            size=size,
        )

    @cached_property
    def shift(self) -> Refits | None:
        """Recalibration with the slope fixed at 1."""
        x = self.places.x
        return self._recalibration(np.ones((1, len(x))), x)

    @cached_property
    def line(self) -> Refits | None:
        """Recalibration with intercept and slope."""
        x = self.places.x
        return self._recalibration(np.stack([np.ones(len(x)), x]), 0.0)

    def _recalibration(self, columns: FloatArray, offset: FloatArray | float) -> Refits | None:
        """Return the refits of a recalibration; None if it cannot be fitted to all patients."""
        fit = fit_at_places(columns, *self.draw(self.data.weight).placed, offset=offset)
        return None if fit is None else Refits.of(columns, fit.coefficients, offset=offset)

    @cached_property
    def curve(self) -> Refits | None:
        """The spline fitted to all patients."""
        x = np.repeat(self.linear, np.diff(self.first, append=len(self.data.score)))
        smooth = fit_smooth(x, self.data.outcome, self.data.weight, N_KNOTS)
        return refits_of(smooth, self.places.x, self.places.size)

    @cached_property
    def arms(self) -> list[tuple[Positions, Positions]]:
        """Rows of each arm, and where among them each prediction begins."""
        assert self.labels is not None
        rows = [np.flatnonzero(self.labels == arm) for arm in ordered_labels(self.labels)]
        return [(own, np.flatnonzero(np.diff(self.data.score[own], prepend=-1.0))) for own in rows]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Places:
    """Sorted logits x, with the corresponding predictions and numbers of patients.

    `first`: where each place begins among the distinct predictions.
    """

    first: Positions
    x: FloatArray
    score: FloatArray
    size: FloatArray


def added(values: FloatArray, first: Positions) -> FloatArray:
    """Return the sums of runs of values that begin at `first`."""
    return values if len(first) == len(values) else np.add.reduceat(values, first)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Draw:
    """One resample: weights of the patients; counts and events at each prediction, and their sums."""

    of: Sorted
    weight: FloatArray
    counts: FloatArray
    events: FloatArray
    total: float
    n_events: float

    @property
    def share(self) -> float:
        """Share of events."""
        return self.n_events / self.total

    @property
    def has_both(self) -> bool:
        """Whether both outcomes occur."""
        return 0 < self.n_events < self.total

    @cached_property
    def brier(self) -> float:
        """Brier score."""
        level = self.of.level
        return float(self.counts @ level**2 - 2 * (self.events @ level) + self.n_events) / self.total

    @cached_property
    def log_likelihood(self) -> float:
        """Mean log-likelihood of the predictions."""
        yes, no = self.of.linear, np.log1p(-self.of.inside)  # log p = logit p + log(1 - p)
        return float(self.events @ yes + self.counts @ no) / self.total

    @cached_property
    def placed(self) -> tuple[FloatArray, FloatArray]:
        """Counts and events at the places where recalibration is fitted."""
        first = self.of.places.first
        return added(self.counts, first), added(self.events, first)

    @cached_property
    def distance(self) -> FloatArray:
        """Distance of the smooth curve from the prediction at each place; NaN without a curve."""
        curve, places = self.of.curve, self.of.places
        if curve is None or not self.has_both:
            return np.full(len(places.x), NAN)
        return np.abs(curve.probabilities(*self.placed) - places.score)


def roc_auc(draw: Draw) -> float:
    """Return the AUC, ties counting 1/2."""
    if not draw.has_both:
        return NAN
    concordant, pairs = _concordant(draw.counts, draw.events)
    return concordant / pairs


def within_arm_auc(draw: Draw) -> float:
    """Return the AUC over the pairs within an arm."""
    concordant, pairs = 0.0, 0.0
    for rows, first in draw.of.arms:
        weight = draw.weight[rows]
        events = weight * draw.of.data.outcome[rows]
        if len(first) < len(rows):
            weight, events = np.add.reduceat(weight, first), np.add.reduceat(events, first)
        own = _concordant(weight, events)
        concordant, pairs = concordant + own[0], pairs + own[1]
    return concordant / pairs if pairs else NAN


def _concordant(counts: FloatArray, events: FloatArray) -> tuple[float, float]:
    others = counts - events
    below = np.cumsum(others)
    return float(events @ below - events @ others / 2), float(events.sum() * below[-1])


def average_precision(draw: Draw) -> float:
    """Return the average precision."""
    if not draw.n_events:
        return NAN
    above, events_above = (np.cumsum(part[::-1])[::-1] for part in (draw.counts, draw.events))
    kept = draw.events > 0
    return float(draw.events[kept] @ (events_above[kept] / above[kept])) / draw.n_events


def scaled_brier_score(draw: Draw) -> float:
    """Return 1 - Brier / (prevalence x (1 - prevalence))."""
    return 1 - draw.brier / (draw.share * (1 - draw.share)) if draw.has_both else NAN


def nagelkerke_r2(draw: Draw) -> float:
    """Return Nagelkerke's R2 of the unmodified predictions."""
    if not draw.has_both:
        return NAN
    null = draw.share * np.log(draw.share) + (1 - draw.share) * np.log1p(-draw.share)
    return float((1 - np.exp(2 * (null - draw.log_likelihood))) / (1 - np.exp(2 * null)))


def observed_expected_ratio(draw: Draw) -> float:
    """Return observed over expected events."""
    expected = float(draw.counts @ draw.of.level)
    return draw.n_events / expected if expected else NAN


def calibration_in_the_large(draw: Draw) -> float:
    """Return the intercept of recalibration with the slope fixed at 1."""
    return _coefficient(draw.of.shift, draw, 0)


def calibration_slope(draw: Draw) -> float:
    """Return the slope of logistic recalibration."""
    return _coefficient(draw.of.line, draw, 1)


def _coefficient(refits: Refits | None, draw: Draw, number: int) -> float:
    found = refits.coefficients(*draw.placed) if refits and draw.has_both else None
    return NAN if found is None else float(found[number])


def _quantile_of_distance(at: float) -> Callable[[Draw], float]:
    return lambda draw: float(weighted_quantile(draw.distance, draw.placed[0], at))


def _highest(draw: Draw) -> float:
    return float(draw.distance[draw.placed[0] > 0].max())


METRICS: dict[str, Callable[[Draw], float]] = {
    "auc": roc_auc,
    "within_arm_auc": within_arm_auc,
    "average_precision": average_precision,
    "base_rate": lambda draw: draw.share,
    "brier_score": lambda draw: draw.brier,
    "scaled_brier_score": scaled_brier_score,
    "log_loss": lambda draw: -draw.log_likelihood,
    "nagelkerke_r2": nagelkerke_r2,
    "calibration_in_the_large": calibration_in_the_large,
    "calibration_slope": calibration_slope,
    "observed_expected": observed_expected_ratio,
    "ici": lambda draw: float(draw.placed[0] @ draw.distance) / draw.total,
    "e50": _quantile_of_distance(0.5),
    "e90": _quantile_of_distance(0.9),
    "emax": _highest,
}


def evaluate(draw: Draw, names: list[str]) -> list[float]:
    """Return the named metrics of a resample; NaN for all if it is empty."""
    return [METRICS[name](draw) if draw.total else NAN for name in names]


def values_of(patients: Sorted, names: list[str]) -> list[float]:
    """Return the metrics in the original patients, without shared places."""
    exact = replace(patients, shared=False) if patients.shared else patients
    return evaluate(exact.draw(exact.data.weight), names)
