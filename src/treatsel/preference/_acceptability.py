"""`Acceptability`: how the arms rank, over all that is unknown about weights and values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import ROUNDING, FloatArray
from treatsel._reporting.summary import Summarized, Summary
from treatsel.errors import InputError
from treatsel.preference._partial_values import size_text
from treatsel.preference._standings import entropy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Acceptability(Summarized):
    """Ranks of the arms of one patient over uncertain weights and values.

    Arms with equal values share their ranks. Arrays follow `arms` and `criteria`.

    Attributes
    ----------
    arms, criteria : tuple
        Labels of the arms, and names of the criteria.
    rank_acceptability : ndarray of shape (n_arms, n_arms)
        Probability that an arm (row) has a rank (column; the first is the best). Rows and columns sum to 1.
    error : ndarray of shape (n_arms, n_arms)
        Standard error of `rank_acceptability` by the limited number of draws; 0 if exact.
    pairwise : ndarray of shape (n_arms, n_arms)
        Pairwise winning probability: that the value of the arm of the row is above that of the column.
    central_weights : ndarray of shape (n_arms, n_criteria)
        Mean of the weights with which the arm is first: a typical patient who should take it. NaN: never
        first.
    confidence : ndarray of shape (n_arms,)
        Confidence factor: probability, over the draws of the model, that the arm is first at its central
        weights. NaN: never first, or no draws of the model.
    expected : ndarray of shape (n_arms,)
        Expected value: the utility.
    mean_weights : ndarray of shape (n_criteria,)
        Mean of the weights.
    entropy : float
        Entropy of the ranking in bits: 0 if it is certain. NaN if it was not calculated.
    method : str
        "exact" or "Monte Carlo".
    n_draws, n_model_draws : int
        Number of joint draws of weights and values, and of different draws of the values; 0 and 1 if exact.
    value_draws : ndarray of shape (n_arms, n_draws) or None
        Values in the draws.

    References
    ----------
    Tervonen et al. (2011), Statistics in Medicine 30(12), 1419-1428. doi:10.1002/sim.4194
    Tervonen & Lahdelma (2007), European Journal of Operational Research 178(2), 500-513.
    doi:10.1016/j.ejor.2005.12.037
    """

    arms: tuple[Any, ...]
    criteria: tuple[str, ...]
    rank_acceptability: FloatArray
    error: FloatArray
    pairwise: FloatArray
    central_weights: FloatArray
    confidence: FloatArray
    expected: FloatArray
    mean_weights: FloatArray
    entropy: float
    method: str
    n_draws: int
    n_model_draws: int
    value_draws: FloatArray | None = None

    @property
    def first_choice_entropy(self) -> float:
        """Entropy of the first choice in bits: 0 if the same arm is always first."""
        return entropy(self.rank_acceptability[:, 0])

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per arm.

        Columns expected, rank_1 to rank_m, their standard errors rank_1_error to rank_m_error, confidence,
        and central_<criterion>.
        """
        import pandas as pd

        ranks = range(1, len(self.arms) + 1)
        columns = {"expected": self.expected}
        columns |= {f"rank_{r}": self.rank_acceptability[:, r - 1] for r in ranks}
        columns |= {f"rank_{r}_error": self.error[:, r - 1] for r in ranks}
        columns |= {"confidence": self.confidence}
        columns |= {f"central_{name}": self.central_weights[:, j] for j, name in enumerate(self.criteria)}
        return pd.DataFrame(columns, index=pd.Index(self.arms, name="arm"))

    def pairwise_frame(self) -> "pd.DataFrame":
        """Return the probability that the arm of the row has a higher value than that of the column."""
        import pandas as pd

        return pd.DataFrame(self.pairwise.copy(), index=pd.Index(self.arms), columns=pd.Index(self.arms))

    def quantiles(self, levels: tuple[float, ...] = (0.025, 0.25, 0.5, 0.75, 0.975)) -> "pd.DataFrame":
        """Return the mean and quantiles of the value, one row per arm."""
        import pandas as pd

        draws = self._drawn()
        columns = {"mean": draws.mean(axis=1)}
        columns |= {
            f"{level:g}": row for level, row in zip(levels, np.quantile(draws, levels, axis=1), strict=True)
        }
        return pd.DataFrame(columns, index=pd.Index(self.arms, name="arm"))

    def stochastic_dominance(self) -> "pd.DataFrame":
        """Return the order in which the arm of the row stochastically dominates that of the column.

        1: its value has the better distribution for everybody who prefers more to less. 2: for everybody who
        also is averse to risk. 0: neither. Judged by the draws, so that chance decides near ties.

        References
        ----------
        Hadar & Russell (1969), American Economic Review 59(1), 25-34.
        """
        import pandas as pd

        drawn = np.sort(self._drawn(), axis=1)
        summed = drawn.cumsum(axis=1)
        found = np.zeros((len(self.arms), len(self.arms)), dtype=int)
        for i, j in np.ndindex(found.shape):
            if (drawn[i] - drawn[j]).max() <= ROUNDING:
                continue  # nowhere better, or the same arm
            if (drawn[i] >= drawn[j] - ROUNDING).all():
                found[i, j] = 1
            elif (summed[i] >= summed[j] - ROUNDING).all():
                found[i, j] = 2
        return pd.DataFrame(found, index=pd.Index(self.arms), columns=pd.Index(self.arms))

    def _drawn(self) -> FloatArray:
        if self.value_draws is None:
            raise InputError("An exact result has no draws of the values. Use smaa.")
        return self.value_draws

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; a number that does not exist is None."""
        arms = [str(arm) for arm in self.arms]
        pairs = {
            arm: dict(zip(arms, row, strict=True))
            for arm, row in zip(arms, self.pairwise.tolist(), strict=True)
        }
        central = [
            None if row[0] != row[0] else dict(zip(self.criteria, row, strict=True))
            for row in self.central_weights.tolist()
        ]
        confidence = [None if one != one else one for one in self.confidence.tolist()]
        return {
            "method": self.method,
            "n_draws": self.n_draws,
            "n_model_draws": self.n_model_draws,
            "expected": dict(zip(arms, self.expected.tolist(), strict=True)),
            "rank_acceptability": dict(zip(arms, self.rank_acceptability.tolist(), strict=True)),
            "error": dict(zip(arms, self.error.tolist(), strict=True)),
            "pairwise": pairs,
            "central_weights": dict(zip(arms, central, strict=True)),
            "confidence": dict(zip(arms, confidence, strict=True)),
            "mean_weights": dict(zip(self.criteria, self.mean_weights.tolist(), strict=True)),
            "entropy": None if self.entropy != self.entropy else self.entropy,
            "first_choice_entropy": self.first_choice_entropy,
        }

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the probability that each arm is first, with its Monte Carlo error.

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
        import pandas as pd

        from treatsel._reporting import plots

        first, error = self.rank_acceptability[:, 0], 1.96 * self.error[:, 0]
        limits = {"lower": np.maximum(first - error, 0), "upper": np.minimum(first + error, 1)}
        table = pd.DataFrame({"value": first, **limits}, index=pd.Index(self.arms))
        table = table.sort_values("value", ascending=False, kind="stable")
        source = "exact" if self.method == "exact" else "95% intervals of the Monte Carlo error"
        ax = plots.estimates(
            table, reference=None, xlabel=f"Probability of being the best arm ({source})", ax=ax, **kwargs
        )
        ax.set_xlim(-0.01, 1.01)
        return ax

    def _summary(self) -> Summary:
        facts = [("method", self.method)]
        if self.method != "exact":
            facts += [
                ("draws", f"{self.n_draws:,}"),
                ("draws of the model", f"{self.n_model_draws:,}"),
                ("largest standard error of a rank acceptability", f"{self.error.max():.2g}"),
            ]
        return Summary(
            title="Acceptability",
            headline=size_text(len(self.arms), len(self.criteria)),
            facts=facts,
            note="to_frame() shows ranks, central weights and confidence factors.",
        )
