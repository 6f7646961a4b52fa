"""Tipping point: how different patients with missing outcomes must be for a conclusion to change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from treatsel._checks import FloatArray, check_choice, check_level, check_vector
from treatsel._reporting.plots import curves, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import quantile_of
from treatsel.metrics.missing._arm_counts import Contrast, _pair, contrast_of, count_arms
from treatsel.metrics.missing._bounds import NULL

Shifted = Literal["first", "second", "opposite"]
SIGNS = {"first": (1.0, 0.0), "second": (0.0, 1.0), "opposite": (1.0, -1.0)}
FARTHEST, STEPS = 30.0, 3001  # range and points of the search for a tipping point, on the logit scale


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TippingPoint(Summarized):
    """How far missing outcomes must differ from observed ones for a contrast of two arms to vanish.

    Attributes
    ----------
    tipping_estimate, tipping_limit : float
        Log odds ratio of the outcome, missing v observed patients of the same arm, nearest to 0 at which
        the contrast shows no difference, and at which its interval includes no difference. 0: already so
        without a shift; infinite: at no delta; NaN: not estimable.
    rate_estimate, rate_limit : float
        The corresponding rate among the missing of the shifted arm (with "opposite": the first arm).
    arms, measure, shifted : tuple of labels, str, str
        The contrast, and the arm whose missing outcomes are shifted by delta ("opposite": the first arm by
        delta, the second by minus delta).
    level : float
        Confidence level.
    table : pandas.DataFrame
        Columns delta, rate_first, rate_second (among the missing), value, lower, upper (of the contrast).
    """

    tipping_estimate: float
    tipping_limit: float
    rate_estimate: float
    rate_limit: float
    arms: tuple[Any, Any]
    measure: str
    shifted: str
    level: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the contrast by delta."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the contrast, with its interval, by delta; dashed: no difference.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        ylabel = f"{self.measure.capitalize()}, {self.arms[0]} v {self.arms[1]}"
        text = "Log odds ratio of the outcome, missing v observed"
        table = self.table.assign(measure=self.measure)
        reference = NULL[self.measure]
        labels = {"xlabel": text, "ylabel": ylabel, "band": intervals_of(self.level)}
        return curves(table, x="delta", by="measure", reference=reference, ax=ax, **labels, **kwargs)


def tipping_point(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    *,
    arms: tuple[Any, Any],
    measure: Contrast = "difference",
    shifted: Shifted = "first",
    deltas: Sequence[float] = tuple(np.linspace(-3, 3, 25)),
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> TippingPoint:
    """Find how far missing outcomes must differ from observed ones for a contrast of two arms to vanish.

    Delta adjustment: the log odds of the outcome among the missing patients of an arm are those of its
    observed patients plus delta; at 0, the missing are like the observed.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1; NaN: not observed.
    received : array-like of shape (n_patients,)
        Arm labels.
    arms : tuple of two labels
        First and second arm.
    measure : {"difference", "ratio"}, default "difference"
        First - second (Wald interval), or first / second (Wald on the log scale). The variance includes
        those of the observed rate and of the missing share.
    shifted : {"first", "second", "opposite"}, default "first"
        Arm whose missing outcomes are shifted; "opposite": the first by delta, the second by minus delta.
    deltas : sequence of float
        Values of delta in `table`.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    TippingPoint
        NaN if an arm has no observed outcome, or only one class.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or NaN, an arm does not occur or an option is unknown.

    References
    ----------
    Cro et al. (2020), Statistics in Medicine 39(21), 2815-2842. doi:10.1002/sim.8569
    White, Horton, Carpenter & Pocock (2011), BMJ 342, d40. doi:10.1136/bmj.d40

    Examples
    --------
    >>> y = [1] * 50 + [0] * 30 + [None] * 20 + [1] * 35 + [0] * 45 + [None] * 20
    >>> found = tipping_point(y, ["CBT"] * 100 + ["SSRI"] * 100, arms=("CBT", "SSRI"))
    >>> round(found.tipping_limit, 2), round(found.rate_limit, 2), found.tipping_estimate
    (-0.69, 0.45, -inf)
    """
    check_choice("measure", measure, ["difference", "ratio"])
    check_choice("shifted", shifted, list(SIGNS))
    level, grid = check_level(level), check_vector("deltas", deltas)
    first, second = _pair(count_arms(y_true, received, sample_weight), arms)
    about: dict[str, Any] = {
        "arms": (arms[0], arms[1]),
        "measure": measure,
        "shifted": shifted,
        "level": level,
    }
    if not all(0 < arm.events < arm.observed for arm in (first, second)):
        columns = ["delta", "rate_first", "rate_second", "value", "lower", "upper"]
        return _no_tipping_point(about, pd.DataFrame(columns=columns, dtype=float))
    one, two = SIGNS[shifted]

    def contrast(delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        shares = first.shifted(one * delta)[0], second.shifted(two * delta)[0]
        return contrast_of(*shares, measure)

    half = quantile_of(level)
    start = float(contrast(np.zeros(1))[0][0])
    toward = -np.sign(start) * (one or -two)  # a higher second rate makes the contrast smaller
    found = [_first_zero(contrast, np.sign(start), toward, quantile) for quantile in (0.0, half)]
    moved, sign = (second, two) if shifted == "second" else (first, one)
    rates = [float(moved.shifted(np.asarray(sign * delta))[1]) for delta in found]
    value, se = contrast(grid)
    back = np.exp if measure == "ratio" else np.asarray
    among = {"rate_first": first.shifted(one * grid)[1], "rate_second": second.shifted(two * grid)[1]}
    limits = {"value": back(value), "lower": back(value - half * se), "upper": back(value + half * se)}
    return TippingPoint(
        tipping_estimate=found[0],
        tipping_limit=found[1],
        rate_estimate=rates[0],
        rate_limit=rates[1],
        **about,
        table=pd.DataFrame({"delta": grid, **among, **limits}),
    )


def _no_tipping_point(about: dict[str, Any], table: pd.DataFrame) -> TippingPoint:
    names = ("tipping_estimate", "tipping_limit", "rate_estimate", "rate_limit")
    nothing: dict[str, Any] = dict.fromkeys(names, NAN)
    return TippingPoint(**nothing, **about, table=table)


def _first_zero(contrast: Any, sign: float, toward: float, quantile: float) -> float:
    """Return the delta nearest to 0 at which the contrast, or its near limit, is no longer beyond 0."""

    def beyond(distance: Any) -> FloatArray:
        value, se = contrast(toward * np.atleast_1d(distance))
        return np.asarray(sign * value - quantile * se)

    distances = np.linspace(0, FARTHEST, STEPS)
    reached = beyond(distances) <= 0
    if not reached.any():
        return float(toward * np.inf)
    at = int(np.argmax(reached))
    if at == 0:
        return 0.0
    return float(toward * brentq(lambda t: float(beyond(t)[0]), distances[at - 1], distances[at]))
