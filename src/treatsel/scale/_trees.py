"""Boosted trees from a Dask DataFrame, with about one byte of memory per value."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, Encoding, Trees
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.models import is_lightgbm, prepare, trees_of_lightgbm
from treatsel.scale._first_pass import encoding_of, plain, summarized

Outcomes = list[npt.NDArray[np.uint8]]  # of the patients of each arm


def fit_trees_dask(ddf: Any, outcome: str, estimator: Any, *, arm: str = "arm") -> AdditiveModel:
    """Fit one LightGBM classifier per arm to a Dask DataFrame that may exceed memory.

    The trees equal those that ``ArmwiseClassifier(estimator)`` grows from the whole table. (In an arm with
    more than `subsample_for_bin` patients, 200,000, LightGBM determines bins from a sample, and may then drop
    a rare feature; this function never does. For equal trees set ``feature_pre_filter=False``.) They are
    grown in this process, one arm after the other, from data binned by LightGBM: about one byte per patient
    and feature, plus one encoded partition at a time. Each partition is read twice per arm, to determine the
    bins and to bin the data. Needs ``pip install 'treatsel[dask]'``.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        Outcome and arm; all other columns are covariates, numeric or text.
    outcome : str
        Column of the outcome, 0 or 1. Exclude patients without an observed outcome.
    estimator : lightgbm.LGBMClassifier
        Unfitted. Class weights are not supported.
    arm : str
        Column of the received arm.

    Returns
    -------
    AdditiveModel
        With `predict_by_arm`; accepted by `treatsel.explain`.

    Raises
    ------
    InputError
        If a column is missing, the outcome is not 0 or 1, an arm is missing, an arm has only one class of
        outcome, or the estimator has class weights.
    UnsupportedModelError
        If the estimator is not a LightGBM classifier.
    """
    import dask

    if not (is_lightgbm(estimator) and hasattr(estimator, "predict_proba")):
        raise UnsupportedModelError(
            f"estimator must be an LGBMClassifier; it is a {type(estimator).__name__}. For linear terms use "
            "fit_hierarchical_dask."
        )
    options = prepare(estimator).get_params()
    if options.pop("class_weight") is not None:
        raise InputError("The estimator has class_weight, which distorts probabilities. Set it to None.")
    n_trees, _ = options.pop("n_estimators"), options.pop("importance_type")
    options = {"objective": "binary"} | {key: value for key, value in options.items() if value is not None}
    options["feature_pre_filter"] = False  # with a Sequence, LightGBM would drop features that can be split
    found = summarized(ddf, outcome, arm)
    encoding = encoding_of(found.counts, found.covariates, native_missing=True)
    events = dask.compute(*(dask.delayed(_events)(part, outcome, arm, found.arms) for part in found.parts))
    trees = []
    for k, label in enumerate(found.arms):
        sizes = [len(of_part[k]) for of_part in events]
        tasks = [dask.delayed(_encoded)(part, encoding, arm, label) for part in found.parts]
        rows = _rows([task for task, n in zip(tasks, sizes, strict=True) if n], [n for n in sizes if n])
        trees.append(_grown(rows, np.concatenate([part[k] for part in events]), options, n_trees))
    n_arms = len(found.arms)
    return AdditiveModel(
        encoding=encoding,
        arms_=found.arms,
        intercept=np.zeros(n_arms),
        coefficients=np.zeros((n_arms, len(encoding.features))),
        trees=Trees.join(trees),
        mixing=np.eye(n_arms),
    )


def _events(part: pd.DataFrame, outcome: str, arm: str, arms: np.ndarray) -> Outcomes:
    received, y = part[arm].astype("object"), part[outcome].to_numpy(dtype=np.float64)
    return [y[(received == label).to_numpy()].astype(np.uint8) for label in arms]


def _encoded(part: pd.DataFrame, encoding: Encoding, arm: str, label: Any) -> FloatArray:
    own = part[(part[arm].astype("object") == label).to_numpy()]
    return encoding.encode(pd.DataFrame({name: plain(own[name]) for name in encoding.names}))


def _rows(tasks: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Return the partitions as LightGBM sequences, which keep only the partition read last."""
    from lightgbm import Sequence as Rows

    kept: dict[int, FloatArray] = {}

    class Partition(Rows):
        def __init__(self, number: int, load: Callable[[], FloatArray], n: int) -> None:
            self.number, self.load, self.n, self.batch_size = number, load, n, n

        def __len__(self) -> int:
            return self.n

        def __getitem__(self, rows: Any) -> FloatArray:
            if self.number not in kept:
                kept.clear()
                kept[self.number] = self.load()
            return np.asarray(kept[self.number][rows])

    return [Partition(i, task.compute, n) for i, (task, n) in enumerate(zip(tasks, sizes, strict=True))]


def _grown(rows: list[Any], y: npt.NDArray[np.uint8], options: dict[str, Any], n_trees: int) -> Trees:
    import lightgbm

    data = lightgbm.Dataset(rows, label=y.astype(np.float32), params=dict(options))
    return trees_of_lightgbm(lightgbm.train(dict(options), data, num_boost_round=n_trees))
