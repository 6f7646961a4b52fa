"""Integrated calibration index, E50, E90, Emax and ECI; public through `treatsel.metrics.calibration`."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import Estimate
from treatsel._stats.resampling import PERCENTILE_FROM, Resamples, percentile_interval
from treatsel._stats.smoothers import Scale, Smoother, Smoothing
from treatsel._stats.vectors import check_labels, check_patients, check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError
from treatsel.metrics.calibration._curve import check_smoother_of
from treatsel.metrics.calibration._curve_refits import (
    ERRORS,
    CurveRefits,
    errors_of,
    usable_draws,
)
from treatsel.metrics.calibration._inversion import limits_by_inversion

PERFECT = "none: each prediction equals its outcome"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CalibrationIndices(Summarized):
    """Distances between predicted probabilities and the smooth calibration curve; 0 is perfect.

    Attributes
    ----------
    ici : float
        Integrated calibration index: mean absolute distance over the patients (also Eavg).
    e50, e90, emax : float
        Median, 90th percentile and maximum of the absolute distance.
    eci : float
        Estimated calibration index: 100 times the mean squared distance.
    n, n_events : int
        Number of patients, and of patients with outcome 1.
    smoother : str
        The smoother that was fitted, or why none could be fitted (all distances are then NaN).
    level : float
        Confidence level of the intervals.
    method : str
        How the intervals were computed.
    table : pandas.DataFrame
        One row each of ici, e50, e90, emax, eci; columns value, lower, upper, expected_under_calibration and
        q95_under_calibration (mean and 95th percentile under perfect calibration at this n), p_value (of
        perfect calibration, from the same draws). NaN where a value was not requested or not computable.
    """

    ici: float
    e50: float
    e90: float
    emax: float
    eci: float
    n: int
    n_events: int
    smoother: str
    level: float
    method: str
    table: pd.DataFrame

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each distance with its interval, by name."""
        return {
            str(error): Estimate(
                value=float(row["value"]),
                lower=float(row["lower"]),
                upper=float(row["upper"]),
                n=self.n,
                n_events=self.n_events,
                level=self.level,
                method=self.method,
                p_value=float(row["p_value"]),
            )
            for error, row in self.table.iterrows()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the indices and counts by name, without the table."""
        fields = dataclasses.fields(self)
        return {field.name: getattr(self, field.name) for field in fields if field.name != "table"}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per index, with interval and values expected under perfect calibration."""
        return self.table.copy()


def integrated_calibration_index(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    smooth: Smoother = "spline",
    smooth_on: Scale = "logit",
    n_knots: int = 5,
    exact: bool = False,
    n_resamples: int = 200,
    n_simulations: int = 200,
    interval: Literal["auto", "inversion", "percentile"] = "auto",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
    random_state: int = 0,
) -> CalibrationIndices:
    """Integrated calibration index: distance between predictions and their smooth calibration curve.

    Even for a perfectly calibrated model the distances exceed 0 by chance, more so in smaller cohorts. Each
    is therefore reported with the values expected under perfect calibration, from curves that are refitted
    to outcomes simulated from the predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    smooth, smooth_on, n_knots, exact
        The curve, as in `calibration_curve`.
    n_resamples : int, default 200
        Number of bootstrap resamples, or of simulated cohorts at each step of an inversion, for the
        intervals; 0 for none. The spline keeps its knots in each. With more than 8,192 distinct predictions,
        resamples and simulations (not the estimates) replace predictions within the same 1/8,192 of the range
        by their mean. This changes the limits of the ICI by about 1e-6, those of the others by about 1e-5.
    n_simulations : int, default 200
        Number of simulated sets of outcomes, drawn from the predictions; 0 for none.
    interval : {"auto", "inversion", "percentile"}, default "auto"
        Inversion of a test: the values of all truths p + s (curve - p), s >= 0, under which the observed
        error is neither too large nor too small, with outcomes simulated from each truth. It assumes
        independent outcomes. Or percentiles of a bootstrap. "auto": inversion with fewer than 20,000
        patients and without `clusters`, else percentiles; `method` says which.
    clusters : array-like of shape (n_patients,), optional
        Sites or other clusters; whole clusters are resampled (percentiles).
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice. See `calibration_curve` for
        fractions; in simulations a row with such a weight has one outcome.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights, for a spline only; a patient who is
        resampled, or whose outcome is simulated, keeps the weight.
    level : float, default 0.95
        Confidence level of the intervals.
    random_state : int, default 0
        Seed of resamples and simulations.

    Returns
    -------
    CalibrationIndices
        `.ici`, `.e50`, `.e90`, `.emax` in [0, 1] and `.eci` in [0, 100]; lower is better. `.to_frame()` has
        value, lower, upper, the mean and the 95th percentile under perfect calibration, and the p-value for
        perfect calibration. NaN if no curve could be fitted. If each prediction equals its outcome, all
        indices are 0.

        With 300 patients, intervals by inversion covered true values of the ICI of 0 to 0.12 in
        95 to 97 % of simulations, and reached 0 in 97 % if that was the truth. The Emax of a curve
        with several bends was covered in 87 %. Percentiles lie too high, as the indices of a resample
        are biased upward like the estimate itself, and do not reach 0: they covered the ICI in 85 to 90 %
        at n = 300 and in 91 to 96 % at n = 1,000.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], an option is unknown,
        weights for a lowess are not whole numbers, or an inversion is asked for with clusters.

    References
    ----------
    Austin & Steyerberg (2019), Statistics in Medicine 38(21), 4051-4065. doi:10.1002/sim.8281
    Van Hoorde et al. (2015), Journal of Biomedical Informatics 54, 283-293. doi:10.1016/j.jbi.2014.12.016
    Davison & Hinkley (1997), Bootstrap Methods and their Application, sections 4.2 and 5.5 (inversion of
    a test). doi:10.1017/CBO9780511802843

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.1, 0.9, 500)
    >>> errors = integrated_calibration_index(rng.binomial(1, p), p**2)
    >>> row = errors.table.loc["ici"]
    >>> bool(row["q95_under_calibration"] < 0.1 < row["lower"] < errors.ici < row["upper"])
    True
    >>> calibrated = integrated_calibration_index(rng.binomial(1, p), p)
    >>> float(calibrated.table.loc["ici", "lower"])
    0.0
    """
    smoothing = Smoothing(smooth=smooth, smooth_on=smooth_on, n_knots=n_knots, exact=exact)
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    check_smoother_of(data, smooth)
    by_test = _by_test(interval, clusters is not None, data.n)
    if clusters is not None:
        check_patients(y_true=y_true, clusters=clusters)
    for name, number in {"n_resamples": n_resamples, "n_simulations": n_simulations}.items():
        if not isinstance(number, int | np.integer) or number < 0:
            raise InputError(f"{name} is {number!r}; it must be a whole number of 0 (none) or more.")
    x = smoothing.scale(data.score)
    is_perfect = bool((data.score == data.outcome).all())
    fitted = smoothing.fit(x, data.outcome, data.weight)
    smooth_at = data.score if is_perfect else fitted.at(x)
    values = errors_of(np.abs(smooth_at - data.score), data.weight)
    limits = np.full((2, len(ERRORS)), np.nan)
    perfect = np.empty((0, len(ERRORS)))
    if np.isfinite(values).all():
        refits = CurveRefits.of(data, x, None if is_perfect else fitted, smoothing)
        # one BLAS thread: more do not speed up small matrices, and slow them down on a busy machine
        with threadpool_limits(limits=1, user_api="blas"):
            perfect = refits.simulated(n_simulations, random_state)
            if n_resamples and by_test:
                limits = limits_by_inversion(
                    values, refits, perfect, n_resamples, level=level, seed=random_state
                )
            elif n_resamples:
                limits = _percentiles(refits, clusters, n_resamples, level=level, seed=random_state)
    return CalibrationIndices(
        **dict(zip(ERRORS, values.tolist(), strict=True)),
        n=data.n,
        n_events=data.n_events,
        smoother=PERFECT if is_perfect else fitted.smoother,
        level=level,
        method=_method(n_resamples, by_test, clusters is not None),
        table=_table(values, limits, perfect),
    )


def _by_test(interval: str, has_clusters: bool, n: int) -> bool:
    """Return whether the interval is computed by inversion of a test."""
    check_choice("interval", interval, ["auto", "inversion", "percentile"])
    if interval == "inversion" and has_clusters:
        raise InputError(
            "interval is 'inversion', which assumes independent outcomes, and clusters are given. Use "
            "interval='percentile', which resamples whole clusters, or leave out the clusters."
        )
    return interval == "inversion" or (interval == "auto" and not has_clusters and n < PERCENTILE_FROM)


def _percentiles(
    refits: CurveRefits, clusters: npt.ArrayLike | None, times: int, *, level: float, seed: int
) -> FloatArray:
    """Return lower and upper limits of the errors, shape (2, n_errors), from resamples."""
    data = refits.data
    clustering = None if clusters is None else check_labels("clusters", clusters)[data.rows]
    units = data.weights.units(clustering)
    resamples = Resamples.of(data.weight, clusters=units, n_resamples=times, seed=seed)
    drawn = refits.many(refits.resampled(resamples))
    return np.array([percentile_interval(column, level) for column in drawn.T]).T


def _table(values: FloatArray, limits: FloatArray, perfect: FloatArray) -> pd.DataFrame:
    """Return value, interval and the values expected under perfect calibration, one row per index."""
    found = usable_draws(perfect)
    usable = np.full((1, len(values)), np.nan) if found is None else found
    above = (usable >= values * (1 - 1e-12)).sum(axis=0)  # values that are equal up to rounding count as well
    p_value = (1 + above) / (1 + len(usable))  # never 0 (Davison & Hinkley 1997, section 4.2.1)
    columns = {
        "value": values,
        "lower": limits[0],
        "upper": limits[1],
        "expected_under_calibration": usable.mean(axis=0),
        "q95_under_calibration": np.quantile(usable, 0.95, axis=0),
        "p_value": np.where(np.isnan(usable).any(axis=0), np.nan, p_value),
    }
    return pd.DataFrame(columns, index=pd.Index(ERRORS, name="error"))


def _method(n_resamples: int, by_test: bool, by_cluster: bool) -> str:
    if not n_resamples:
        return "no interval: n_resamples is 0"
    if by_test:
        return f"inversion of a test, {n_resamples} simulations per step"
    return f"percentile bootstrap of {'clusters' if by_cluster else 'patients'}, {n_resamples} resamples"
