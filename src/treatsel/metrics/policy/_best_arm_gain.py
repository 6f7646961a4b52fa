"""Gain over the arm that is truly best; public through `treatsel.metrics.policy`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_choice
from treatsel._stats.clustered_means import Mean, Units, mean_of
from treatsel._stats.folds import seed_of
from treatsel._stats.intervals import Interval
from treatsel._stats.row_hashes import row_keys
from treatsel._stats.vectors import check_patients
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError
from treatsel.metrics.policy import _selection as selection
from treatsel.metrics.policy._best_arm_gain_result import PRACTICE, BestArmGain
from treatsel.metrics.policy._gain import _checked, _gain, _smallest
from treatsel.metrics.policy._gain_result import BEST, OF_FOLDS, ON_THIS_DATA, Gain

NAN = float("nan")


def best_arm_gain(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    y_true: npt.ArrayLike | None = None,
    arms: Sequence[Any] | None = None,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
) -> BestArmGain:
    """Outcome rate under the recommendations minus that of the arm that is truly best, whichever it is.

    The interval is that of `gain_over_best_arm` with `selection="adjusted"`. No unbiased estimate exists, as
    the best arm is unknown and the largest of several means is not a smooth function of them. Two estimates
    enclose the gain on average: the smallest gain over the single arms (biased downward), and the
    cross-fitted gain, over the arm that is best in the other nine tenths of the patients (biased upward).

    Their bias is simulated from the covariance of the gains over the single arms: if the arms differ as
    estimated, and if all are equally good, where the bias of the smallest gain is largest and the
    cross-fitted gain has none. Estimated arms differ more than true ones: if all arms are equally good, the
    bias simulated for arms as estimated is on average 40 % of the true one of the smallest gain, and up to
    2.7 percentage points (six arms, 300 patients) for the cross-fitted gain, which then has none
    (`python -m benchmarks.validation.headline`). Do not subtract it.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    y_true : array-like of shape (n_patients,), optional
        Outcome (1 is good), 0 or 1, under the received arms: adds current practice to `policies()`.
    arms : sequence of labels, optional
        Arms to compare with; None: all. Leave out arms with few events, whose scores are hardly normal.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, as in `gain_over_best_arm`; folds keep a cluster together.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.
    random_state : int, RandomState or None, default 0
        Seed of the folds and of the simulation.

    Returns
    -------
    BestArmGain
        Interval of a difference of proportions (positive: the recommendations are better), both estimates
        with their simulated bias, the smallest gain that these data could have shown with a power of 80 %,
        and the policies compared with the truly best arm.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, an outcome is not 0/1, or an arm has no column.

    References
    ----------
    Berger (1982), Technometrics 24(4), 295-300. doi:10.1080/00401706.1982.10487790
    Hsu (1984), Annals of Statistics 12(3), 1136-1144. doi:10.1214/aos/1176346732 (comparisons with the best)
    Hirano & Porter (2012), Econometrica 80(4), 1769-1790. doi:10.3982/ECTA8681 (no unbiased estimate)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = pd.DataFrame(rng.normal([0.5, 0.4], 0.9, (400, 2)), columns=["CBT", "SSRI"])
    >>> found = best_arm_gain(scores, ["CBT", "SSRI"] * 200)
    >>> found.interval.lower < found.interval.value < found.cross_fitted.value < found.interval.upper
    True
    """
    table, units, shares, own = _checked(scores, recommended, clusters, sample_weight, level, weights_are)
    check_patients(scores=scores, y_true=y_true)
    compared = _compared_arms(arms, table)
    places = np.flatnonzero(table.columns.isin(compared))
    values = table[compared].to_numpy(dtype=float)
    means = [mean_of(own - column, units) for column in values.T]
    between = _between(values, units)
    seed = seed_of(random_state)
    partitions = _partitions(table[compared], own, units, seed)
    sizes = np.bincount(partitions[0], units.weight)
    of_folds = sizes[sizes > 0] / sizes.sum()
    best = int(np.argmin([mean.value for mean in means]))
    differs = 1 - shares[:, places]
    interval = _gain(
        _smallest(means, units.level),
        units,
        differs[:, best],
        comparator=BEST,
        arm=compared[best],
        source=ON_THIS_DATA,
    )
    cross_fitted = _cross_fitted(own[:, None] - values, differs, units, partitions, compared)
    bias, detectable = _simulated(means, between, of_folds, seed)
    return BestArmGain(
        interval=interval,
        cross_fitted=cross_fitted,
        bias=bias,
        rate=float(units.weight @ own / units.weight.sum()),
        others=_others(y_true, values, between, units, compared),
        arms=tuple(compared),
        left_out=tuple(arm for arm in table.columns if arm not in compared),
        detectable=detectable,
        power=selection.POWER,
        n_simulations=selection.N_SIMULATIONS,
    )


def _compared_arms(arms: Sequence[Any] | None, table: pd.DataFrame) -> list[Any]:
    if arms is None:
        return list(table.columns)
    for arm in arms:
        check_choice("arms", arm, table.columns)
    if not len(arms):
        raise InputError("arms is empty; give at least one arm to compare with, or None for all.")
    return [arm for arm in table.columns if arm in set(arms)]


def _between(values: FloatArray, units: Units) -> list[list[Mean]]:
    """Return the mean of each column minus each other column."""
    nothing = mean_of(np.zeros(len(values)), units)
    count = values.shape[1]
    found = [[nothing] * count for _ in range(count)]
    for one in range(count):
        for two in range(one):
            found[one][two] = mean_of(values[:, one] - values[:, two], units)
            found[two][one] = found[one][two].reversed()
    return found


def _partitions(scores: pd.DataFrame, own: FloatArray, units: Units, seed: int | None) -> FloatArray:
    """Return the fold of each patient (or cluster) in several random partitions: one row per partition.

    Row order and names of arms do not matter: hashes of the rows give the patients an order, in which equal
    ones are exchangeable, and their sum is part of the seed. The hashes alone would not do: they would deal
    equal rows, as there are with few covariates, to all folds alike, so that these would not be independent.
    """
    order = np.argsort(-(units.weight @ scores.to_numpy(dtype=float)), kind="stable")
    rows = pd.DataFrame(scores.to_numpy(dtype=float)[:, order]).assign(own=own, weight=units.weight)
    keys = row_keys(rows)
    unit = np.arange(len(rows)) if units.codes is None else np.unique(units.codes, return_inverse=True)[1]
    of_unit = np.zeros(unit.max() + 1, dtype=np.uint64)
    np.add.at(of_unit, unit, keys)
    random = np.random.default_rng(None if seed is None else [seed, int(keys.sum())])
    place = np.argsort(np.argsort(of_unit, kind="stable"), kind="stable")
    n_folds = min(selection.FOLDS, len(of_unit))
    dealt = [random.permutation(len(of_unit))[place] % n_folds for _ in range(selection.PARTITIONS)]
    return np.array([fold[unit] for fold in dealt])


def _cross_fitted(
    gains: FloatArray, differs: FloatArray, units: Units, partitions: FloatArray, arms: list[Any]
) -> Gain:
    """Return the gain over the arm that is best outside the patient's fold, mean over the partitions."""
    compared = np.zeros_like(gains)  # share of each arm among those that a patient is compared with
    for fold in partitions:
        weights = np.bincount(fold, units.weight).astype(float)
        sums = np.column_stack([np.bincount(fold, units.weight * column) for column in gains.T])
        of_fold = sums / np.where(weights > 0, weights, 1)[:, None]
        compared[np.arange(len(gains)), selection.chosen_arms(of_fold, weights)[fold]] += 1
    compared /= len(partitions)
    mean = mean_of((gains * compared).sum(axis=1), units)
    if partitions.max() == 0:
        reason = "not estimable: cross-fitting needs at least two patients or clusters"
        mean = Mean(value=NAN, se=NAN, limits=Interval(NAN, NAN), p_value=NAN, method=reason)
    usual = arms[int(np.argmax(units.weight @ compared))]
    return _gain(mean, units, (differs * compared).sum(axis=1), comparator=BEST, arm=usual, source=OF_FOLDS)


def _simulated(
    means: list[Mean], between: list[list[Mean]], shares: FloatArray, seed: int | None
) -> tuple[pd.DataFrame, float]:
    """Return the simulated bias of both estimates, and the smallest detectable gain; NaN without errors.

    Arms are in the order of their means, so that the random numbers do not depend on their order.
    """
    order = np.argsort([mean.value for mean in means], kind="stable")
    gains = [means[arm] for arm in order]
    values = np.array([mean.value for mean in gains])
    differences = np.array([[between[one][two].se for two in order] for one in order])
    covariance = selection.covariance_of(gains, differences)
    if not np.isfinite(covariance).all():
        nothing = np.zeros((2, len(shares), len(gains)))
        return selection.simulated_bias(values, nothing, shares).assign(bias=NAN, error=NAN), NAN
    errors = selection.simulated_errors(covariance, shares, seed)
    bias = selection.simulated_bias(values, errors, shares)
    return bias, selection.detectable_gain(gains, errors, shares)


def _others(
    y_true: Any, values: FloatArray, between: list[list[Mean]], units: Units, arms: list[Any]
) -> pd.DataFrame:
    """Return the rate under each arm and in current practice, and its difference to the truly best arm."""
    found: dict[str, tuple[float, Mean]] = {}
    if y_true is not None:
        outcome = check_binary("y_true", y_true)
        gains = [mean_of(outcome - column, units) for column in values.T]
        found[PRACTICE] = mean_of(outcome, units).value, _smallest(gains, units.level)
    for number, arm in enumerate(arms):
        found[f"all patients receive {arm}"] = (
            float(units.weight @ values[:, number] / units.weight.sum()),
            _smallest(between[number], units.level),
        )
    rows = [
        {"policy": name, "rate": rate, "value": mean.value, "lower": mean.limits.lower}
        | {"upper": mean.limits.upper}
        for name, (rate, mean) in found.items()
    ]
    return pd.DataFrame(rows)
