"""Boosted trees (LightGBM), fitted to all patients and once without each fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.additive import Trees, patients_of, score_trees
from treatsel.models._lightgbm import trees_of_lightgbm
from treatsel.models.hierarchical import Contributions, Levels

MAX_ROUNDS = 400  # upper bound; early stopping determines the number of rounds
PATIENCE = 20  # rounds without improvement after which boosting stops: 1 / learning rate
MIN_PATIENTS = 100  # with fewer, leaves of 20 patients and five folds hardly allow a split
Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


@dataclass(frozen=True, eq=False, repr=False)
class Target:
    """What trees learn: the 0/1 outcome, or the levels of its score at given thresholds."""

    y: FloatArray
    levels: Levels
    thresholds: FloatArray

    def among(self, rows: npt.NDArray[np.intp]) -> "Target":
        """Return the target of some patients."""
        return Target(self.y[rows], self.levels.among(rows), self.thresholds)

    def loss(self, logits: FloatArray, rows: npt.NDArray[np.intp], weights: FloatArray) -> float:
        """Return the mean loss of some patients: minus their log-likelihood, up to a constant."""
        return -self._at(logits, rows, weights).fit / float(weights.sum())

    def derivatives(self, logits: FloatArray, data: Any) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives of the loss, as LightGBM takes them; labels are the patients' positions."""
        found = self._at(logits, data.get_label().astype(np.intp), _weights(data))
        return -found.residual, found.curve

    def measured(self, logits: FloatArray, data: Any) -> tuple[str, float, bool]:
        """Return the loss, as LightGBM takes it."""
        return "loss", self.loss(logits, data.get_label().astype(np.intp), _weights(data)), False

    def _at(self, logits: FloatArray, rows: npt.NDArray[np.intp], weights: FloatArray) -> Contributions:
        return Contributions.at(logits, self.levels.among(rows), self.thresholds, weights)


def _weights(data: Any) -> FloatArray:
    found = data.get_weight()
    return np.ones(data.num_data()) if found is None else np.asarray(found, dtype=float)


@dataclass(frozen=True, eq=False, repr=False)
class Boosters:
    """Fitted boosters of LightGBM; `base`: logit where they start, None with LightGBM's own objective."""

    found: list[Any]
    base: float | None


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees fitted to all patients, and to all but one fold, for each fold of each partition."""

    full: Trees
    folds: list[list[Trees]]

    def held_out(self, partitions: Sequence[Folds], matrix: FloatArray) -> FloatArray:
        """Return each patient's score from trees fitted without that patient's fold, mean over partitions."""
        score = np.zeros(len(matrix))
        for partition, ensembles in zip(partitions, self.folds, strict=True):
            for (_, fold), trees in zip(partition, ensembles, strict=True):
                score[fold] += score_trees(trees, matrix[fold])[:, 0] / len(partitions)
        return score


def boost(
    matrix: FloatArray,
    target: Target,
    weights: FloatArray,
    offset: FloatArray | None,
    partitions: Sequence[Folds],
) -> "Boosters | None":
    """Boost trees from an offset (None: from the base rate), with early stopping on the left-out folds.

    The trees learn the logit of the event from all levels of the outcome, whose thresholds are held.

    Returns
    -------
    Boosters
        The first is fitted to all patients, the others without each fold, partition by partition. None if
        no round improves on the offset alone, or if there are too few patients.

    References
    ----------
    Ke et al. (2017), NeurIPS 30, 3146-3154 (LightGBM).
    """
    import lightgbm

    splits = [split for partition in partitions for split in partition]
    y = target.y
    if len(y) < MIN_PATIENTS or any(len(np.unique(y[rest])) < 2 or not len(fold) for rest, fold in splits):
        return None
    parameters, measure, label, base = _parameters(patients_of(weights).sum()), None, y, None
    if target.levels.n_free:
        # a function instead of LightGBM's own objective: it gets the position of each patient as the label
        parameters |= {"objective": target.derivatives, "metric": "None"}
        measure, label = target.measured, np.arange(len(y), dtype=float)
        base = _logit(np.average(y, weights=weights)) if offset is None else 0.0
    start = np.full(len(y), base) if base and offset is None else offset
    data = lightgbm.Dataset(
        matrix, label, weight=weights, init_score=start, params=parameters, free_raw_data=False
    )
    found: dict[str, Any] = lightgbm.cv(
        parameters,
        data,
        num_boost_round=MAX_ROUNDS,
        folds=splits,
        feval=measure,
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        return_cvbooster=True,
    )
    loss = found["valid binary_logloss-mean" if measure is None else "valid loss-mean"]
    if loss[-1] >= _loss(target, weights, offset, splits):
        return None
    full = lightgbm.train(parameters, data, num_boost_round=len(loss))
    for booster in found["cvbooster"].boosters:
        booster.best_iteration = len(loss)
    return Boosters([full, *found["cvbooster"].boosters], base)


def read(
    boosters: "Boosters", partitions: Sequence[Folds], fixed: Mapping[int, float] | None = None
) -> Ensemble:
    """Return the trees as flat arrays, with the values of some features `fixed`."""
    trees = iter([trees_of_lightgbm(booster, fixed, base=boosters.base) for booster in boosters.found])
    return Ensemble(next(trees), [[next(trees) for _ in partition] for partition in partitions])


def _parameters(n: float) -> dict[str, Any]:
    """Return LightGBM's parameters: small trees for few patients, and no randomness.

    The number of leaves grows with n, since a few hundred events support only low-order interactions. At
    least 20 patients per leaf and a ridge penalty of 5 on its value keep a leaf's rate away from 0 and 1; 63
    bins lose little if covariates are scores with about 30 values. With many patients, shrinkage matters
    less, and a larger learning rate saves time.
    """
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05 if n < 20_000 else 0.1,
        "num_leaves": 6 if n < 2000 else 12 if n < 10_000 else 24,
        "min_data_in_leaf": 20,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "min_data_in_bin": 5,
        "feature_pre_filter": False,
        "num_threads": 1,
        "force_row_wise": True,
        "deterministic": True,
        "seed": 0,
        "verbosity": -1,
    }


def _loss(target: Target, weights: FloatArray, offset: FloatArray | None, folds: Folds) -> float:
    """Return the mean loss over folds of the offset, or of the base rate among the other patients."""
    values = []
    for rest, fold in folds:
        if offset is None:
            logits = np.full(len(fold), _logit(np.average(target.y[rest], weights=weights[rest])))
        else:
            logits = offset[fold]
        values.append(target.loss(logits, fold, weights[fold]))
    return float(np.mean(values))


def _logit(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))
