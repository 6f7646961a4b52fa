"""Net benefit from counts of patients by outcome and threshold; public through `utility`.

Counts of patients by outcome and by the highest threshold that each prediction reaches are sufficient for a
decision curve. A resample is a new draw of these few counts, not of the patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import ROUNDING, FloatArray, check_probability, check_unique, check_vector
from treatsel._stats.resampling import Resamples
from treatsel._stats.vectors import check_labels, check_patients, check_predicted, ordered_labels
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError

ALL, NONE = "treat all", "treat none"
Counts = npt.NDArray[np.intp]


def check_grid(thresholds: Any, *, below: float = np.inf) -> FloatArray:
    """Return increasing thresholds of 0 or more, and below a bound."""
    grid = check_vector("thresholds", np.atleast_1d(thresholds))
    if not len(grid) or (grid < 0).any() or (grid >= below).any():
        raise InputError(f"thresholds must lie in [0, {below:g}), and there must be at least one.")
    if (np.diff(grid) <= 0).any():
        raise InputError("thresholds must increase. Sort them and remove duplicates.")
    return grid


def check_thresholds(thresholds: Any) -> FloatArray:
    """Return increasing thresholds in [0, 1); None means 0.01 to 0.99 in steps of 0.01."""
    return check_grid(np.arange(1, 100) / 100 if thresholds is None else thresholds, below=1)


def check_prevalence(prevalence: float | None) -> float | None:
    """Return a known prevalence within (0, 1), or None."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise InputError(f"prevalence is {prevalence}; it must lie between 0 and 1, or be left out.")
    return None if prevalence is None else float(prevalence)


def check_harm(harm: float | Mapping[str, float], models: list[str]) -> FloatArray:
    """Return the harm of each model; a model that a mapping does not name has none."""
    given = harm if isinstance(harm, Mapping) else dict.fromkeys(models, harm)
    if unknown := [name for name in given if name not in models]:
        raise InputError(f"harm names {unknown}; the models are {models}.")
    values = check_vector("harm", [given.get(name, 0.0) for name in models])
    if (values < 0).any():
        raise InputError("harm must not be negative; it is the cost of obtaining the prediction.")
    return values


def check_models(y_prob: Any) -> dict[str, Any]:
    """Return the predictions of each model by name; a single vector is called "model"."""
    if not isinstance(y_prob, Mapping | pd.DataFrame):
        return {"model": y_prob}
    check_unique("The names of the models in y_prob", [str(name) for name in y_prob])
    models = {str(name): y_prob[name] for name in y_prob}
    if not models or {ALL, NONE} & set(models):
        raise InputError(
            f"y_prob names the models {list(models)}; it needs at least one, and {ALL!r} and {NONE!r} are "
            "reserved."
        )
    for name, probability in models.items():
        check_probability(f"y_prob[{name!r}]", probability)
    return models


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Table:
    """Patients counted by outcome, by the thresholds that each model's prediction reaches, and by cluster.

    Attributes
    ----------
    weight, outcome : ndarray of shape (n_cells,)
        Weight of the patients in each cell, and their outcome.
    patients : ndarray of shape (n_cells,)
        Number of patients in each cell; with weights that are counts, their weight.
    reached : ndarray of shape (n_models, n_cells)
        Number of thresholds that the prediction reaches.
    cluster : ndarray of shape (n_cells,) or None
        Code of the cluster, which does not depend on the order of the patients.
    thresholds : ndarray of shape (n_thresholds,)
        Increasing.
    by_cluster : bool
        Whether clusters are groups of patients, not the patients themselves.
    """

    weight: FloatArray
    patients: FloatArray
    outcome: Counts
    reached: Counts
    cluster: Counts | None
    thresholds: FloatArray
    by_cluster: bool

    @classmethod
    def of(
        cls,
        y_true: Any,
        models: Mapping[str, Any],
        *,
        sample_weight: Any,
        clusters: Any,
        thresholds: FloatArray,
        weights_are: WeightsAre = "counts",
    ) -> "Table":
        """Return the counts of checked patients."""
        check_patients(y_true=y_true, sample_weight=sample_weight, clusters=clusters, **models)
        data = {
            name: check_predicted(y_true, p, sample_weight, weights_are=weights_are)
            for name, p in models.items()
        }
        first = next(iter(data.values()))
        sampling = first.weights.sampling
        columns = [first.outcome.astype(np.intp)]
        columns += [
            np.searchsorted(thresholds - ROUNDING, scored.score, side="right") for scored in data.values()
        ]
        if clusters is not None:
            labels = check_labels("clusters", clusters)[first.rows]
            columns.append(pd.Categorical(labels, categories=ordered_labels(labels)).codes.astype(np.intp))
        elif sampling:  # a resample draws patients, each with the weight
            columns.append(np.arange(len(first.outcome)))
        cell, kept = _distinct(columns)
        table = np.stack(columns)[:, kept]
        return cls(
            weight=np.bincount(cell, weights=first.weight).astype(float),
            outcome=table[0],
            reached=table[1 : 1 + len(data)],
            patients=np.bincount(cell, None if sampling else first.weight).astype(float),
            cluster=None if clusters is None and not sampling else table[-1],
            by_cluster=clusters is not None,
            thresholds=thresholds,
        )

    @property
    def events(self) -> float:
        """Weight of the patients with outcome 1."""
        return float(self.weight @ self.outcome)

    @property
    def total(self) -> float:
        """Weight of all patients."""
        return float(self.weight.sum())

    def drawn(self, n_resamples: int) -> str:
        """Return a description of the resamples."""
        count = 0 if self.cluster is None else len(np.unique(self.cluster))
        clusters = f"{count} clusters" if self.by_cluster else "patients"
        return f"{n_resamples} resamples of {clusters}"

    def resamples(self, *, n_resamples: int, random_state: Any) -> Resamples:
        """Return resamples of the cells: of patients, or of whole clusters."""
        if not isinstance(random_state, int | np.integer) or random_state < 0:
            raise InputError(f"random_state is {random_state!r}; it must be a whole number of at least 0.")
        return Resamples.of(
            self.weight, clusters=self.cluster, n_resamples=n_resamples, seed=int(random_state)
        )

    def differing(self, first: int, second: int) -> npt.NDArray[np.int64]:
        """Return the number of patients whom two strategies treat differently, shape (2, n_thresholds).

        First all patients, then those with the outcome. The strategies are the models, treat all, treat none.
        """
        size = len(self.thresholds) + 1
        ends = np.broadcast_to([[size - 1], [0]], (2, len(self.weight)))
        a, b = (np.concatenate([self.reached, ends])[[first, second]]) + self.outcome * size
        counts = [
            np.bincount(end(a, b), weights=self.patients, minlength=2 * size)
            for end in (np.minimum, np.maximum)
        ]
        without, events = (counts[0] - counts[1]).reshape(2, size).cumsum(axis=1)[:, :-1]
        return np.rint([without + events, events]).astype(np.int64)

    def positives(self, weight: FloatArray) -> FloatArray:
        """Return the number of patients at each threshold, shape (n_models + 1, 2, n_thresholds).

        Patients whose prediction reaches it, first without and then with the outcome. The last "model" is
        treat all.
        """
        size = len(self.thresholds) + 1
        found = np.empty((len(self.reached) + 1, 2, size - 1))
        for model, reached in enumerate(self.reached):
            cells = np.bincount(self.outcome * size + reached, weights=weight, minlength=2 * size)
            found[model] = cells.reshape(2, size)[:, ::-1].cumsum(axis=1)[:, -2::-1]
        found[-1] = np.bincount(self.outcome, weights=weight, minlength=2)[:, None]
        return found

    def rates(self, weight: FloatArray, prevalence: float | None) -> FloatArray:
        """Return `positives` as proportions of all patients or of a population with a known prevalence."""
        found = self.positives(weight)
        with np.errstate(invalid="ignore"):  # NaN for a resample in which one outcome is absent
            if prevalence is None:
                return np.asarray(found / weight.sum())
            return np.asarray(found / found[-1] * np.array([1 - prevalence, prevalence])[:, None])


def _distinct(columns: list[Counts]) -> tuple[Counts, Counts]:
    """Return the code of each row's combination of values, and one row for each combination."""
    cell = np.zeros(len(columns[0]), dtype=np.intp)
    for column in columns:
        cell = np.asarray(pd.factorize(cell * (column.max() + 1) + column, sort=True)[0])
    kept = np.empty(cell.max() + 1, dtype=np.intp)
    kept[cell] = np.arange(len(cell))
    return cell, kept


def net_benefits(rates: FloatArray, thresholds: FloatArray, harm: FloatArray) -> FloatArray:
    """Return net benefits of the models, treat all and treat none, shape (n_models + 2, n_thresholds)."""
    found = np.zeros((len(rates) + 1, len(thresholds)))
    found[:-1] = rates[:, 1] - thresholds / (1 - thresholds) * rates[:, 0]
    found[: len(harm)] -= harm[:, None]
    return found


def percentile_limits(draws: FloatArray, level: float) -> FloatArray:
    """Return lower and upper percentiles over the first axis, shape (2, ...); NaN if too few are finite."""
    finite = np.isfinite(draws).all(axis=tuple(range(1, draws.ndim)))
    if not len(draws) or finite.mean() < 0.9:
        return np.full((2, *draws.shape[1:]), np.nan)
    return np.asarray(np.quantile(draws[finite], [(1 - level) / 2, (1 + level) / 2], axis=0))
