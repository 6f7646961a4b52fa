"""`Dependence`: predicted differences between arms over the range of one covariate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, as_text, check_arm
from treatsel._disclosure import smooth_quantile, suppressed
from treatsel._reporting.summary import Summarized, Summary
from treatsel.additive import logistic
from treatsel.modification._levels import MISSING, MOST_VALUES, bins_of, levels_of
from treatsel.modification._population import Population, differences

N_POINTS = 25
MOST_PATIENTS = 200  # over whom predictions are averaged
_ENDS = (0.02, 0.98)  # quantiles between which a number is shown: beyond them, few patients support a curve


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dependence(Summarized):
    """Predicted differences between arms by the value of one covariate, the others as they are.

    For each value, all patients get this value, and their predicted differences are averaged (partial
    dependence). The differences include that the same odds ratio is a smaller difference in probability
    where the outcome is rare or frequent, also for a covariate that modifies nothing.

    Attributes
    ----------
    table : DataFrame
        Columns arm, value (a number, or a category as text), difference (arm minus comparator, in
        probability), lower, upper.
    patients : DataFrame
        Patients by the covariate: columns lower and upper (edges of a bin, means of five patients) and n, or
        value and n; NaN where the count is suppressed.
    covariate, label : str
        Name of the covariate, and its title with its unit.
    outcome : str
        Title of the outcome.
    comparator : label
        Arm with which the others are compared.
    level : float
        Level of the intervals.
    """

    table: pd.DataFrame
    patients: pd.DataFrame
    covariate: str
    label: str
    outcome: str
    comparator: Any
    level: float

    @property
    def is_number(self) -> bool:
        """Whether the covariate is a number with a curve, and not one of few values."""
        return "lower" in self.patients

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; a suppressed count is None."""
        patients = self.patients.astype("object").where(self.patients.notna(), None)
        return {
            "covariate": self.covariate,
            "outcome": self.outcome,
            "comparator": str(self.comparator),
            "level": self.level,
            "differences": self.table.assign(arm=self.table["arm"].map(str)).to_dict(orient="records"),
            "patients": patients.to_dict(orient="records"),
        }

    def plot(self, ax: Any = None, *, arms: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        """Draw the differences with intervals, and the distribution of the patients below.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        arms : sequence of labels, optional
            Arms to draw; None: all but the comparator.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines or points.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        InputError
            If an arm is unknown or the comparator.
        """
        from treatsel._reporting import plots
        from treatsel._reporting.axes import GREY

        known = list(self.table["arm"].unique())
        chosen = known if arms is None else [check_arm("arms", arm, known) for arm in arms]
        table = self.table[self.table["arm"].isin(chosen)]
        table = table.rename(columns={"difference": "value", "value": "at"})
        ylabel = f"Difference in {self.outcome} to {self.comparator}"
        if len(chosen) == 1:
            ylabel = f"Difference in {self.outcome}, {chosen[0]} minus {self.comparator}"
        band = plots.intervals_of(self.level)
        if self.is_number:
            ax = plots.curves(
                table,
                x="at",
                by="arm",
                xlabel=self.label,
                ylabel=ylabel,
                reference=0.0,
                band=band,
                note="bars: distribution of the patients",
                ax=ax,
                **kwargs,
            )
            width = self.patients["upper"] - self.patients["lower"]
            height = self.patients["n"] / width
            # in the lowest eighth of the plot, whatever the differences are
            ax.bar(
                self.patients["lower"],
                0.12 * height / height.max(),
                width=width,
                align="edge",
                color=GREY,
                alpha=0.35,
                edgecolor="white",
                linewidth=0.5,
                zorder=0,
                transform=ax.get_xaxis_transform(),
            )
            low, high = table["at"].min(), table["at"].max()
            ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
            return ax
        names = {
            value: f"{value} (n = {n:,.0f})" if n == n else str(value)
            for value, n in zip(self.patients["value"], self.patients["n"], strict=True)
        }
        several = len(chosen) > 1
        rows = [
            f"{names[at]}: {arm}" if several else names[at]
            for at, arm in zip(table["at"], table["arm"], strict=True)
        ]
        table = table.set_axis(pd.Index(rows))
        ax = plots.estimates(table, reference=0.0, xlabel=f"{ylabel} ({band})", ax=ax, **kwargs)
        if not ax.get_title():
            ax.set_title(plots.wrapped(self.label, 60), fontsize=10)
        return ax

    def _summary(self) -> Summary:
        spread = self.table.groupby("arm", sort=False)["difference"].agg(["min", "max"])
        return Summary(
            title="Dependence",
            headline=f"Difference in {self.outcome} to {self.comparator} by {self.label}",
            columns=("Arm", "Smallest", "Largest"),
            rows=[(str(arm), f"{row['min']:+.3f}", f"{row['max']:+.3f}") for arm, row in spread.iterrows()],
            note="to_frame() gives the differences with intervals; plot() draws them.",
        )


def dependence_of(
    population: Population, covariate: str, *, arms: Sequence[Any], comparator: Any, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of differences, and the distribution of the patients."""
    column = population.clean[covariate]
    values, patients = _points(column)
    rows = population.clean.iloc[:: -(-len(population.clean) // MOST_PATIENTS)]
    position, tails = list(arms).index(comparator), [(1 - level) / 2, (1 + level) / 2]
    others = [arm for arm in arms if arm != comparator]
    parts = []
    for value in values:
        drawn = _difference(population, rows, covariate, value, position)
        lower, upper = np.quantile(drawn, tails, axis=1)
        shown = value if "lower" in patients else _label(value)
        parts.append(
            pd.DataFrame(
                {
                    "arm": others,
                    "value": shown,
                    "difference": drawn.mean(axis=1),
                    "lower": lower,
                    "upper": upper,
                }
            )
        )
    return pd.concat(parts, ignore_index=True), patients


def _points(column: "pd.Series[Any]") -> tuple[list[Any], pd.DataFrame]:
    """Return the values at which differences are predicted, and the distribution of the patients."""
    present = column.dropna()
    if pd.api.types.is_numeric_dtype(column.dtype) and present.nunique() > MOST_VALUES:
        numbers = present.to_numpy(dtype=np.float64)
        bins = bins_of(numbers)
        if bins:
            low, high = (smooth_quantile(numbers, at) for at in _ENDS)
            table = pd.DataFrame(bins, columns=["lower", "upper", "n"]).astype("float64")
            return np.linspace(low, high, N_POINTS).tolist(), table
    labels = levels_of(column)
    counts = suppressed([mask.sum() for mask in labels.values()])
    if sum(mask.sum() for mask in labels.values()) < len(column):  # others are too few to be shown
        counts = suppressed([*counts, len(column) - sum(mask.sum() for mask in labels.values())])[:-1]
    values = [None if label == MISSING else column[mask].iloc[0] for label, mask in labels.items()]
    return values, pd.DataFrame({"value": list(labels), "n": counts})


def _label(value: Any) -> str:
    return MISSING if value is None else as_text(value)


def _difference(
    population: Population, rows: pd.DataFrame, covariate: str, value: Any, comparator: int
) -> FloatArray:
    """Return draws of the mean differences if all patients had a value, shape (n_arms - 1, n_draws)."""
    column = pd.Series([value] * len(rows), index=rows.index, dtype=rows[covariate].dtype)
    terms = population.terms_of(population.model.encoding.encode(rows.assign(**{covariate: column})))
    return differences(logistic(np.matmul(terms, population.draws)).mean(axis=1), comparator)
