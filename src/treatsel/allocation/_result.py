"""`Allocation`: who gets which place, what each limit costs, and who loses by it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, count_of
from treatsel._disclosure import SMALLEST_GROUP, suppression, table_suppression
from treatsel._reporting.format import number
from treatsel._reporting.summary import Summarized, Summary
from treatsel.allocation._budget import Budget
from treatsel.allocation._problem import BoolArray, Positions
from treatsel.errors import InputError
from treatsel.predictions import plain

if TYPE_CHECKING:
    import pandas as pd

NOTE = (
    "This is a plan for a list of patients, not a recommendation for any of them. limits has the "
    "prices, to_frame() each patient."
)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Allocation(Summarized):
    """An allocation of places with the highest total utility.

    Attributes
    ----------
    patients : Index
        Patient ids.
    arms : tuple
        Arms, in the order of the columns of `utilities`.
    position : ndarray of int of shape (n_patients,)
        Column of each patient's arm; the number of arms for a patient who is deferred.
    utilities : ndarray of shape (n_patients, n_arms)
        Utilities, 0 where an arm is not allowed.
    best : ndarray of int of shape (n_patients,)
        Column of the arm that the patient would get without limits, as `position`; ties are drawn.
    tied : ndarray of bool of shape (n_patients,)
        Whether the patient has another arm in another allocation with the same total. A draw decided, which
        is a function of the patient's id.
    margin : float
        What the best different allocation loses. 0: several are optimal; infinite: there is no other; NaN
        with a budget, where it is not known.
    limits : DataFrame
        One row per arm: capacity (missing: no limit), n_given, gain_of_one_more and loss_of_one_less (change
        of the total with one place more or less; NaN if there cannot be one less), n_first_choice (patients
        whose best arm it is), n_denied (those of them who get another arm or none), forgone (the utility that
        these lose by it).
    minimums : DataFrame
        One row per minimum: group, arm, minimum, n_given, and cost, the total without this minimum minus
        the total with it.
    comparison : DataFrame
        Total and mean utility of the allocation and of others, number of treated patients, and gain of the
        allocation with its interval (NaN without draws). "first come, first served": patients in the order
        of the table take their best arm with a place left. "best single arm": only one arm is given, within
        its capacity. "no limits": all patients get their best arm; the negative gain is the cost of scarcity.
    level : float
        Level of the intervals.
    budget : Budget or None
        The budget, if one was stated.
    """

    patients: "pd.Index[Any]"
    arms: tuple[Any, ...]
    position: Positions
    utilities: FloatArray
    best: Positions
    tied: BoolArray
    margin: float
    limits: "pd.DataFrame"
    minimums: "pd.DataFrame"
    comparison: "pd.DataFrame"
    level: float
    budget: Budget | None = None

    @property
    def value(self) -> float:
        """Total utility."""
        return float(self.comparison["total"].iloc[0])

    @property
    def n_treated(self) -> int:
        """Number of patients with an arm."""
        return int((self.position < len(self.arms)).sum())

    @property
    def several_optima(self) -> bool:
        """Whether another allocation has the same total; False if this is not known (see `margin`)."""
        return self.margin == 0

    @property
    def arm(self) -> "pd.Series":
        """The arm of each patient; None if deferred."""
        import pandas as pd

        labels = np.empty(len(self.arms) + 1, dtype=object)
        labels[:-1] = self.arms
        return pd.Series(labels[self.position], index=self.patients, name="arm", dtype="object")

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per patient.

        Columns: arm (None: deferred), utility, best_arm and best_utility (without limits), forgone (the
        difference), tied.
        """
        import pandas as pd

        utility, highest = (received(self.utilities, each) for each in (self.position, self.best))
        labels = np.empty(len(self.arms) + 1, dtype=object)
        labels[:-1] = self.arms
        return pd.DataFrame(
            {
                "arm": self.arm,
                "utility": utility,
                "best_arm": pd.Series(labels[self.best], index=self.patients, dtype="object"),
                "best_utility": highest,
                "forgone": highest - utility,
                "tied": self.tied,
            },
            index=self.patients,
        )

    def by_group(self, column: "pd.Series") -> "pd.DataFrame":
        """Return who gets what, by the values of a column such as an audit column.

        Parameters
        ----------
        column : Series
            Value of each patient, aligned by id; missing values are a group.

        Returns
        -------
        DataFrame
            One row per value: n, share of each arm, "deferred", mean_utility and mean_forgone. Shares that
            would tell a count of 1 to 4 patients, also by subtraction, are NaN, as are rows of so few.
        """
        import pandas as pd

        from treatsel._stats.alignment import aligned

        if not isinstance(column, pd.Series):
            raise InputError("column must be a Series with one value per patient.")
        values = aligned("column", column, self.patients).astype("object")
        values = values.where(values.notna(), "missing")
        frame, names = self.to_frame(), [*self.arms, "deferred"]
        levels = sorted(values.unique(), key=str)
        members = np.array([(values == level).to_numpy() for level in levels])
        counts = np.array([np.bincount(self.position[row], minlength=len(names)) for row in members])
        hidden = table_suppression(counts)
        n, few = members.sum(axis=1), suppression(members.sum(axis=1))
        means = np.array([frame.loc[row, ["utility", "forgone"]].mean().to_numpy() for row in members])
        table = np.column_stack([n, np.where(hidden, np.nan, counts / n[:, None]), means])
        table[few] = np.nan
        columns = ["n", *names, "mean_utility", "mean_forgone"]
        return pd.DataFrame(table, index=pd.Index(levels, name=column.name, dtype="object"), columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a number that does not exist is None."""
        patients = self.to_frame()
        return {
            "value": self.value,
            "n_treated": self.n_treated,
            "several_optima": self.several_optima,
            "margin": plain(self.margin) if np.isfinite(self.margin) else None,
            "level": self.level,
            "allocation": _records(patients, "patient"),
            "limits": _records(self.limits, "arm"),
            "minimums": _records(self.minimums, None),
            "comparison": _records(self.comparison, "plan"),
            "budget": None if self.budget is None else self.budget.to_dict(),
        }

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the gain of one more place of each arm.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.barh`.

        Returns
        -------
        matplotlib Axes
        """
        from treatsel._reporting.axes import rows_axes, style

        ax = rows_axes(ax, list(self.arms), xlabel="Gain in total utility by one more place")
        gains = self.limits["gain_of_one_more"].to_numpy()
        ax.barh(np.arange(len(gains)), gains, **style(kwargs, "bar", height=0.6))
        return ax

    def _summary(self) -> Summary:
        n = len(self.patients)
        facts = []
        if n >= SMALLEST_GROUP:  # a total of few patients would tell the utility of single ones
            facts.append(("total utility", number(self.value, 3)))
            gains = self.comparison["gain"].drop(["allocation", "no limits"])
            facts += [(f"gain over {name}", number(gain, 3)) for name, gain in gains.items()]
        if self.several_optima:
            facts.append(("several optimal allocations", "a draw by patient id decided"))
        return Summary(
            title="Allocation",
            headline=f"{count_of(n, 'patient')}, {count_of(len(self.arms), 'arm')}",
            facts=facts,
            note=NOTE,
        )


def received(utilities: FloatArray, position: Positions) -> FloatArray:
    """Return the utility of each patient's arm, 0 if deferred."""
    padded = np.hstack([utilities, np.zeros((len(utilities), 1))])
    return np.asarray(padded[np.arange(len(position)), position])


def _records(table: "pd.DataFrame", name: str | None) -> list[dict[str, Any]]:
    """Return rows as mappings of plain values."""
    if name is not None:
        table = table.rename_axis(index=name).reset_index()
    columns = [str(column) for column in table.columns]
    table = table.astype("object").where(table.notna(), None)
    return [
        dict(zip(columns, map(plain, row), strict=True)) for row in table.itertuples(index=False, name=None)
    ]
