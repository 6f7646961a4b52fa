"""Matched pairs: one patient from each of two arms; public through `treatsel.metrics.benefit`."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import (
    FloatArray,
    check_choice,
    check_probability,
    check_same_length,
    check_vector,
    count_of,
)
from treatsel._reporting.summary import Summarized
from treatsel._stats.alignment import check_same_order
from treatsel._stats.resampling import Resamples
from treatsel.errors import InputError
from treatsel.metrics.benefit._arm_pair import ArmPair, check_pair

Neighbor = Literal["nearest", "above"]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Source:
    """Data from which pairs were matched, one row per unit of weight, so that matching can be repeated."""

    outcome: FloatArray
    treated: npt.NDArray[np.bool_]
    p_control: FloatArray
    p_treated: FloatArray
    points: FloatArray | None  # covariates; None: match on the predicted benefit
    neighbor: Neighbor
    patient: npt.NDArray[np.object_]
    codes: FloatArray | None

    def take(self, rows: Positions) -> "Source":
        """Return these rows, in this order."""
        return Source(
            outcome=self.outcome[rows],
            treated=self.treated[rows],
            p_control=self.p_control[rows],
            p_treated=self.p_treated[rows],
            points=None if self.points is None else self.points[rows],
            neighbor=self.neighbor,
            patient=self.patient[rows],
            codes=None if self.codes is None else self.codes[rows],
        )

    @property
    def has_both(self) -> bool:
        """Whether both arms occur."""
        return bool(self.treated.any() and not self.treated.all())


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MatchedPairs(Summarized):
    """Pairs of a treated patient and a similar patient of the control arm.

    Attributes
    ----------
    observed : ndarray of shape (n_pairs,)
        Observed benefit, -1, 0 or 1: outcome of the treated patient minus that of the control patient.
    p_treated, p_control : ndarray of shape (n_pairs,)
        Predictions for the arm received, of the treated patient and of the control patient.
    own_arm_benefit : ndarray of shape (n_pairs,)
        `p_treated` minus `p_control`. It includes any difference in prognosis within the pair.
    mean_benefit : ndarray of shape (n_pairs,) or None
        Mean over both patients of (prediction under treatment minus prediction under control).
    matched_on : str
        How the pairs were formed.
    patients : pandas.DataFrame of shape (n_pairs, 2) or None
        Index labels of the two patients; columns treated, control.
    """

    observed: FloatArray
    p_treated: FloatArray
    p_control: FloatArray
    own_arm_benefit: FloatArray
    mean_benefit: FloatArray | None
    matched_on: str
    patients: pd.DataFrame | None = None
    source: Source | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        observed: npt.ArrayLike,
        p_treated: npt.ArrayLike,
        p_control: npt.ArrayLike,
        *,
        own_arm_benefit: npt.ArrayLike | None = None,
        mean_benefit: npt.ArrayLike | None = None,
    ) -> "MatchedPairs":
        """Return pairs that were matched elsewhere, from their vectors (see the attributes).

        Raises
        ------
        InputError
            If lengths differ, there is no pair, an observed benefit is not -1, 0 or 1, or a prediction is
            outside [0, 1].
        """
        seen = check_vector("observed", observed)
        if n := int((~np.isin(seen, [-1, 0, 1])).sum()):
            raise InputError(f"observed holds {count_of(n, 'value')} other than -1, 0 and 1.")
        high, low = check_probability("p_treated", p_treated), check_probability("p_control", p_control)
        own = high - low if own_arm_benefit is None else check_vector("own_arm_benefit", own_arm_benefit)
        mean = None if mean_benefit is None else check_vector("mean_benefit", mean_benefit)
        given: dict[str, Any] = {
            "observed": seen,
            "p_treated": high,
            "p_control": low,
            "own_arm_benefit": own,
        }
        check_same_length(**given, **({} if mean is None else {"mean_benefit": mean}))
        check_same_order(
            observed=observed,
            p_treated=p_treated,
            p_control=p_control,
            own_arm_benefit=own_arm_benefit,
            mean_benefit=mean_benefit,
        )
        if not len(seen):
            raise InputError("observed holds no pairs; at least one is needed.")
        return cls(**given, mean_benefit=mean, matched_on="pairs as given")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.observed)

    def predicted(self, definition: Literal["mean", "own_arm"]) -> FloatArray:
        """Return the predicted benefit of each pair by one of the two definitions."""
        check_choice("predicted", definition, ["mean", "own_arm"])
        if definition == "own_arm":
            return self.own_arm_benefit
        if self.mean_benefit is None:
            raise InputError("These pairs have no mean_benefit. Give it, or choose predicted='own_arm'.")
        return self.mean_benefit

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair."""
        columns = {
            "p_treated": self.p_treated,
            "p_control": self.p_control,
            "own_arm_benefit": self.own_arm_benefit,
            "mean_benefit": np.nan if self.mean_benefit is None else self.mean_benefit,
            "observed": self.observed,
        }
        table = pd.DataFrame(columns)
        return table if self.patients is None else pd.concat([self.patients, table], axis=1)

    def resampled(self, n_resamples: int, seed: int) -> "Iterator[MatchedPairs | None]":
        """Yield bootstrap pairs: resampled patients matched again, or resampled pairs if matched elsewhere.

        Yields None where a resample lacks an arm.
        """
        if self.source is None:
            for weight in Resamples.of(np.ones(len(self)), n_resamples=n_resamples, seed=seed):
                yield self._take(np.repeat(np.arange(len(self)), weight.astype(int)))
            return
        positions = np.arange(len(self.source.outcome))
        draws = Resamples.of(
            np.ones(len(positions)), clusters=self.source.codes, n_resamples=n_resamples, seed=seed
        )
        for weight in draws:
            drawn = self.source.take(np.repeat(positions, weight.astype(int)))
            yield match(drawn) if drawn.has_both else None

    def _take(self, rows: Positions) -> "MatchedPairs":
        return MatchedPairs(
            observed=self.observed[rows],
            p_treated=self.p_treated[rows],
            p_control=self.p_control[rows],
            own_arm_benefit=self.own_arm_benefit[rows],
            mean_benefit=None if self.mean_benefit is None else self.mean_benefit[rows],
            matched_on=self.matched_on,
        )


def match_pairs(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    covariates: Any = None,
    neighbor: Neighbor = "nearest",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> MatchedPairs:
    """Match each patient of the smaller arm with one of the other arm, without replacement.

    Greedy matching: in row order, each patient is matched with the nearest patient not yet matched (the first
    of equally near ones). Everything computed from the pairs depends on this: **a different row order gives
    different pairs**, and changes a c-for-benefit by about .02 in a trial of common size.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms; benefit is the prediction under `treated` minus that under `control`.
    covariates : array-like of shape (n_patients, n_covariates), optional
        Match on their Mahalanobis distance (covariance pooled within arms). By default, match on the
        predicted benefit.
    neighbor : {"nearest", "above"}, default "nearest"
        "above", for the predicted benefit only: patients are taken from the lowest benefit up (from the
        highest down if the smaller arm is the control arm), and each is matched with the closest unmatched
        patient of higher benefit, or of lower benefit only if there is none. R's MatchIt 4.5.1 matches in
        this way if the benefit is its distance; the option allows its results to be reproduced.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient; a bootstrap of the procedure then resamples whole sites.
    sample_weight : array-like of shape (n_patients,), optional
        Counts, whole numbers: a patient of weight 2 counts as two.

    Returns
    -------
    MatchedPairs
        One pair for each patient of the smaller arm, in the order of matching.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, a covariate is missing or not a number, or a
        weight is not a whole number.

    References
    ----------
    van Klaveren et al. (2018), Journal of Clinical Epidemiology 94, 59-68.
    doi:10.1016/j.jclinepi.2017.10.021
    Ho, Imai, King & Stuart (2011), Journal of Statistical Software 42(8), 1-28. doi:10.18637/jss.v042.i08

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4, 0.6], "SSRI": [0.3, 0.6, 0.5]})
    >>> pairs = match_pairs([1, 0, 1], ["CBT", "SSRI", "CBT"], by_arm, control="CBT", treated="SSRI")
    >>> pairs.to_frame()[["treated", "control", "mean_benefit", "observed"]].round(2).values.tolist()
    [[1, 2, 0.05, -1.0]]
    """
    check_choice("neighbor", neighbor, ["nearest", "above"])
    given: dict[str, Any] = {"sample_weight": sample_weight, "clusters": clusters}
    if covariates is not None:
        given["covariates"] = covariates
    pair = check_pair(y_true, received, by_arm, control=control, treated=treated, **given)
    if neighbor == "above" and covariates is not None:
        raise InputError("neighbor='above' needs an order, and covariates have none. Leave one of them out.")
    if n := int((pair.weight != np.round(pair.weight)).sum()):
        raise InputError(
            f"sample_weight holds {count_of(n, 'fractional weight')}; matching needs whole patients, so "
            "give whole numbers."
        )
    source = Source(
        outcome=pair.outcome,
        treated=pair.treated,
        p_control=pair.p_control,
        p_treated=pair.p_treated,
        points=None if covariates is None else _checked(covariates, pair),
        neighbor=neighbor,
        patient=by_arm.index.to_numpy(dtype=object)[pair.rows],
        codes=pair.units.codes,
    )
    return match(source.take(np.repeat(np.arange(len(pair.rows)), pair.weight.astype(int))))


def match(source: Source) -> MatchedPairs:
    """Return the pairs of these rows."""
    benefit = source.p_treated - source.p_control
    smaller = source.treated if 2 * source.treated.sum() <= len(source.treated) else ~source.treated
    if source.neighbor == "above":
        first, second = _above(-benefit, smaller, from_top=smaller is source.treated)
    else:
        points = benefit[:, None] if source.points is None else source.points
        first, second = _nearest(_whitened(points, source.treated), smaller)
    a, b = (first, second) if smaller is source.treated else (second, first)
    what = "predicted benefit" if source.points is None else "covariates"
    return MatchedPairs(
        observed=source.outcome[a] - source.outcome[b],
        p_treated=source.p_treated[a],
        p_control=source.p_control[b],
        own_arm_benefit=source.p_treated[a] - source.p_control[b],
        mean_benefit=(benefit[a] + benefit[b]) / 2,
        matched_on=f"{len(a)} pairs matched on {what} in row order",
        patients=pd.DataFrame({"treated": source.patient[a], "control": source.patient[b]}),
        source=source,
    )


def _checked(covariates: Any, pair: ArmPair) -> FloatArray:
    table = covariates if isinstance(covariates, pd.DataFrame) else pd.DataFrame(np.asarray(covariates))
    if not len(table.columns):
        raise InputError("covariates has no columns. Leave it out to match on the predicted benefit.")
    columns = [check_vector(f"Column {name!r} of covariates", table[name]) for name in table]
    return np.column_stack(columns)[pair.rows]


def _whitened(points: FloatArray, treated: npt.NDArray[np.bool_]) -> FloatArray:
    """Return coordinates whose Euclidean distance is the Mahalanobis distance, pooled within arms."""
    centered = points.copy()
    for arm in (treated, ~treated):
        centered[arm] -= points[arm].mean(axis=0)
    variances, axes = np.linalg.eigh(centered.T @ centered / max(len(points) - 2, 1))
    kept = variances > variances.max() * 1e-12
    if not kept.any():  # no variation within either arm
        return np.zeros((len(points), 1))
    return np.asarray(points @ (axes[:, kept] / np.sqrt(variances[kept])))


def _nearest(points: FloatArray, smaller: npt.NDArray[np.bool_]) -> tuple[Positions, Positions]:
    first, candidates = np.flatnonzero(smaller), np.flatnonzero(~smaller)
    free = np.ascontiguousarray(points[candidates].T)
    taken, chosen = 0, np.empty(len(first), dtype=np.intp)
    for i, position in enumerate(first):
        away = free - points[position][:, None]
        best = int(np.argmin(np.einsum("ij,ij->j", away, away)))
        chosen[i] = candidates[best]
        free[:, best] = np.inf
        taken += 1
        if taken > 64 and taken > free.shape[1] // 8:  # drop the matched ones
            kept = np.isfinite(free).all(axis=0)
            free, candidates, taken = np.ascontiguousarray(free[:, kept]), candidates[kept], 0
    return first, chosen


def _above(
    harm: FloatArray, smaller: npt.NDArray[np.bool_], *, from_top: bool
) -> tuple[Positions, Positions]:
    """Match in the order of harm (benefit with reversed sign): the closest free one before, else after."""
    order = np.argsort(harm, kind="stable")
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    first = np.flatnonzero(smaller)
    first = first[np.argsort(-harm[first] if from_top else harm[first], kind="stable")]
    # links to the nearest free position, shortened along the way; those of `before` are shifted by one
    before, after = list(range(len(order) + 1)), list(range(len(order) + 1))

    def closest(links: list[int], at: int) -> int:
        while links[at] != at:
            links[at] = links[links[at]]
            at = links[at]
        return at

    for position in np.flatnonzero(smaller[order]):
        before[position + 1], after[position] = int(position), int(position) + 1
    chosen = np.empty(len(first), dtype=np.intp)
    for i, start in enumerate(place[first]):
        found = closest(before, int(start) + 1) - 1
        if found < 0:
            found = closest(after, int(start))
        chosen[i] = order[found]
        before[found + 1], after[found] = found, found + 1
    return first, chosen
