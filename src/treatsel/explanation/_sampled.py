"""Shapley values of any model, from its predictions alone: all coalitions, or sampled permutations."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, count_of
from treatsel.errors import AdditivityError, InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_PATIENTS = 200  # in one call: each takes tens of thousands of predictions, a second or so
MOST_ENUMERATED = 8  # covariates up to which all 2^p coalitions are no more work than permutations
N_PAIRS = 16  # permutations, each with its reverse: the standard error is taken over these pairs
MOST_BACKGROUND = 100  # rows of the background that are used
BLOCK = 20_000  # rows predicted at once
TOLERANCE = 1e-9
LOG = logging.getLogger(__name__)

Coalitions = npt.NDArray[np.bool_]
Predict = Callable[["pd.DataFrame"], FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Attributions, base value and predictions; standard errors if permutations were sampled, else None."""

    values: FloatArray
    base: float
    predictions: FloatArray
    errors: FloatArray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """Coalitions to evaluate, and how attributions follow from their values.

    `weights`: shape (n_estimates, n_covariates, n_coalitions); attributions are the mean over the estimates.
    """

    coalitions: Coalitions
    weights: FloatArray


def shapley_values(predict: Predict, covariates: "pd.DataFrame", background: "pd.DataFrame") -> Sampled:
    """Return Shapley values of a function of a table; a coalition's value is the mean over the background.

    Up to 8 covariates, all coalitions are evaluated. With more, 16 seeded permutations of the covariates and
    their reverses (antithetic sampling) are; every one adds up to the prediction, and so does their mean.

    Parameters
    ----------
    predict : callable
        Maps a table of covariates to one number per row.
    covariates, background : DataFrame
        Patients, and rows that represent the population, with the same columns.

    Raises
    ------
    InputError
        If there are more patients than can be explained in reasonable time.

    References
    ----------
    Strumbelj & Kononenko (2014), Knowledge and Information Systems 41, 647-665. doi:10.1007/s10115-013-0679-x
    Mitchell, Cooper, Frank & Holmes (2022), JMLR 23(43), 1-46 (antithetic permutations).
    """
    n = len(covariates)
    if n > MOST_PATIENTS:
        raise InputError(
            f"X has {n:,} patients. This model is not a sum of terms; it is explained by many predictions "
            f"for each patient, which is limited to {MOST_PATIENTS} patients in one call. Explain a sample "
            "of them, or choose logistic regression or LightGBM, which are explained exactly and fast."
        )
    rows = np.unique(np.linspace(0, len(background) - 1, MOST_BACKGROUND).round().astype(int))
    background = background.iloc[rows]
    plan = (
        _enumeration(covariates.shape[1])
        if covariates.shape[1] <= MOST_ENUMERATED
        else _permutations(covariates.shape[1])
    )
    estimates, ends = [], []
    for i in range(n):
        if i % 20 == 0:
            LOG.info("Explaining by repeated predictions: patient %d of %d", i + 1, n)
        worth = _values(predict, covariates.iloc[[i]], background, plan.coalitions)
        estimates.append(plan.weights @ worth)
        ends.append((worth[0], worth[-1]))
    shape = (n, len(plan.weights), covariates.shape[1])
    found, (bases, predictions) = np.reshape(estimates, shape), np.reshape(ends, (n, 2)).T
    base = float(bases[0]) if n else float(predict(background).mean())
    values = found.mean(axis=1)
    _check_sums(base + values.sum(axis=1), predictions)
    errors = None if shape[1] == 1 else found.std(axis=1, ddof=1) / np.sqrt(shape[1])
    return Sampled(values=values, base=base, predictions=predictions, errors=errors)


def _enumeration(p: int) -> _Plan:
    """Return all coalitions (the empty one first, the full one last) and their Shapley weights."""
    from math import factorial

    coalitions = (np.arange(2**p)[:, None] >> np.arange(p)) % 2 == 1
    size = coalitions.sum(axis=1)
    joining = np.array([factorial(max(s - 1, 0)) * factorial(p - s) for s in size]) / factorial(p)
    leaving = np.array([factorial(s) * factorial(max(p - s - 1, 0)) for s in size]) / factorial(p)
    weights = np.where(coalitions, joining[:, None], -leaving[:, None]).T
    return _Plan(coalitions=coalitions, weights=weights[None])


def _permutations(p: int) -> _Plan:
    """Return the coalitions along seeded permutations and their reverses; one estimate for each pair."""
    rng, places = np.random.default_rng(0), {bytes(p): 0}
    steps = []  # estimate, covariate, coalition before and after it joins
    for pair in range(N_PAIRS):
        order = rng.permutation(p)
        for path in (order, order[::-1]):
            member = np.zeros(p, dtype=bool)
            before = 0
            for j in path:
                member[j] = True
                after = places.setdefault(member.tobytes(), len(places))
                steps.append((pair, j, before, after))
                before = after
    full = places[np.ones(p, dtype=bool).tobytes()]
    last = len(places) - 1
    swapped = {full: last, last: full}  # the full coalition last, as in the enumeration
    weights = np.zeros((N_PAIRS, p, len(places)))
    for pair, j, before, after in steps:
        weights[pair, j, swapped.get(before, before)] -= 0.5
        weights[pair, j, swapped.get(after, after)] += 0.5
    coalitions = np.array([np.frombuffer(key, dtype=bool) for key in places])
    coalitions[[full, last]] = coalitions[[last, full]]
    return _Plan(coalitions=coalitions, weights=weights)


def _values(
    predict: Predict, patient: "pd.DataFrame", background: "pd.DataFrame", coalitions: Coalitions
) -> FloatArray:
    """Return the mean prediction of each coalition: its covariates from the patient, others from all rows."""
    import pandas as pd

    n_rows, step = len(background), max(1, BLOCK // len(background))
    # one column per covariate that holds the patient's value first, then those of the background
    both = {name: pd.concat([patient[name], background[name]], ignore_index=True) for name in background}
    parts = []
    for start in range(0, len(coalitions), step):
        block = coalitions[start : start + step]
        own = np.tile(np.arange(1, n_rows + 1), len(block))
        columns = dict(_mixed(both, np.repeat(block, n_rows, axis=0), own))
        found = predict(pd.DataFrame(columns))
        parts.append(np.asarray(found).reshape(len(block), n_rows).mean(axis=1))
    return np.concatenate(parts)


def _mixed(both: dict[Any, "pd.Series"], taken: Coalitions, own: Any) -> Iterator[tuple[Any, Any]]:
    for j, (name, column) in enumerate(both.items()):
        yield name, column.take(np.where(taken[:, j], 0, own)).reset_index(drop=True)


def _check_sums(total: FloatArray, prediction: FloatArray) -> None:
    off = ~(np.abs(total - prediction) <= TOLERANCE * np.maximum(1.0, np.abs(prediction)))
    if n := int(off.sum()):
        raise AdditivityError(
            f"The attributions of {count_of(n, 'patient')} do not add up to the model's prediction, and are "
            "not returned. Please report this error with the type of model."
        )
