"""Transport of performance: validation patients re-weighted to a target population."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import softmax

from treatsel._checks import FloatArray, check_level, check_weights
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import check_patients
from treatsel.errors import InputError
from treatsel.metrics import (
    brier_score,
    calibration_in_the_large,
    calibration_slope,
    observed_expected_ratio,
    roc_auc,
    within_arm_auc,
)
from treatsel.validation.studies._case_mix import columns_of

BALANCED = 1e-3  # largest standardized difference after weighting, far below the 0.1 in use (Austin 2009)
MIN_EFFECTIVE = 50  # effective patients: with fewer, a few patients with large weights dominate the estimates


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BalancingWeights(Summarized):
    """Weights that balance the covariates of validation patients with a target population.

    Attributes
    ----------
    sample_weight : Series of shape (n_patients,)
        The weights sum to the effective sample size, so that every function of `treatsel.metrics` accepts
        them as its `sample_weight` and gives appropriate standard errors. NaN if no weights achieve balance.
    effective_n : float
        Kish's effective sample size, (sum of weights)^2 / sum of squared weights.
    n : int
        Validation patients.
    largest_share : float
        Proportion of the total weight that falls on the patient with the largest weight.
    balance : DataFrame
        One row for each covariate: mean before, after and target, and the standardized difference from
        the target before and after.
    method : str
        Method of weighting, or why there are no weights.
    """

    sample_weight: pd.Series
    effective_n: float
    n: int
    largest_share: float
    balance: pd.DataFrame
    method: str

    def __repr__(self) -> str:
        """Show the effective sample size."""
        return f"BalancingWeights(n={self.n}, effective_n={self.effective_n:.0f})"

    def to_frame(self) -> pd.DataFrame:
        """Return the balance of the covariates."""
        return self.balance.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the standardized differences from the target before weighting.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points.

        Returns
        -------
        matplotlib Axes
        """
        value = self.balance["difference_before"].dropna()
        points = pd.DataFrame({"value": value, "lower": value, "upper": value})
        label = "Standardized difference, validation minus target"
        return plots.estimates(points, reference=0, xlabel=label, ax=ax, **kwargs)


def balancing_weights(
    validation: pd.DataFrame,
    target: pd.DataFrame | Mapping[str, float | tuple[float, float]],
    *,
    spread: bool = False,
    sample_weight: npt.ArrayLike | None = None,
) -> BalancingWeights:
    """Weight validation patients so that their covariates have the means of a target population.

    Of all weights that do so, these are the closest to equal weights in entropy, exp(x'b). They equal the
    odds of a logistic model of membership in the target, fitted by moments, and need published means only.

    Parameters
    ----------
    validation : DataFrame of shape (n_patients, n_covariates)
        Covariates of the validation patients, without arm and outcome.
    target : DataFrame, or mapping of a column to its mean or to (mean, SD)
        Patients of the target population, with the columns of `validation`; or published means of numbers,
        and proportions of categories as "column=level". Columns without an entry are not balanced.
    spread : bool, default False
        Whether to match the SDs of numbers as well.
    sample_weight : array-like of shape (n_patients,), optional
        Weights of the validation patients; counts.

    Returns
    -------
    BalancingWeights
        NaN weights if the target's means lie outside the range of the validation patients.

    Raises
    ------
    InputError
        If a column is unknown, a covariate has missing values, or the weights are in another order.

    Notes
    -----
    Weighted estimates apply to the target population if the outcome depends on the covariates there as it
    does here; differences in other variables remain. The weights are treated as known.

    References
    ----------
    Hainmueller (2012), Political Analysis 20(1), 25-46. doi:10.1093/pan/mpr025
    Signorovitch et al. (2010), PharmacoEconomics 28(10), 935-945. doi:10.2165/11538370-000000000-00000
    Steingrimsson et al. (2023), American Journal of Epidemiology 192(2), 296-304. doi:10.1093/aje/kwac128

    Examples
    --------
    >>> patients = pd.DataFrame({"age": [20.0, 30, 40, 50, 60, 70]})
    >>> found = balancing_weights(patients, {"age": 50.0})
    >>> round(found.effective_n, 1), found.balance["after"].round(3).to_dict()
    (5.5, {'age': 50.0})
    """
    if not isinstance(validation, pd.DataFrame):
        raise InputError(f"validation must be a DataFrame; it is a {type(validation).__name__}.")
    check_patients(validation=validation, sample_weight=sample_weight)
    base = check_weights("sample_weight", sample_weight, len(validation))
    columns, goals = _columns_and_goals(validation, target, spread=spread)
    matrix, wanted = columns.to_numpy(dtype=float), goals.to_numpy(dtype=float)
    start = base / base.sum()
    center = start @ matrix
    scale = np.sqrt(start @ (matrix - center) ** 2)
    varies = scale > 0
    scaled = (matrix[:, varies] - wanted[varies]) / scale[varies]
    share = _tilt(scaled, start)
    after = (share @ matrix - wanted) / np.where(varies, scale, np.inf)
    reached = bool((np.abs(after[varies]) < BALANCED).all() and np.allclose(center[~varies], wanted[~varies]))
    effective = float(1 / (share**2 / np.where(base > 0, base, 1)).sum()) if reached else float("nan")
    method = "entropy balancing of means" + (" and SDs" if spread else "")
    if not reached:
        method = "not estimable: the target's means lie outside the range of the validation patients"
    elif effective < MIN_EFFECTIVE:
        method += f"; imprecise: fewer than {MIN_EFFECTIVE} effective patients"
    balance = pd.DataFrame(
        {
            "before": center,
            "after": share @ matrix if reached else np.nan,
            "target": wanted,
            "difference_before": (center - wanted) / np.where(varies, scale, np.nan),
            "difference_after": np.where(varies, after, np.nan) if reached else np.nan,
        },
        index=columns.columns,
    )
    return BalancingWeights(
        sample_weight=pd.Series(share * effective, index=validation.index, name="sample_weight"),
        effective_n=effective,
        n=round(float(base.sum())),
        largest_share=float((share / np.where(base > 0, base, 1)).max()) if reached else float("nan"),
        balance=balance,
        method=method,
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TransportedPerformance(Summarized):
    """Performance in the validation cohort, and expected performance in the target population.

    Attributes
    ----------
    observed, expected : dict of str to Estimate
        By measure: auc, within_arm_auc (if the received arms were given), brier_score,
        calibration_in_the_large, calibration_slope, observed_expected. Expected estimates have the effective
        sample size as `n`.
    weights : BalancingWeights
        The weights used.
    """

    observed: dict[str, Estimate]
    expected: dict[str, Estimate]
    weights: BalancingWeights

    def __repr__(self) -> str:
        """Show the effective sample size."""
        return f"TransportedPerformance({self.weights})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each measure and population ("validation", "target")."""
        both = {"validation": self.observed, "target": self.expected}
        rows = [
            {"measure": measure, "population": name} | estimate.to_dict()
            for measure in self.observed
            for name, estimates in both.items()
            for estimate in [estimates[measure]]
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the estimates in both populations.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        frame = self.to_frame()
        points = frame.set_index(frame["measure"] + ", " + frame["population"])
        points = points[["value", "lower", "upper"]].dropna(subset="value")
        return plots.estimates(points, reference=None, xlabel="Estimate with its interval", ax=ax, **kwargs)


def transport_performance(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    weights: BalancingWeights,
    *,
    received: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> TransportedPerformance:
    """Estimate performance in a target population from re-weighted validation patients.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1 under the received arm, in [0, 1].
    weights : BalancingWeights
        From `balancing_weights`, of the same patients in the same order.
    received : array-like of shape (n_patients,), optional
        Received arms, for the within-arm AUC.
    sample_weight : array-like of shape (n_patients,), optional
        Weights of the patients themselves, as given to `balancing_weights`; counts.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    TransportedPerformance
        The expected estimates are NaN if no weights achieve balance.

    Raises
    ------
    InputError
        If lengths or the order of patients differ, an outcome is not 0/1, or a probability is outside
        [0, 1].

    References
    ----------
    Steingrimsson et al. (2023), American Journal of Epidemiology 192(2), 296-304. doi:10.1093/aje/kwac128

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> patients = pd.DataFrame({"severity": rng.normal(size=400)})
    >>> p = 1 / (1 + np.exp(patients["severity"]))
    >>> weights = balancing_weights(patients, {"severity": (0.0, 0.5)}, spread=True)
    >>> found = transport_performance(rng.random(400) < p, p, weights)  # among more similar patients
    >>> round(found.observed["auc"].value, 2), round(found.expected["auc"].value, 2)
    (0.78, 0.72)
    """
    level = check_level(level)
    patients = {"y_true": y_true, "y_prob": y_prob, "received": received, "sample_weight": sample_weight}
    check_patients(**patients, weights=weights.sample_weight)
    observed = _figures(y_true, y_prob, received, sample_weight, level)
    if weights.effective_n == weights.effective_n:
        expected = _figures(y_true, y_prob, received, weights.sample_weight.to_numpy(), level)
    else:
        reason = weights.method.removeprefix("not estimable: ")
        expected = {name: not_estimable(reason, n=0, n_events=None, level=level) for name in observed}
    return TransportedPerformance(observed=observed, expected=expected, weights=weights)


def _figures(y: Any, p: Any, received: Any, weight: Any, level: float) -> dict[str, Estimate]:
    options = {"sample_weight": weight, "level": level}
    found = {"auc": roc_auc(y, p, **options)}
    if received is not None:
        found["within_arm_auc"] = within_arm_auc(y, p, received, **options)
    return found | {
        "brier_score": brier_score(y, p, **options),
        "calibration_in_the_large": calibration_in_the_large(y, p, **options),
        "calibration_slope": calibration_slope(y, p, **options),
        "observed_expected": observed_expected_ratio(y, p, **options),
    }


def _columns_and_goals(
    validation: pd.DataFrame, target: Any, *, spread: bool
) -> tuple[pd.DataFrame, pd.Series]:
    """Return the columns to balance, including squared deviations for SDs, and their target means."""
    if isinstance(target, pd.DataFrame):
        if missing := [str(name) for name in validation.columns if name not in target]:
            raise InputError(f"target lacks the columns {missing}. Drop them from validation too.")
        columns, wanted = columns_of([validation, target[list(validation.columns)]])
        _check_complete(wanted, "target")
        goals = {name: (wanted[name].mean(), wanted[name].std(ddof=0)) for name in wanted}
    else:
        (columns,) = columns_of([validation])
        goals = {name: given if isinstance(given, tuple) else (given, None) for name, given in target.items()}
        if unknown := [name for name in goals if name not in columns]:
            raise InputError(f"target names {unknown}, which are not in validation. It has {list(columns)}.")
    columns = columns[list(goals)]
    _check_complete(columns, "validation")
    wanted_means = pd.Series({name: mean for name, (mean, _) in goals.items()}, dtype=float)
    if spread:
        for name, (mean, sd) in goals.items():
            if sd is not None and columns[name].nunique() > 2:
                columns = columns.assign(**{f"{name} squared": (columns[name] - mean) ** 2})
                wanted_means[f"{name} squared"] = sd**2
    return columns, wanted_means


def _check_complete(columns: pd.DataFrame, name: str) -> None:
    missing = columns.isna().sum()
    if len(lost := missing[missing > 0]):
        found = ", ".join(f"{column!r} {n}" for column, n in lost.items())
        raise InputError(f"{name} holds missing values ({found}). Impute them, or leave the columns out.")


def _tilt(departures: FloatArray, start: FloatArray) -> FloatArray:
    """Return weights start * exp(departures @ b), of sum 1, with b such that the mean departure is 0."""
    with np.errstate(divide="ignore"):
        base = np.log(start)

    def height(b: FloatArray) -> tuple[float, FloatArray]:
        exponent = base + departures @ b
        top = exponent.max()
        share = softmax(exponent)
        return float(top + np.log(np.exp(exponent - top).sum())), share @ departures

    def curvature(b: FloatArray) -> FloatArray:
        share = softmax(base + departures @ b)
        mean = share @ departures
        return np.asarray((departures * share[:, None]).T @ departures - np.outer(mean, mean))

    if not departures.shape[1]:
        return start
    found = minimize(
        height, np.zeros(departures.shape[1]), jac=True, hess=curvature, method="trust-exact",
        options={"gtol": 1e-9, "maxiter": 200},
    )  # fmt: skip
    return np.asarray(softmax(base + departures @ found.x))
