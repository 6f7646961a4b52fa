"""What flips the answer: the smallest changes of weights with which another arm is as good as the top arm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import ROUNDING, FloatArray
from treatsel._reporting.summary import Summarized, Summary
from treatsel.errors import InputError
from treatsel.preference._partial_values import PartialValues, size_text
from treatsel.preference._preferences import Preferences
from treatsel.preference._smaa import positions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Flips(Summarized):
    """Smallest changes of the weights with which another arm is as good as the top arm.

    Attributes
    ----------
    arms, criteria : tuple
        Labels of the arms, and names of the criteria.
    weights : ndarray of shape (n_criteria,)
        Weights from which changes are counted.
    top : tuple
        Arms with the highest value at these weights; more than one if they are tied.
    share : ndarray of shape (n_arms,)
        Smallest share of all weight that must move until the arm equals the top arm: half the sum of absolute
        changes. 0 for the top arm, NaN if no weights do it.
    weights_at : ndarray of shape (n_arms, n_criteria)
        Weights at which it does.
    at : ndarray of shape (n_criteria,)
        The nearest value of one weight, the others in proportion, at which the top arm changes; NaN: never.
    arms_at : tuple of tuples
        Arms that equal the top arm there.
    """

    arms: tuple[Any, ...]
    criteria: tuple[str, ...]
    weights: FloatArray
    top: tuple[Any, ...]
    share: FloatArray
    weights_at: FloatArray
    at: FloatArray
    arms_at: tuple[tuple[Any, ...], ...]

    @property
    def smallest(self) -> float:
        """Smallest share of weight that must move until another arm equals the top one; NaN: none does."""
        if len(self.top) > 1:
            return 0.0
        others = [share for arm, share in zip(self.arms, self.share, strict=True) if arm not in self.top]
        return float(np.nanmin(others)) if not np.isnan(others).all() else float("nan")

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per criterion: weight, at, change, and arms (a tuple)."""
        import pandas as pd

        columns = {"weight": self.weights, "at": self.at, "change": self.at - self.weights}
        table = pd.DataFrame(columns, index=pd.Index(self.criteria, name="criterion"))
        return table.assign(arms=pd.Series(list(self.arms_at), index=table.index, dtype="object"))

    def by_arm(self) -> "pd.DataFrame":
        """Return one row per arm: share, and weight_<criterion>: where it equals the top arm."""
        import pandas as pd

        columns = {"share": self.share}
        columns |= {f"weight_{name}": self.weights_at[:, j] for j, name in enumerate(self.criteria)}
        return pd.DataFrame(columns, index=pd.Index(self.arms, name="arm"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, for JSON; a number that does not exist is None."""
        arms = [str(arm) for arm in self.arms]
        return {
            "weights": dict(zip(self.criteria, self.weights.tolist(), strict=True)),
            "top": [str(arm) for arm in self.top],
            "share": dict(zip(arms, _without_nan(self.share), strict=True)),
            "at": dict(zip(self.criteria, _without_nan(self.at), strict=True)),
            "arms_at": {
                name: [str(arm) for arm in found]
                for name, found in zip(self.criteria, self.arms_at, strict=True)
            },
        }

    def _summary(self) -> Summary:
        return Summary(
            title="Flips",
            headline=size_text(len(self.arms), len(self.criteria)),
            note="to_frame() shows changes by criterion, by_arm() by arm.",
        )


def flips(values: PartialValues, preferences: Preferences) -> Flips:
    """Return how much the weights must change until another arm is as good as the top one.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria; their means are used.
    preferences : Preferences
        Weights of the same criteria. Where a set of weights is known, changes are counted from its mean.

    Returns
    -------
    Flips
        Exact: the smallest move takes weight from the criteria where the top arm leads most and gives it to
        the one where it leads least; for one weight with the others in proportion, the lead is linear.

    References
    ----------
    Triantaphyllou & Sánchez (1997), Decision Sciences 28(1), 151-194. doi:10.1111/j.1540-5915.1997.tb01306.x

    Examples
    --------
    >>> from treatsel.preference import Criterion, partial_values
    >>> values = partial_values(
    ...     {"remission": {"CBT": 0.45, "SSRI": 0.55}, "stay": {"CBT": 0.8, "SSRI": 0.7}},
    ...     [Criterion.of_event("remission", good=True), Criterion.of_event("stay", good=True)],
    ... )
    >>> found = flips(values, Preferences({"remission": 0.7, "stay": 0.3}))
    >>> found.to_frame().round(3)
               weight   at  change    arms
    criterion
    remission     0.7  0.5    -0.2  (CBT,)
    stay          0.3  0.5     0.2  (CBT,)
    """
    order = positions(values, preferences.criteria)
    weights = preferences.weight_set.centroid[order]
    means = values.means
    expected = means @ weights
    is_top = expected >= expected.max() - ROUNDING
    share = np.zeros(len(means))
    weights_at = np.tile(weights, (len(means), 1))
    for arm in np.flatnonzero(~is_top):
        # of tied top arms, the one that is hardest to equal: the result is the same in any order
        moves = [
            _smallest_move(means[top] - means[arm], weights, values.names) for top in np.flatnonzero(is_top)
        ]
        share[arm], weights_at[arm] = max(moves, key=lambda move: np.inf if move[0] != move[0] else move[0])
    crossings = [_crossing(means, weights, is_top, j) for j in range(len(weights))]
    return Flips(
        arms=values.arms,
        criteria=values.names,
        weights=weights,
        top=tuple(values.arms[i] for i in np.flatnonzero(is_top)),
        share=share,
        weights_at=weights_at,
        at=np.array([at for at, _ in crossings]),
        arms_at=tuple(tuple(values.arms[i] for i in found) for _, found in crossings),
    )


def _smallest_move(gap: FloatArray, weights: FloatArray, names: tuple[str, ...]) -> tuple[float, FloatArray]:
    """Return the smallest share of weight that must move until gap @ weights is 0, and the weights then.

    It is a linear programme with one resource: a unit of weight that moves from criterion j to the one with
    the smallest gap lowers the lead by the difference of their gaps, so that the largest gaps give first.
    """
    order = sorted(range(len(gap)), key=lambda j: (-gap[j], names[j]))  # equal gaps: by name
    to = order[-1]
    if gap[to] > ROUNDING:
        return float("nan"), np.full(len(gap), np.nan)
    left, moved = float(gap @ weights), weights.copy()
    for j in order[:-1]:
        gain = gap[j] - gap[to]
        if left <= 0 or gain <= 0:
            break
        amount = min(weights[j], left / gain)
        moved[j] -= amount
        moved[to] += amount
        left -= amount * gain
    return float(np.abs(moved - weights).sum() / 2), moved


def _crossing(
    means: FloatArray, weights: FloatArray, is_top: np.ndarray, j: int
) -> tuple[float, tuple[int, ...]]:
    """Return the nearest value of weight j at which the top arm changes, and the arms that equal it there."""
    tops = np.flatnonzero(is_top)
    if len(tops) > 1:
        return float(weights[j]), tuple(map(int, tops))
    if 1 - weights[j] <= ROUNDING:
        return float("nan"), ()  # the proportions of the others are not known
    rest = np.where(np.arange(len(weights)) == j, 0.0, weights) / (1 - weights[j])
    lead = means[tops[0]] - means
    without, alone = lead @ rest, lead[:, j]  # leads of the top arm at weights 0 and 1
    slope = without - alone
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(np.abs(slope) > ROUNDING, without / slope, np.nan)
    at[is_top | (at < -ROUNDING) | (at > 1 + ROUNDING)] = np.nan
    if np.isnan(at).all():
        return float("nan"), ()
    at = np.clip(at, 0, 1)
    nearest = at[np.nanargmin(np.abs(at - weights[j]))]
    return float(nearest), tuple(map(int, np.flatnonzero(np.abs(at - nearest) <= ROUNDING)))


def ranking_table(values: PartialValues, preferences: Mapping[str, Preferences]) -> "pd.DataFrame":
    """Return how arms rank under several preferences, such as the patient's and equal weights.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria; their means are used.
    preferences : mapping of a text to Preferences
        For example {"your weights": ..., "equal weights": ..., "remission only": ...}.

    Returns
    -------
    DataFrame
        Columns preferences, arm, expected (value at the mean weights) and rank; arms with equal values have
        the same rank.
    """
    import pandas as pd

    if not isinstance(preferences, Mapping) or not preferences:
        raise InputError("preferences must be a mapping of texts to Preferences, with at least one.")
    rows = []
    for name, one in preferences.items():
        expected = values.means @ one.weight_set.centroid[positions(values, one.criteria)]
        rank = 1 + (expected[None] > expected[:, None] + ROUNDING).sum(axis=1)
        rows += list(zip([name] * len(rank), values.arms, expected.tolist(), rank.tolist(), strict=True))
    return pd.DataFrame(rows, columns=["preferences", "arm", "expected", "rank"])


def _without_nan(numbers: FloatArray) -> list[float | None]:
    return [None if one != one else one for one in numbers.tolist()]
