"""`Modification`: how much each covariate modifies the differences between arms, and predicts prognosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from treatsel._checks import check_choice
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.modification._dependence import Dependence, dependence_of
from treatsel.modification._population import Population

MOST_SHOWN = 15  # covariates of a plot


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Modification(Summarized):
    """How much each covariate modifies the differences between arms, and how much it predicts prognosis.

    Attributes
    ----------
    table : DataFrame
        One row per covariate or group of covariates, the largest modification first. In probability:
        modification (posterior mean), lower, upper; noise (the modification that the posterior uncertainty
        alone would give); prognosis, prognosis_lower, prognosis_upper; gain (mean probability of the good
        outcome under the top arm that is lost without the modification). p_relevant: posterior probability
        that the modification is above `smallest`; p_none: contour probability of no modification, adjusted
        for the number of rows; finding: "modifies", "uncertain" or "negligible", see
        `treatsel.modification.modifiers`. rank, rank_lower, rank_upper: median and interval of the posterior
        distribution of the rank, 1 for the largest modification; p_first: probability of rank 1.
        share_changed: share of patients whose top arm would change if the covariate were at its average.
    interactions : DataFrame
        Columns covariate, level (a category, or a third of a number), arm, value (mean contribution of the
        covariate to the difference of the arm to the comparator among the patients of the level, in
        probability), lower, upper and p_above (probability that it is above 0). With groups also set, the row
        of `table`. Levels of fewer than 5 patients are left out.
    outcome : str
        Outcome whose probability is compared.
    arms : tuple
        Arms of the model.
    comparator : label
        Arm with which the others are compared.
    level : float
        Level of intervals and findings.
    smallest : float
        Smallest relevant modification.
    n : int
        Number of patients.
    assignment : str or None
        How arms were assigned in the development cohort; unless "randomised", findings are associations.
    titles, units : mapping of str to str
        Titles of covariates and outcomes, and units of covariates, used in plots and summaries.
    population : Population or None
        The patients and the model, from which `dependence` is calculated; not part of tables and summaries.
    """

    table: pd.DataFrame
    interactions: pd.DataFrame
    outcome: str
    arms: tuple[Any, ...]
    comparator: Any
    level: float
    smallest: float
    n: int
    assignment: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    population: Population | None = field(default=None, repr=False)

    @property
    def modifying(self) -> list[str]:
        """Covariates that are found to modify the choice, the largest modification first."""
        return [str(name) for name in self.table.index[self.table["finding"] == "modifies"]]

    @property
    def statement(self) -> str:
        """The main finding in a sentence, with its certainty."""
        found = self.modifying
        if not found:
            n = int((self.table["finding"] == "negligible").sum())
            return (
                f"No covariate is shown to modify the choice of an arm: in {n} of {len(self.table)}, the "
                f"modification is negligible{'' if n == len(self.table) else ', in the others uncertain'}."
            )
        first = self.table.loc[found[0]]
        names = some_of([self.label(name) for name in found])
        return (
            f"Modification of the choice is shown for {names}. The largest is that of "
            f"{self.label(found[0])}: risk differences vary by an SD of {first['modification']:.3f} "
            f"({first['lower']:.3f} to {first['upper']:.3f}); with probability {first['p_first']:.2f} it "
            "ranks first."
        )

    def label(self, name: str) -> str:
        """Return the title of a covariate or outcome, or its name if it has none."""
        return self.titles.get(name, name)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; labels of arms as text."""
        interactions = self.interactions.assign(arm=self.interactions["arm"].map(str))
        return {
            "outcome": self.outcome,
            "arms": [str(arm) for arm in self.arms],
            "comparator": str(self.comparator),
            "level": self.level,
            "smallest": self.smallest,
            "n": self.n,
            "assignment": self.assignment,
            "statement": self.statement,
            "covariates": self.table.to_dict(orient="index"),
            "interactions": interactions.to_dict(orient="records"),
        }

    def dependence(self, covariate: str) -> Dependence:
        """Return the predicted differences between arms over the range of a covariate.

        Parameters
        ----------
        covariate : str
            Name of a covariate of the model.

        Raises
        ------
        InputError
            If the model has no such covariate.
        """
        assert self.population is not None
        check_choice("covariate", covariate, self.population.model.encoding.names)
        table, patients = dependence_of(
            self.population, covariate, arms=self.arms, comparator=self.comparator, level=self.level
        )
        unit = self.units.get(covariate)
        return Dependence(
            table=table,
            patients=patients,
            covariate=covariate,
            label=f"{self.label(covariate)} ({unit})" if unit else self.label(covariate),
            outcome=self.label(self.outcome),
            comparator=self.comparator,
            level=self.level,
        )

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the modification of each covariate with its interval, the largest on top.

        Filled points: found to modify. Crosses: what the posterior uncertainty alone would give. Dashed line:
        the smallest relevant modification. At most 15 covariates.

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
        from treatsel._reporting import plots
        from treatsel._reporting.axes import GREY, add_legend

        shown = self.table.iloc[:MOST_SHOWN]
        labels = [self.label(str(name)) for name in shown.index]
        table = shown.rename(columns={"modification": "value"}).set_axis(pd.Index(labels))
        what = f"Modification: SD of differences in {self.label(self.outcome)} to {self.comparator}"
        more = len(self.table) - len(shown)
        note = f"{plots.intervals_of(self.level)}; dashed: smallest relevant"
        xlabel = f"{what}\n{note}{f'; {more} more covariates not shown' if more else ''}"
        ax = plots.estimates(table, reference=self.smallest, xlabel=xlabel, ax=ax, **kwargs)
        rows = pd.Series(range(len(shown))[::-1], index=shown.index)
        if "label" not in kwargs:
            ax.lines[-1].set_label("modifies")
        open_ = shown["finding"] != "modifies"
        if open_.any():
            points = {"color": ax.lines[-1].get_color(), "markerfacecolor": "white", "zorder": 4}
            ax.plot(shown["modification"][open_], rows[open_], "o", label="not shown to modify", **points)
        noise = {"color": GREY, "markersize": 5, "zorder": 5, "label": "noise alone"}
        ax.plot(shown["noise"], rows, "x", **noise)
        add_legend(ax)
        return ax

    def plot_dependence(
        self, covariate: str, ax: Any = None, *, arms: Sequence[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Draw `dependence(covariate)`; see `Dependence.plot`."""
        return self.dependence(covariate).plot(ax, arms=arms, **kwargs)

    def _summary(self) -> Summary:
        rows = [
            (
                self.label(str(name)),
                f"{row['modification']:.3f} ({row['lower']:.3f} to {row['upper']:.3f})",
                str(row["finding"]),
                f"{row['rank_lower']:.0f} to {row['rank_upper']:.0f}",
                f"{row['prognosis']:.3f}",
            )
            for name, row in self.table.iterrows()
        ]
        causal = self.assignment == "randomised"
        return Summary(
            title="Modification",
            headline=self.statement,
            facts=[
                ("outcome", self.label(self.outcome)),
                ("comparator", str(self.comparator)),
                ("criterion", f"above {self.smallest:g} with probability {self.level:g}, and not noise"),
            ],
            columns=(
                "Covariate",
                f"Modification ({100 * self.level:g}% interval)",
                "Finding",
                "Rank",
                "Prognosis",
            ),
            rows=rows,
            note="plot() draws the ranking, plot_dependence(covariate) the differences over its range."
            + ("" if causal else " Arms are not known to be randomised: findings are associations."),
        )
