"""Value of information at validation; public through `treatsel.metrics.utility`."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from treatsel._checks import FloatArray, check_choice
from treatsel._reporting.plots import curves
from treatsel._reporting.summary import Summarized
from treatsel.errors import InputError
from treatsel.metrics.utility._threshold_counts import (
    ALL,
    NONE,
    Table,
    check_models,
    check_thresholds,
    net_benefits,
)

FARTHEST = 40.0  # standard deviations: beyond them a normal probability is 0 or 1 in double precision
SMALLEST = 1e-150


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValueOfInformation(Summarized):
    """Net benefit expected to be lost at each threshold because the validation cohort is finite.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns threshold; value (the expected value of perfect information, 0 or more); perfect (net
        benefit expected if the best strategy were known); current (net benefit of the strategy that is best
        on these data); best (its name; in a tie, the model's).
    n, n_events : int
        Number of patients, and of patients with outcome 1.
    method : str
        How the uncertainty was modeled.
    """

    table: pd.DataFrame
    n: int
    n_events: int
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the value of information over the thresholds.

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
        table = self.table.assign(strategy="value of perfect information")
        ylabel = "Expected loss of net benefit, per patient"
        return curves(table, x="threshold", by="strategy", xlabel="Threshold", ylabel=ylabel, ax=ax, **kwargs)


def value_of_information(
    y_true: npt.ArrayLike,
    y_prob: Any,
    *,
    thresholds: npt.ArrayLike | None = None,
    method: Literal["asymptotic", "bootstrap"] = "asymptotic",
    n_resamples: int = 1000,
    random_state: int = 0,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> ValueOfInformation:
    """Expected value of perfect information: net benefit lost by uncertainty about the best strategy.

    The strategies are the model(s), treat all and treat none. With these data, the strategy with the highest
    estimated net benefit is chosen; with unlimited data, the truly best one. The expected difference (EVPI)
    is 0 where more data could not change the choice. Multiplied by the number of patients of a service, it is
    the largest number of true positives that a larger validation study can be expected to gain.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,), or mapping or DataFrame of several
        Predicted probability of outcome 1, in [0, 1].
    thresholds : array-like of shape (n_thresholds,), optional
        Increasing, in [0, 1); 0.01 to 0.99 by default. A prediction of at least the threshold is positive
        (R's predtools requires more than the threshold).
    method : {"asymptotic", "bootstrap"}, default "asymptotic"
        Distribution of the net benefits: normal with the covariance of the data (one model, independent
        patients), or that in resamples of patients or clusters.
    n_resamples : int, default 1000
        Number of resamples for "bootstrap".
    random_state : int, default 0
        Seed of the resamples.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for "bootstrap"; whole clusters are resampled.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    ValueOfInformation
        Per threshold, in units of net benefit per patient; 0 or more; near 0 if the data suffice.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], thresholds do not
        increase within [0, 1), or "asymptotic" is requested with several models or clusters.

    References
    ----------
    Sadatsafavi et al. (2023), Medical Decision Making 43(5), 564-575. doi:10.1177/0272989X231178317

    Examples
    --------
    >>> y, p = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7]
    >>> found = value_of_information(y, p, thresholds=[0.3, 0.5]).to_frame()
    >>> found[["threshold", "value", "best"]].round(4).to_numpy().tolist()
    [[0.3, 0.005, 'model'], [0.5, 0.0243, 'model']]
    """
    check_choice("method", method, ["asymptotic", "bootstrap"])
    models, grid = check_models(y_prob), check_thresholds(thresholds)
    if method == "asymptotic" and (len(models) > 1 or clusters is not None):
        raise InputError(
            'method="asymptotic" takes one model and independent patients. Use method="bootstrap" for '
            "several models or clusters."
        )
    table = Table.of(y_true, models, sample_weight=sample_weight, clusters=clusters, thresholds=grid)
    harm = np.zeros(len(models))
    rates = table.rates(table.weight, None)
    current = net_benefits(rates, grid, harm)
    best = np.argmax(current, axis=0)
    if method == "asymptotic":
        mean = np.concatenate([current[:2], np.zeros((1, len(grid)))])
        perfect, known = expected_maximum(mean, _covariance(rates, grid, table.total)), current.max(axis=0)
        described = "asymptotic: normal net benefits"
    else:
        resamples = table.resamples(n_resamples=n_resamples, random_state=random_state)
        draws = np.array([net_benefits(table.rates(weight, None), grid, harm) for weight in resamples])
        perfect, known = draws.max(axis=1).mean(axis=0), draws.mean(axis=0).max(axis=0)
        described = f"bootstrap, {table.drawn(n_resamples)}"
    lost = np.maximum(perfect - known, 0)
    columns = {"threshold": grid, "value": lost, "perfect": perfect, "current": known}
    names = np.array([*models, ALL, NONE], dtype=object)
    return ValueOfInformation(
        table=pd.DataFrame(columns | {"best": names[best]}),
        n=round(table.total),
        n_events=round(table.events),
        method=described,
    )


def _covariance(rates: FloatArray, thresholds: FloatArray, n: float) -> FloatArray:
    """Return the covariance of the net benefits of model, treat all and treat none, shape (3, 3, m)."""
    odds = thresholds / (1 - thresholds)
    model, treat_all = rates[0], rates[1]
    found = np.zeros((3, 3, len(thresholds)))
    means = [rate[1] - odds * rate[0] for rate in (model, treat_all)]
    for i, j, both in ((0, 0, model), (0, 1, model), (1, 0, model), (1, 1, treat_all)):
        found[i, j] = (both[1] + odds**2 * both[0] - means[i] * means[j]) / n
    return found


def expected_maximum(mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the expected maximum of three normal variables.

    Parameters
    ----------
    mean : ndarray of shape (3, m)
        m triples.
    covariance : ndarray of shape (3, 3, m)
        A variance, or that of a difference, may be 0.

    Returns
    -------
    ndarray of shape (m,)
        Exact up to rounding.

    References
    ----------
    Afonja (1972), Journal of the Royal Statistical Society B 34(2), 251-262.
    doi:10.1111/j.2517-6161.1972.tb00904.x

    Examples
    --------
    >>> round(float(expected_maximum(np.zeros((3, 1)), np.eye(3)[:, :, None])[0]), 6)  # 1.5 / sqrt(pi)
    0.846284
    """

    def common(i: int, j: int, k: int) -> FloatArray:
        """Covariance of the differences i - j and i - k."""
        return np.asarray(covariance[i, i] - covariance[i, j] - covariance[i, k] + covariance[j, k])

    def spread(variance: FloatArray) -> FloatArray:
        return np.sqrt(np.maximum(variance, SMALLEST**2))

    found = np.zeros(mean.shape[1])
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        over_j, over_k, shared = mean[i] - mean[j], mean[i] - mean[k], common(i, j, k)
        sd_j, sd_k = spread(common(i, j, j)), spread(common(i, k, k))
        found += mean[i] * _bivariate_normal(over_j / sd_j, over_k / sd_k, shared / (sd_j * sd_k))
        regression = shared / sd_j**2
        rest = spread(sd_k**2 - regression * shared)
        third_is_lower = special.ndtr(np.clip((over_k - regression * over_j) / rest, -FARTHEST, FARTHEST))
        density = np.exp(-0.5 * np.clip(over_j / sd_j, -FARTHEST, FARTHEST) ** 2) / np.sqrt(2 * np.pi)
        found += sd_j * density * third_is_lower
    return found


def _bivariate_normal(h: FloatArray, k: FloatArray, correlation: FloatArray) -> FloatArray:
    """Return P(X <= h, Y <= k) of standard normal variables, by Owen's T (doi:10.1214/aoms/1177728074)."""
    h, k = (np.clip(np.where(x == 0, SMALLEST, x), -FARTHEST, FARTHEST) for x in (h, k))
    r = np.clip(correlation, -1 + 1e-15, 1 - 1e-15)
    rest = np.sqrt((1 - r) * (1 + r))
    apart = np.where(np.sign(h) * np.sign(k) < 0, 0.5, 0.0)
    tails = special.owens_t(h, (k / h - r) / rest) + special.owens_t(k, (h / k - r) / rest)
    return np.asarray((special.ndtr(h) + special.ndtr(k)) / 2 - tails - apart)
