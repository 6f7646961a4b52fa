"""Dominance: what holds for all weights that the preferences allow."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import ROUNDING, FloatArray, count_of
from treatsel._reporting.summary import Summarized, Summary
from treatsel.preference._partial_values import PartialValues
from treatsel.preference._preferences import Preferences
from treatsel.preference._smaa import positions

if TYPE_CHECKING:
    import pandas as pd

# HiGHS finds vertices of a feasible set, so that its result is rounded, not approximate
_PROGRAMME = 1e-9


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dominance(Summarized):
    """Leads of arms over each other within all weights that the preferences allow, at the mean values.

    Attributes
    ----------
    arms : tuple
        Labels of the arms.
    worst_lead : ndarray of shape (n_arms, n_arms)
        Smallest value of the arm of the row minus that of the column. 0 or more: whatever the weights, the
        arm of the row is at least as good.
    best_lead : ndarray of shape (n_arms, n_arms)
        Largest such difference.
    potentially_best : tuple
        Arms that are best for some of the weights.
    """

    arms: tuple[Any, ...]
    worst_lead: FloatArray
    best_lead: FloatArray
    potentially_best: tuple[Any, ...]

    @property
    def dominates(self) -> "pd.DataFrame":
        """Whether the arm of the row is at least as good for all weights, and better for some."""
        import pandas as pd

        found = (self.worst_lead >= -ROUNDING) & (self.best_lead > ROUNDING)
        return pd.DataFrame(found, index=pd.Index(self.arms), columns=pd.Index(self.arms))

    @property
    def dominated(self) -> tuple[Any, ...]:
        """Arms that another arm dominates."""
        found = self.dominates.to_numpy()
        return tuple(arm for j, arm in enumerate(self.arms) if found[:, j].any())

    @property
    def best_for_all_weights(self) -> tuple[Any, ...]:
        """Arms that no other arm exceeds, whatever the weights; usually none or one."""
        return tuple(arm for i, arm in enumerate(self.arms) if (self.worst_lead[i] >= -ROUNDING).all())

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per ordered pair of arms: arm, other, worst_lead, best_lead, dominates."""
        import pandas as pd

        dominates = self.dominates.to_numpy()
        pairs = [(i, j) for i, j in np.ndindex(self.worst_lead.shape) if i != j]
        rows = [
            (self.arms[i], self.arms[j], self.worst_lead[i, j], self.best_lead[i, j], bool(dominates[i, j]))
            for i, j in pairs
        ]
        return pd.DataFrame(rows, columns=["arm", "other", "worst_lead", "best_lead", "dominates"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON."""
        arms = [str(arm) for arm in self.arms]
        leads = {
            name: {
                arm: dict(zip(arms, row, strict=True)) for arm, row in zip(arms, lead.tolist(), strict=True)
            }
            for name, lead in (("worst_lead", self.worst_lead), ("best_lead", self.best_lead))
        }
        return {
            **leads,
            "potentially_best": [str(arm) for arm in self.potentially_best],
            "best_for_all_weights": [str(arm) for arm in self.best_for_all_weights],
            "dominated": [str(arm) for arm in self.dominated],
        }

    def _summary(self) -> Summary:
        return Summary(
            title="Dominance",
            headline=count_of(len(self.arms), "arm"),
            note="to_frame() shows the leads of all pairs.",
        )


def dominance(values: PartialValues, preferences: Preferences) -> Dominance:
    """Return the leads of arms over each other that no allowed weights can undo, at the mean values.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria; their means are used.
    preferences : Preferences
        Weights of the same criteria, or what is known about them.

    Returns
    -------
    Dominance
        Smallest and largest leads: linear programmes over the set of weights, solved at its vertices where
        these are known.

    References
    ----------
    Salo & Hämäläinen (2001), IEEE Transactions on Systems, Man, and Cybernetics A 31(6), 533-545.
    doi:10.1109/3468.983411

    Examples
    --------
    >>> from treatsel.preference import Criterion, partial_values
    >>> values = partial_values(
    ...     {"remission": {"CBT": 0.45, "SSRI": 0.55}, "stay": {"CBT": 0.8, "SSRI": 0.7}},
    ...     [Criterion.of_event("remission", good=True), Criterion.of_event("stay", good=True)],
    ... )
    >>> dominance(values, Preferences.ranked(["remission", "stay"])).best_for_all_weights
    ('SSRI',)
    """
    order = positions(values, preferences.criteria)
    means = np.empty_like(values.means)
    means[:, order] = values.means  # the criteria as the preferences have them
    leads = means[:, None] - means[None]
    flat = leads.reshape(-1, means.shape[1])
    shape = leads.shape[:2]
    worst = preferences.weight_set.smallest(flat).reshape(shape)
    best = 0.0 - preferences.weight_set.smallest(-flat).reshape(shape)
    same = (worst >= -ROUNDING) & (best <= ROUNDING)  # arms that are equal whatever the weights
    possible = [
        bool(same[i].all()) or preferences.weight_set.largest_minimum(leads[i][~same[i]]) > _PROGRAMME
        for i in range(len(means))
    ]
    return Dominance(
        arms=values.arms,
        worst_lead=worst,
        best_lead=best,
        potentially_best=tuple(arm for arm, one in zip(values.arms, possible, strict=True) if one),
    )
