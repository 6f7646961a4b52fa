"""Restricted cubic splines of one predictor, and the smooth calibration curve fitted with them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.intervals import quantile_of, weighted_quantile
from treatsel._stats.logistic import LogisticFit, clustered, fit_logistic
from treatsel._stats.refits import Refits

# Quantile of the last knot by the number of knots, which are evenly spaced from 1 - that quantile to it:
# Harrell (2015), Regression Modeling Strategies, table 2.3.
LAST_KNOT = {3: 0.9, 4: 0.95, 5: 0.95, 6: 0.95, 7: 0.975}
SMALL = 100  # patients, below which the outer knots are the 5th smallest and the 5th largest value (Harrell)
OUTER = 5
HEAP = (
    0.05  # share of the patients at the smallest (largest) value from which the next value is a knot (Hmisc)
)


def place_knots(x: FloatArray, weights: FloatArray, count: int) -> FloatArray:
    """Return at most `count` distinct knots, where Hmisc's `rcspline.eval` puts them.

    At Harrell's quantiles, with his rule for the outer ones in small cohorts. With a heap of equal values at
    an end (and none inside), the outer knot is the next value, and the others are quantiles of the rest. With
    few distinct values, these are the knots, except the two outermost.
    """
    values, place = np.unique(x, return_inverse=True)
    if 3 <= len(values) - 2 <= count:
        return np.asarray(values[1:-1])
    masses: FloatArray = np.bincount(place, weights=weights).astype(float)
    heaped = masses >= HEAP * masses.sum()
    inside = bool(heaped[1:-1].any())
    first = values[:0] if inside or not heaped[0] else values[1:2]
    last = values[:0] if inside or not heaped[-1] else values[-2:-1]
    rest = slice(2 * len(first), len(values) - 2 * len(last))
    between = _at_quantiles(values[rest], masses[rest], count, ends=(len(first), len(last)))
    return np.unique(np.concatenate([first, between, last]))


def _at_quantiles(x: FloatArray, weights: FloatArray, count: int, *, ends: tuple[int, int]) -> FloatArray:
    """Return the knots that are quantiles: `count` of them minus those placed at the ends."""
    inner, outer = count - sum(ends), LAST_KNOT[count]
    if not len(x):
        return x
    at = np.array([0.5]) if inner == 1 else np.linspace(0.5 if inner == 2 else 1 - outer, outer, inner)
    total = float(weights.sum())
    if inner > 1 and 2 * OUTER <= total < SMALL:
        at[0] = at[0] if ends[0] else (OUTER - 1) / (total - 1)
        at[-1] = at[-1] if ends[1] else 1 - (OUTER - 1) / (total - 1)
    return weighted_quantile(x, weights, at)


def spline_design(x: FloatArray, knots: FloatArray) -> FloatArray:
    """Return intercept, x, and Harrell's cubic terms; without knots only intercept and x."""
    columns = [np.ones_like(x), x]
    if len(knots):
        last, before, width = knots[-1], knots[-2], (knots[-1] - knots[0]) ** 2
        for knot in knots[:-2]:
            bend = _cube(x - knot) - _cube(x - before) * (last - knot) / (last - before)
            columns.append((bend + _cube(x - last) * (before - knot) / (last - before)) / width)
    return np.column_stack(columns)


def _cube(x: FloatArray) -> FloatArray:
    return np.maximum(x, 0) ** 3


@dataclass(frozen=True, kw_only=True, repr=False)
class SmoothFit:
    """A logistic regression of the outcome on a spline, a straight line or a constant."""

    smoother: str
    knots: FloatArray
    is_constant: bool
    fit: LogisticFit | None

    def at(self, x: FloatArray) -> FloatArray:
        """Return smoothed probabilities; NaN if there is no fit."""
        return np.full(len(x), np.nan) if self.fit is None else expit(self.fit.linear(self.design(x)))

    def band(self, x: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
        """Return pointwise Wald limits, computed on the logit scale."""
        if self.fit is None:
            return np.full(len(x), np.nan), np.full(len(x), np.nan)
        design = self.design(x)
        linear, half = self.fit.linear(design), quantile_of(level) * self.fit.linear_se(design)
        return expit(linear - half), expit(linear + half)

    def linearized(self, x: FloatArray, outcome: FloatArray, weights: FloatArray) -> "SmoothFit":
        """Return the fit to these patients with standard errors for sampling weights."""
        if self.fit is None:
            return self
        patients = np.arange(len(x), dtype=float)
        return replace(self, fit=clustered(self.fit, self.design(x), outcome, weights, patients))

    def design(self, x: FloatArray) -> FloatArray:
        """Return the design matrix of the fit at x."""
        return np.ones((len(x), 1)) if self.is_constant else spline_design(x, self.knots)


def fit_smooth(x: FloatArray, outcome: FloatArray, weights: FloatArray, n_knots: int) -> SmoothFit:
    """Fit a spline with `n_knots` knots, or with fewer if x has few values or the fit does not exist."""
    distinct = len(np.unique(x))
    if distinct == 1:
        fit = fit_logistic(np.ones((len(x), 1)), outcome, weights)
        return _describe(fit, np.empty(0), is_constant=True)
    for count in range(n_knots, 2, -1):
        knots = place_knots(x, weights, count)
        if not 3 <= len(knots) <= distinct:
            continue
        if fit := fit_logistic(spline_design(x, knots), outcome, weights):
            return _describe(fit, knots)
    return _describe(fit_logistic(spline_design(x, np.empty(0)), outcome, weights), np.empty(0))


def _describe(fit: LogisticFit | None, knots: FloatArray, *, is_constant: bool = False) -> SmoothFit:
    smoother = f"restricted cubic spline, {len(knots)} knots" if len(knots) else "straight line"
    if is_constant:
        smoother = "constant: all predictions are equal"
    if fit is None:
        smoother = "not estimable: the outcome has one class only, or the predictions separate the classes"
    return SmoothFit(smoother=smoother, knots=knots, is_constant=is_constant, fit=fit)


def refits_of(smooth: SmoothFit, x: FloatArray, counts: FloatArray) -> Refits | None:
    """Return refits of a curve, with its knots, at places x with `counts` patients each; None without a fit.

    The refits use a basis that is orthonormal over the patients: the columns of a spline are so nearly
    collinear that plain Newton steps would lose half their digits.
    """
    if smooth.fit is None:
        return None
    design = smooth.design(x)
    upper = np.linalg.qr(design * np.sqrt(counts)[:, None], mode="r")
    columns = solve_triangular(upper, design.T, trans="T")
    return Refits.of(columns, upper @ smooth.fit.coefficients, of_probabilities=True)
