"""Result of comparing a recommendation rule with the arm that is truly best."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import percent, points
from treatsel._reporting.summary import Summarized, Summary
from treatsel.metrics.policy._gain_result import Gain
from treatsel.metrics.policy._selection import AS_ESTIMATED, CROSS_FITTED, EQUAL, SMALLEST

OVER_BEST, DETECTABLE = "gain over the best single arm", "smallest detectable gain"
RULE, PRACTICE = "recommended arm", "received arm (current practice)"
COLUMNS = ["figure", "value", "lower", "upper", "se", "p_value", "comparator_arm"]
COLUMNS += ["bias_estimated", "bias_estimated_error", "bias_equal", "bias_equal_error", "n", "method"]
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BestArmGain(Summarized):
    """Gain of the recommendations over the arm that is truly best, whichever it is.

    Attributes
    ----------
    interval : Gain
        `lower` and `upper`, the selection-adjusted interval, are the result; `value` is the smallest gain
        over the single arms, which is biased downward.
    cross_fitted : Gain
        Gain over the arm that is best outside the patient's fold, which is biased upward; its interval is
        that of the gain over the arms so chosen.
    bias : DataFrame of shape (4, 4)
        Simulated bias of both estimates: columns figure, arms_are ("estimated": the arms differ as estimated;
        "equal": all are equally good), bias and error (its Monte Carlo standard error), in proportions.
    rate : float
        Outcome rate under the recommendations, a proportion.
    others : DataFrame
        Current practice (if the outcomes were given) and each single arm: columns policy, rate, and value,
        lower, upper: its difference to the truly best arm as in `interval`, at most 0 for a single arm.
    arms, left_out : tuple of labels
        Arms that were compared, and those that were not.
    detectable : float
        Smallest gain whose interval excludes 0 with probability `power`, a proportion; NaN if one arm is
        recommended to all patients.
    power : float
        0.8.
    n_simulations : int
        Simulated data sets.
    """

    interval: Gain
    cross_fitted: Gain
    bias: pd.DataFrame
    rate: float
    others: pd.DataFrame
    arms: tuple[Any, ...]
    left_out: tuple[Any, ...]
    detectable: float
    power: float
    n_simulations: int

    def _summary(self) -> Summary:
        gain = self.interval
        rows = [
            (str(row["figure"]), points(row["value"]), _bias(row["bias_estimated"], row["bias_equal"]))
            for row in self.to_frame().to_dict(orient="records")[1:3]
        ]
        ends = f"{points(gain.lower)} to {points(gain.upper)}".replace(" points", "", 1)
        return Summary(
            title="BestArmGain",
            headline=f"{ends}, {100 * gain.level:g}% interval of the gain over the best of "
            f"{len(self.arms)} single arms, whichever it is",
            facts=[(f"{DETECTABLE} ({100 * self.power:g}% power)", points(self.detectable))],
            columns=("Estimate", "Value", "Simulated bias (arms as estimated; all equal)"),
            rows=rows,
            note="to_frame() shows all numbers, policies() the values of all policies.",
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the interval, the two estimates and the smallest detectable gain, one per row.

        Columns: figure, value (NaN for the interval, for which no unbiased estimate exists), lower, upper,
        se, p_value, comparator_arm, bias_estimated, bias_estimated_error, bias_equal, bias_equal_error, n,
        method.
        """
        adjusted, crossed = self.interval, self.cross_fitted
        detectable = f"power {100 * self.power:g} %, two-sided {100 * adjusted.level:g}% interval; simulated"
        rows = [
            _row(OVER_BEST, adjusted, value=NAN, se=NAN, comparator_arm=None),
            _row(SMALLEST, adjusted, lower=NAN, upper=NAN, p_value=NAN) | self._biases(SMALLEST),
            _row(CROSS_FITTED, crossed) | self._biases(CROSS_FITTED),
            {"figure": DETECTABLE, "value": self.detectable, "n": adjusted.n, "method": detectable},
        ]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _biases(self, figure: str) -> dict[str, float]:
        rows = self.bias[self.bias["figure"] == figure].set_index("arms_are").reindex([AS_ESTIMATED, EQUAL])
        return {
            f"bias_{arms_are}{ending}": float(value)
            for ending, column in (("", "bias"), ("_error", "error"))
            for arms_are, value in rows[column].items()
        }

    def policies(self) -> pd.DataFrame:
        """Return the recommendations, current practice and each single arm against the truly best arm.

        Columns: policy, rate (outcome rate), and value, lower, upper: difference to the truly best arm.
        """
        gain = self.interval
        own = {"policy": RULE, "rate": self.rate}
        own |= {"value": gain.value, "lower": gain.lower, "upper": gain.upper}
        return pd.concat([pd.DataFrame([own]), self.others], ignore_index=True)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw each policy's difference to the truly best arm, with its interval; labels state the rates.

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
        return plot_policies(self.policies(), level=self.interval.level, ax=ax, **kwargs)


def plot_policies(policies: pd.DataFrame, *, level: float, ax: Any = None, **kwargs: Any) -> Any:
    """Draw the policies of `BestArmGain.policies`."""
    short = {RULE: "recommendations", PRACTICE: "current practice"}
    labels = [
        f"{short.get(policy, policy.removeprefix('all patients receive '))}, {percent(rate, 0)}"
        for policy, rate in zip(policies["policy"], policies["rate"], strict=True)
    ]
    table = 100 * policies[["value", "lower", "upper"]].set_axis(pd.Index(labels), axis=0)
    label = f"Percentage points above (+) or below (-) the truly best arm ({plots.intervals_of(level)})"
    return plots.estimates(table, reference=0.0, xlabel=label, ax=ax, **kwargs)


def patients_for(gain: float, *, detectable: float, n: int) -> int:
    """Return about how many patients like these are needed to detect a gain, as standard errors shrink."""
    return math.ceil(n * (detectable / gain) ** 2)


def _row(figure: str, gain: Gain, **changes: Any) -> dict[str, Any]:
    """Return a gain as a row, with some cells changed."""
    row = {name: getattr(gain, name) for name in ("value", "lower", "upper", "se", "p_value")}
    row |= {"comparator_arm": None if gain.comparator_arm is None else str(gain.comparator_arm)}
    return {"figure": figure, **row, **changes, "n": gain.n, "method": gain.method}


def _bias(estimated: float, equal: float) -> str:
    return f"{points(estimated)}; {points(equal)}"
