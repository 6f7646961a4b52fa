"""Bounds of a rate, a contrast or a gain over all possible values of missing outcomes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_choice, check_level, check_weights
from treatsel._reporting.plots import estimates
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import share_received
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import Interval, quantile_of, wilson
from treatsel._stats.vectors import check_labels, check_patients
from treatsel.metrics.missing._arm_counts import ArmCount, Contrast, _pair, contrast_of, count_arms
from treatsel.metrics.policy import aipw_scores, gain_over_best_arm

NULL = {"difference": 0.0, "ratio": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MissingOutcomeBounds(Summarized):
    """Values of an estimate under extreme assumptions about the missing outcomes.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns measure ("rate", "difference", "ratio", "gain"), arms (an arm, or "A v B"), scenario, value,
        lower, upper, n (patients), n_missing, method. Scenarios: "observed" (missing outcomes are like the
        observed ones of their arm), "missing are 0", "missing are 1", and those that make the estimate
        "lowest" and "highest": in a contrast, 0 in one arm and 1 in the other. The interval of a scenario is
        that of the completed data; the range from `lower` of "lowest" to `upper` of "highest" has coverage
        of at least `level` whatever the missing outcomes are.
    level : float
        Confidence level.
    """

    table: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, measure: str = "rate", **kwargs: Any) -> Any:
        """Draw one measure under each scenario.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        measure : {"rate", "difference", "ratio", "gain"}
            Measure to draw; it must be part of the table.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        check_choice("measure", measure, list(self.table["measure"].unique()))
        rows = self.table[self.table["measure"] == measure]
        rows = rows.set_index(rows["arms"] + ": " + rows["scenario"])
        text = f"{measure.capitalize()} ({100 * self.level:g}% intervals)"
        return estimates(rows, reference={**NULL, "gain": 0.0}.get(measure), xlabel=text, ax=ax, **kwargs)


def missing_outcome_bounds(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    *,
    arms: tuple[Any, Any] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> MissingOutcomeBounds:
    """Rates by arm, and a contrast of two arms, with missing outcomes all 0, all 1, or opposite by arm.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1; NaN: not observed. If 1 is a good outcome, "lowest" is the worst case; if 1 is
        discontinuation, it is the best case.
    received : array-like of shape (n_patients,)
        Arm labels.
    arms : tuple of two labels, optional
        First and second arm of the risk difference (first - second) and ratio (first / second). By default
        the two arms if there are exactly two; otherwise only rates are given.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    MissingOutcomeBounds
        Proportions with Wilson's interval, differences with Wald's, ratios with Wald's on the log scale
        (none where an arm has no events, or where both rates are 0 or 1).

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or NaN, a label is missing or an arm does not occur.

    References
    ----------
    Horowitz & Manski (2000), Journal of the American Statistical Association 95(449), 77-84.
    doi:10.1080/01621459.2000.10473902
    Hollis & Campbell (1999), BMJ 319, 670-674. doi:10.1136/bmj.319.7211.670

    Examples
    --------
    >>> y, arm = [1, 0, None, 0, 1, 1, 0, None], ["CBT"] * 4 + ["SSRI"] * 4
    >>> found = missing_outcome_bounds(y, arm).to_frame()
    >>> found.query("measure == 'difference'").set_index("scenario")["value"].round(2).to_dict()
    {'observed': -0.33, 'missing are 0': -0.25, 'missing are 1': -0.25, 'lowest': -0.5, 'highest': 0.0}
    """
    level = check_level(level)
    counts = count_arms(y_true, received, sample_weight)
    rows = [
        _rate_row(arm, scenario, level) for arm in counts for scenario in ("observed", "lowest", "highest")
    ]
    if arms is None and len(counts) == 2:
        arms = (counts[0].name, counts[1].name)
    if arms is not None:
        first, second = _pair(counts, arms)
        measures: tuple[Contrast, ...] = ("difference", "ratio")
        rows += [row for measure in measures for row in _contrast_rows(first, second, measure, level)]
    return MissingOutcomeBounds(table=pd.DataFrame(rows), level=level)


def gain_missing_bounds(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: npt.ArrayLike | pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    comparator: Any = None,
    observation: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> MissingOutcomeBounds:
    """Gain over the best single arm under extreme assumptions about the missing outcomes.

    The lowest gain takes missing outcomes as 0 in patients who received the recommended arm where it is not
    the best single one, and as 1 in patients who received the best single arm although another was
    recommended.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1; NaN: not observed.
    received : array-like of shape (n_patients,)
        Arm labels.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm.
    propensity : pandas.DataFrame of shape (n_patients, n_arms) or array-like of shape (n_patients,)
        Probability of receiving each arm, or the received arm, as in `aipw_scores`.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    comparator : label, or Series of labels of shape (n_patients,), optional
        The arm to compare with, or one per patient, in every scenario. By default the best single arm under
        "observed".
    observation : array-like of shape (n_patients,), optional
        Probability that the outcome is observed, for the scenario "observed"; by default, the observed
        share of the patient's arm.
    clusters, sample_weight, level
        As in `gain_over_best_arm`.

    Returns
    -------
    MissingOutcomeBounds
        Rows of measure "gain"; differences of proportions, positive: the recommendations are better.

    Raises
    ------
    InputError
        As `aipw_scores` and `gain_over_best_arm`.

    References
    ----------
    Horowitz & Manski (2000), Journal of the American Statistical Association 95(449), 77-84.
    doi:10.1080/01621459.2000.10473902

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4, 0.6, 0.7], "SSRI": [0.3, 0.6, 0.5, 0.4]})
    >>> chance = pd.DataFrame({"CBT": [0.5] * 4, "SSRI": [0.5] * 4})
    >>> y, received, best = [1, None, 1, 0], ["CBT", "SSRI", "CBT", "SSRI"], by_arm.idxmax(axis=1)
    >>> gain_missing_bounds(y, received, by_arm, chance, best).table["value"].round(2).tolist()
    [0.05, -0.25, 0.25, -0.25, 0.25]
    """
    outcome = check_binary("y_true", y_true, allow_missing=True)
    labels = check_labels("received", received)
    patients = {"y_true": y_true, "received": received, "by_arm": by_arm, "recommended": recommended}
    n = check_patients(**patients, sample_weight=sample_weight)
    weight, absent = check_weights("sample_weight", sample_weight, n), np.isnan(outcome)
    options: dict[str, Any] = {"clusters": clusters, "sample_weight": sample_weight, "level": level}
    seen = aipw_scores(
        y_true,
        received,
        by_arm,
        propensity,
        observation=_share_observed(labels, absent, weight) if observation is None else observation,
    )
    found = {"observed": gain_over_best_arm(seen, recommended, comparator=comparator, **options)}
    best = found["observed"].comparator_arm if comparator is None else comparator
    for_rule, for_best = share_received(recommended, labels), np.asarray(labels == best, dtype=float)
    up, down = for_rule > for_best, for_best > for_rule
    fills: dict[str, Any] = {"missing are 0": 0.0, "missing are 1": 1.0, "lowest": down, "highest": up}
    for scenario, fill in fills.items():
        scores = aipw_scores(np.where(absent, fill, outcome), received, by_arm, propensity)
        found[scenario] = gain_over_best_arm(scores, recommended, comparator=best, **options)
    single = "each patient's comparator" if isinstance(best, pd.Series) else best
    about = {"measure": "gain", "arms": f"recommended v {single}"}
    counts = {"n": found["observed"].n, "n_missing": round(float(weight @ absent))}
    rows = [
        {
            **about,
            "scenario": scenario,
            **{"value": gain.value, "lower": gain.lower, "upper": gain.upper},
            **counts,
            "method": gain.method,
        }
        for scenario, gain in found.items()
    ]
    return MissingOutcomeBounds(table=pd.DataFrame(rows), level=check_level(level))


def _share_observed(labels: Any, absent: Any, weight: FloatArray) -> FloatArray:
    """Return the share of observed outcomes in each patient's arm; 1 if none was observed."""
    table = pd.DataFrame({"all": weight, "seen": weight * ~absent}).groupby(labels).transform("sum")
    share = (table["seen"] / table["all"].where(table["all"] > 0)).to_numpy()
    return np.where(share > 0, share, 1.0)


def _rate_row(arm: ArmCount, scenario: str, level: float) -> dict[str, Any]:
    share = arm.filled({"observed": None, "lowest": 0.0, "highest": 1.0}[scenario])
    limits = Interval(NAN, NAN)
    if share.n:
        limits = Interval(*map(float, wilson(share.rate * share.n, np.asarray(share.n), level)))
    method = "Wilson" if share.n else "not estimable: no outcome of this arm was observed"
    return _row("rate", str(arm.name), scenario, float(share.rate), limits, [arm], method)


def _contrast_rows(
    first: ArmCount, second: ArmCount, measure: Contrast, level: float
) -> list[dict[str, Any]]:
    fills: dict[str, tuple[float | None, float | None]] = {
        "observed": (None, None),
        "missing are 0": (0.0, 0.0),
        "missing are 1": (1.0, 1.0),
        "lowest": (0.0, 1.0),
        "highest": (1.0, 0.0),
    }
    rows = []
    for scenario, (one, two) in fills.items():
        a, b = first.filled(one), second.filled(two)
        value, se = (float(part) for part in contrast_of(a, b, measure))
        half = quantile_of(level) * se
        limits, method = Interval(value - half, value + half), "Wald"
        if measure == "ratio":
            value = float(a.rate / b.rate) if b.rate > 0 else NAN
            limits, method = Interval(*np.exp(limits).tolist()), "Wald on the log scale"
        if not 0 < half < np.inf:
            method = f"no interval: {method} needs events in both arms, and both outcomes in one of them"
            limits = Interval(NAN, NAN)
        label = f"{first.name} v {second.name}"
        rows.append(_row(measure, label, scenario, value, limits, [first, second], method))
    return rows


def _row(
    measure: str, label: str, scenario: str, value: float, limits: Interval, arms: list[ArmCount], method: str
) -> dict[str, Any]:
    counts = {"n": round(sum(arm.n for arm in arms)), "n_missing": round(sum(arm.missing for arm in arms))}
    about = {"measure": measure, "arms": label, "scenario": scenario, "value": value}
    return {**about, "lower": limits.lower, "upper": limits.upper, **counts, "method": method}
