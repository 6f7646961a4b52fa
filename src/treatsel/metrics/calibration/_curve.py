"""Calibration curve: groups of patients and a smooth curve; public through `treatsel.metrics.calibration`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_level, check_probability
from treatsel._reporting.plots import calibration
from treatsel._reporting.summary import Summarized
from treatsel._stats.intervals import weighted_quantile, wilson
from treatsel._stats.smoothers import Scale, Smooth, Smoother, Smoothing
from treatsel._stats.splines import SmoothFit
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_predicted, ordered_labels
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError

ALL_PATIENTS = "all"  # label of the only curve if no arms are given


def calibration_groups(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_bins: int = 10,
    received: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> pd.DataFrame:
    """Observed proportion in groups of patients with similar predictions.

    Group j ends at the smallest prediction that at least j / `n_bins` of the patients do not exceed; equal
    predictions stay together, so there may be fewer groups, of unequal size (as `cut2` of R's Hmisc does).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    n_bins : int, default 10
        Largest number of groups, per arm.
    received : array-like of shape (n_patients,), optional
        Labels of the received arms; groups are formed within each arm.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data); n and n_events are then numbers of patients, and intervals are for Kish's
        effective sample size.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        Columns arm ("all" without arms), group (1, 2, ...), n, n_events, predicted (mean), observed, lower,
        upper: proportions in [0, 1], with Wilson's interval.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1] or `n_bins` is below 1.

    References
    ----------
    Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    doi:10.1080/01621459.1927.10502953

    Examples
    --------
    >>> groups = calibration_groups([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4], n_bins=2)
    >>> groups[["n", "predicted", "observed"]].round(2).values.tolist()
    [[2.0, 0.3, 0.0], [2.0, 0.65, 1.0]]
    """
    if not isinstance(n_bins, int) or n_bins < 1:
        raise InputError(f"n_bins is {n_bins!r}; it must be a whole number of at least 1.")
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    parts = _by_arm(data, received, y_true)
    tables = [_groups(name, part, n_bins=n_bins, level=level) for name, part in parts.items()]
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CalibrationCurve(Summarized):
    """Observed against predicted probability: a smooth curve with its band, and groups of patients.

    Attributes
    ----------
    table : pandas.DataFrame
        The curve; columns arm, predicted, observed, lower, upper (proportions; the limits are pointwise).
    groups : pandas.DataFrame
        Quantile groups; columns arm, group, n, n_events, predicted (mean), observed, lower, upper (Wilson).
    fits : pandas.DataFrame
        Per arm: n, n_events, smoother (the one fitted) and knots (as probabilities).
    level : float
        Confidence level of all limits.
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    fits: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the curve."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw curve, band and groups of each arm; more than three arms on new Axes in panels.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the curves; bands and groups have the same color.

        Returns
        -------
        matplotlib Axes
            The first one of several panels.
        """
        return calibration(self, ax, **kwargs)


def calibration_curve(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    received: npt.ArrayLike | None = None,
    at: npt.ArrayLike | None = None,
    smooth: Smoother = "spline",
    smooth_on: Scale = "logit",
    n_knots: int = 5,
    exact: bool = False,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> CalibrationCurve:
    """Smooth curve of the observed against the predicted probability.

    "spline", for any number of patients: a logistic regression of the outcome on a restricted cubic spline of
    the prediction, with knots placed as in R's Hmisc: at Harrell's quantiles (type 7; five knots: .05 .275
    .5 .725 .95); below 100 patients the outer knots are the 5th smallest and 5th largest prediction. If 5 %
    or more of the predictions are tied at the minimum (or maximum), the outer knot is the next value. With
    few distinct predictions, or if the likelihood has no maximum, the spline has fewer knots, down to a
    straight line on the logit scale (or a constant, if all predictions are equal); `.fits` names what was
    fitted.

    "loess", for hundreds of patients: local quadratic regression, span 0.75; "lowess": local linear
    regression, span 2/3; both as in R, without iterations that downweight outliers. Their values are not
    constrained to [0, 1] and are not truncated. They need at least four distinct predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    received : array-like of shape (n_patients,), optional
        Labels of the received arms, for one curve per arm.
    at : array-like of shape (n_points,), optional
        Probabilities at which to evaluate (0 and 1 are taken as 1e-8 and 1 - 1e-8); by default 101
        equally spaced values from the 1st to the 99th percentile of the predictions.
    smooth : {"spline", "loess", "lowess"}, default "spline"
        The smoother.
    smooth_on : {"logit", "probability"}, default "logit"
        Scale of the prediction in the smoother.
    n_knots : int, default 5
        Number of knots of the spline, from 3 to 7.
    exact : bool, default False
        Fit a loess at each point and a lowess at each prediction, instead of interpolating between fewer
        fits as R does by default; slow beyond a few thousand patients. A spline is always exact.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice. A lowess needs whole numbers;
        loess treats fractions as R's loess does, so that its span counts rows.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights, for a spline only; the band is then
        linearized, and groups are as in `calibration_groups`.
    level : float, default 0.95
        Confidence level of the pointwise band and of the groups. The band consists of Wald intervals, on the
        logit scale for a spline and on the probability scale for a loess; a lowess has no band (NaN).

    Returns
    -------
    CalibrationCurve
        `.to_frame()` and `.plot()` give the curve, `.groups` ten groups of patients. Perfect calibration is
        the diagonal. Values are NaN if no curve could be fitted and, for a lowess or a loess that is not
        exact, outside the range of the predictions.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], an option is unknown, or
        weights for a lowess are not whole numbers, or sampling weights are given for a loess or lowess.

    References
    ----------
    Harrell (2015), Regression Modeling Strategies, 2nd ed., section 2.4. doi:10.1007/978-3-319-19425-7
    Austin & Steyerberg (2014), Statistics in Medicine 33(3), 517-535. doi:10.1002/sim.5941
    Cleveland & Devlin (1988), Journal of the American Statistical Association 83, 596-610.
    doi:10.1080/01621459.1988.10478639

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.1, 0.9, 500)
    >>> curve = calibration_curve(rng.binomial(1, p), p, at=[0.4, 0.6, 0.8])
    >>> curve.fits["smoother"].item(), len(curve.to_frame())
    ('restricted cubic spline, 5 knots', 3)
    """
    smoothing = Smoothing(smooth=smooth, smooth_on=smooth_on, n_knots=n_knots, exact=exact)
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    check_smoother_of(data, smooth)
    x, parts = smoothing.scale(data.score), _by_arm(data, received, y_true)
    grid = None if at is None else check_probability("at", at)
    tables, fits = [], []
    for name, part in parts.items():
        mine = x if received is None else x[np.isin(data.rows, part.rows)]
        fitted = smoothing.fit(mine, part.outcome, part.weight)
        if data.weights.sampling and isinstance(fitted, SmoothFit):
            fitted = fitted.linearized(mine, part.outcome, part.weight)
        tables.append(_curve(name, part, fitted, smoothing, grid, level=level))
        row = {"arm": name, "n": part.n, "n_events": part.n_events, "smoother": fitted.smoother}
        fits.append(row | {"knots": tuple(smoothing.unscale(fitted.knots).tolist())})
    weights: dict[str, Any] = {"sample_weight": sample_weight, "weights_are": weights_are}
    groups = calibration_groups(y_true, y_prob, received=received, level=level, **weights)
    table = pd.concat(tables, ignore_index=True)
    return CalibrationCurve(table=table, groups=groups, fits=pd.DataFrame(fits), level=level)


def check_smoother_of(data: Scored, smooth: Smoother) -> None:
    """Raise if sampling weights are given for a smoother that has no linearized standard errors."""
    if data.weights.sampling and smooth != "spline":
        raise InputError(f"smooth={smooth!r} is not available with sampling weights. Use smooth='spline'.")


def _by_arm(data: Scored, received: Any, y_true: Any) -> dict[Any, Scored]:
    if received is None:
        return {ALL_PATIENTS: data}
    check_patients(y_true=y_true, received=received)
    labels = check_labels("received", received)[data.rows]
    return {name: data.subset(np.asarray(labels == name)) for name in ordered_labels(labels)}


def _curve(
    name: Any, part: Scored, fitted: Smooth, smoothing: Smoothing, grid: FloatArray | None, *, level: float
) -> pd.DataFrame:
    if grid is None:
        low, high = weighted_quantile(part.score, part.weight, [0.01, 0.99])
        grid = np.linspace(low, high, 101) if high > low else np.array([low])
    x = smoothing.grid(grid)
    lower, upper = fitted.band(x, level)
    columns = {"predicted": grid, "observed": fitted.at(x), "lower": lower, "upper": upper}
    return pd.DataFrame({"arm": name, **columns})


def _groups(name: Any, part: Scored, *, n_bins: int, level: float) -> pd.DataFrame:
    position = np.unique(part.score, return_inverse=True)[1]
    reached = np.cumsum(np.bincount(position, weights=part.weight))
    wanted = np.arange(1, n_bins + 1) * part.total / n_bins * (1 - 1e-12)
    ends = np.unique(np.searchsorted(reached, wanted))
    group = np.searchsorted(ends, position)
    n: FloatArray = np.bincount(group, weights=part.weight).astype(float)
    events: FloatArray = np.bincount(group, weights=part.weight * part.outcome).astype(float)
    size, counts, hits = n, n, events
    if (
        part.weights.sampling
    ):  # Kish's effective sample size; the weights of a group need not have a mean of 1
        size = n**2 / np.bincount(group, weights=part.weight**2)
        counts = np.bincount(group).astype(float)
        hits = np.bincount(group, weights=part.outcome).astype(float)
    lower, upper = wilson(events / n * size, size, level)
    return pd.DataFrame(
        {
            "arm": name,
            "group": np.arange(1, len(n) + 1),
            "n": np.round(counts).astype(int),
            "n_events": np.round(hits).astype(int),
            "predicted": np.bincount(group, weights=part.weight * part.score) / n,
            "observed": events / n,
            "lower": lower,
            "upper": upper,
        }
    )
