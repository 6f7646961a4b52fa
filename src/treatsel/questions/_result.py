"""`NextQuestion`: the answer that is most worth asking for, or that none is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting.axes import BLUE, GREY, rows_axes, style
from treatsel._reporting.summary import Summarized, Summary


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class NextQuestion(Summarized):
    """What each missing answer is worth before it is known.

    Attributes
    ----------
    question : str or None
        The question with the largest value minus cost; None: no single question is worth asking.
    pair : tuple of str or None
        Two questions that are worth asking together although no single one is.
    reason : str
        Why this question, or why none.
    table : DataFrame
        One row per question, the best first; columns value (expected gain in utility by the answer, at least
        0), cost, net (value minus cost) and p_change (probability that the answer changes the top arm).
    pairs : DataFrame or None
        The same for pairs of questions; None if they were not considered.
    current : mapping of arm to float
        Expected utility of each arm without another answer.
    top_arms : tuple
        The arms with the highest expected utility: several if they are tied.
    all_answers : float
        Expected gain of knowing all answers; NaN if it was not calculated.
    tolerance : float
        Smallest net value for which a question is worth asking.
    """

    question: str | None
    pair: tuple[str, str] | None = None
    reason: str
    table: pd.DataFrame
    pairs: pd.DataFrame | None = None
    current: Mapping[Any, float]
    top_arms: tuple[Any, ...]
    all_answers: float = float("nan")
    tolerance: float

    @property
    def first(self) -> str | None:
        """The question to ask first: `question`, or the first of `pair`; None: there is none."""
        return self.question or (None if self.pair is None else self.pair[0])

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; labels of arms as text."""
        pairs = None
        if self.pairs is not None:
            pairs = [{"pair": list(pair), **row} for pair, row in _rows(self.pairs)]
        return {
            "question": self.question,
            "pair": None if self.pair is None else list(self.pair),
            "reason": self.reason,
            "questions": dict(_rows(self.table)),
            "pairs": pairs,
            "current": {str(arm): float(value) for arm, value in self.current.items()},
            "top_arms": [str(arm) for arm in self.top_arms],
            "all_answers": None if self.all_answers != self.all_answers else self.all_answers,
            "tolerance": self.tolerance,
        }

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw value minus cost of each question, and the tolerance.

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
        shown = self.table.iloc[::-1]
        label = "Expected gain in utility by the answer, minus its cost (dashed: tolerance)"
        ax = rows_axes(ax, [str(name) for name in shown.index], xlabel=label)
        ax.barh(np.arange(len(shown)), shown["net"], **style(kwargs, "bar", color=BLUE))
        ax.axvline(self.tolerance, color=GREY, linestyle="--", linewidth=1)
        return ax

    def _summary(self) -> Summary:
        rows = [
            (str(name), f"{row['value']:.3g}", f"{row['net']:.3g}", f"{row['p_change']:.2f}")
            for name, row in self.table.iterrows()
        ]
        columns = ("Question", "Value", "Net", "P(change)")
        return Summary(title="NextQuestion", headline=self.reason, columns=columns, rows=rows)


def _rows(table: pd.DataFrame) -> list[tuple[Any, dict[str, float]]]:
    return [(name, {str(key): float(value) for key, value in row.items()}) for name, row in table.iterrows()]
