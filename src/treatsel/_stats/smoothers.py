"""Smooth calibration curves: splines, and the local regressions loess and lowess as R computes them."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.special import expit, logit

from treatsel._checks import FloatArray, check_choice
from treatsel._stats.intervals import quantile_of
from treatsel._stats.logits import clipped, logits_of
from treatsel._stats.splines import LAST_KNOT, fit_smooth
from treatsel.errors import InputError

Smoother = Literal["spline", "loess", "lowess"]
Scale = Literal["logit", "probability"]
LOESS_SPAN = 0.75  # the default of R's loess, which Austin & Steyerberg (2014) use for calibration
LOWESS_SPAN = 2 / 3  # the default of R's lowess, which rms::val.prob uses
LOWESS_DELTA = 0.01  # of the range: values between closer predictions are interpolated; R's default
FEWEST = 4  # distinct predictions; a local quadratic has three coefficients
# With more rows the standard error of loess is that of the exact local fit: the interpolating one needs the
# trace of an n x n matrix.
BAND_LIMIT = 3000


class Smooth(Protocol):
    """A fitted curve with its name, its knots, and its values and their limits at x."""

    @property
    def smoother(self) -> str:
        """Description of the fit, or why there is none."""

    @property
    def knots(self) -> FloatArray:
        """Knots on the scale of x; empty if there are none."""

    def at(self, x: FloatArray) -> FloatArray:
        """Return smoothed probabilities."""

    def band(self, x: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
        """Return pointwise limits."""


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """The smoother of a curve, its options, and the scale of the predictions on which it works."""

    smooth: Smoother
    smooth_on: Scale
    n_knots: int
    exact: bool

    def __post_init__(self) -> None:
        check_choice("smooth", self.smooth, ["spline", "loess", "lowess"])
        check_choice("smooth_on", self.smooth_on, ["logit", "probability"])
        check_choice("n_knots", self.n_knots, LAST_KNOT)

    def scale(self, probability: FloatArray) -> FloatArray:
        """Return predictions on the scale on which they are smoothed."""
        return logits_of(probability) if self.smooth_on == "logit" else probability

    def unscale(self, x: FloatArray) -> FloatArray:
        """Return predictions from the scale on which they are smoothed."""
        return np.asarray(expit(x)) if self.smooth_on == "logit" else x

    def grid(self, probability: FloatArray) -> FloatArray:
        """Return points of the curve on that scale; for the logit 0 and 1 become 1e-8 and 1 - 1e-8."""
        return np.asarray(logit(clipped(probability))) if self.smooth_on == "logit" else probability

    def fit(self, x: FloatArray, outcome: FloatArray, weights: FloatArray) -> Smooth:
        """Return the curve fitted to these outcomes."""
        if self.smooth == "spline":
            return fit_smooth(x, outcome, weights, self.n_knots)
        return LocalFit.of(x, outcome, weights, smooth=self.smooth, exact=self.exact)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LocalFit:
    """A loess or lowess fit, with its rows in the order of x.

    `curve` gives its values, and is None without a fit; `weights` are ones, except in a loess with weights
    that are not whole numbers.
    """

    x: FloatArray
    outcome: FloatArray
    weights: FloatArray
    smooth: Smoother
    exact: bool
    curve: Any

    @classmethod
    def of(
        cls, x: FloatArray, outcome: FloatArray, weights: FloatArray, *, smooth: Smoother, exact: bool
    ) -> "LocalFit":
        """Return the fit; rows are repeated by weights that are whole numbers."""
        rows = np.lexsort((outcome, x))
        whole = np.round(weights)
        if (weights == whole).all():
            rows = np.repeat(rows, whole[rows].astype(int))
            weights = np.ones(len(weights))
        elif smooth == "lowess":
            raise InputError(
                "sample_weight holds fractions; smooth='lowess' takes whole numbers only, as it repeats "
                "rows. Use smooth='spline'."
            )
        x, outcome, weights = x[rows], outcome[rows], weights[rows]
        curve = None
        if len(np.unique(x)) >= FEWEST:
            curve = _lowess(x, outcome, exact) if smooth == "lowess" else _loess(x, outcome, weights, exact)
        return cls(x=x, outcome=outcome, weights=weights, smooth=smooth, exact=exact, curve=curve)

    @property
    def knots(self) -> FloatArray:
        """Empty: a local regression has no knots."""
        return np.empty(0)

    @property
    def smoother(self) -> str:
        """Description of the fit, or why there is none."""
        if self.curve is None:
            return f"not estimable: too few distinct predictions for {self.smooth}"
        if self.smooth == "lowess":
            return "lowess, span 2/3, " + ("at each prediction" if self.exact else "interpolated within 1%")
        return "loess, span 0.75, degree 2, " + ("exact" if self.exact else "interpolated in a kd-tree")

    def at(self, x: FloatArray) -> FloatArray:
        """Return smoothed values; NaN outside the range of the data, except for an exact loess."""
        values = np.full(len(x), np.nan)
        if self.curve is None:
            return values
        inside = self._reached(x)
        if self.smooth == "lowess":
            values[inside] = np.interp(x[inside], self.x, self.curve)
        elif inside.any():
            values[inside] = self.curve.predict(x[inside]).values
        return values

    def band(self, x: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
        """Return value +- normal quantile x standard error for loess; NaN for lowess, which has none."""
        values, se = self.at(x), np.full(len(x), np.nan)
        if self.smooth == "loess" and self.curve is not None:
            inside = self._reached(x)
            se[inside] = self._loess_se(x[inside])
        half = quantile_of(level) * se
        return values - half, values + half

    def _reached(self, x: FloatArray) -> Any:
        everywhere = self.smooth == "loess" and self.exact
        return np.full(len(x), True) if everywhere else (x >= self.x[0]) & (x <= self.x[-1])

    def _loess_se(self, x: FloatArray) -> FloatArray:
        if not len(x):
            return np.empty(0)
        if len(self.x) > BAND_LIMIT:
            scale = float(self.curve.outputs.residual_scale)
            return scale * np.array([_operator_norm(self.x, self.weights, point) for point in x])
        again = _loess(self.x, self.outcome, self.weights, self.exact, trace="exact")
        return (
            np.full(len(x), np.nan) if again is None else np.asarray(again.predict(x, stderror=True).stderr)
        )


def _loess(
    x: FloatArray, outcome: FloatArray, weights: FloatArray, exact: bool, *, trace: str = "approximate"
) -> Any:
    """Return the fit of Cleveland & Devlin (1988), doi:10.1080/01621459.1988.10478639; None if it fails."""
    from skmisc.loess import loess

    surface = "direct" if exact else "interpolate"
    model = loess(x, outcome, weights=weights, span=LOESS_SPAN, degree=2, surface=surface, trace_hat=trace)
    try:
        model.fit()
    except ValueError:  # a local quadratic through fewer than three distinct predictions
        return None
    return model


def _lowess(x: FloatArray, outcome: FloatArray, exact: bool) -> FloatArray | None:
    """Return the values at x of Cleveland (1979), doi:10.1080/01621459.1979.10481038; None if it fails."""
    from statsmodels.nonparametric.smoothers_lowess import lowess

    delta = 0.0 if exact else LOWESS_DELTA * float(x[-1] - x[0])
    fit: FloatArray = lowess(
        outcome, x, frac=LOWESS_SPAN, it=0, delta=delta, is_sorted=True, return_sorted=False
    )
    return fit if np.isfinite(fit).all() else None


def _operator_norm(x: FloatArray, weights: FloatArray, point: float) -> float:
    """Return the length of the row of the hat matrix of an exact loess at one point."""
    away = x - point
    distance = np.abs(away)
    nearest = int(LOESS_SPAN * len(x) + 1e-5)  # as the C code of R's loess rounds it
    width = np.partition(distance, nearest - 1)[nearest - 1]
    used = distance < width
    design = np.vander(away[used] / width, 3, increasing=True)
    kernel = weights[used] * (1 - (distance[used] / width) ** 3) ** 3
    inverse = np.linalg.pinv(design.T @ (design * kernel[:, None]))
    row = kernel * (design @ inverse[0])
    return float(np.sqrt((row**2 / weights[used]).sum()))
