"""Screening of covariates where there are more than can be fitted together."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, Encoding

# Terms that all arms share, and those by which each arm deviates (hinges do not). Time grows with the cube:
# with 1,000 patients on one core 1,200 terms take 6 s a fit, 2,000 take 29 s, and the stack fits 15 times.
MAX_TERMS = 1200
MAX_ROWS = 20_000  # patients from whom associations are computed: bounds time and memory


def select_covariates(
    covariates: pd.DataFrame,
    arms: npt.NDArray[np.intp],
    y: FloatArray,
    weights: FloatArray,
) -> tuple[list[Any], bool]:
    """Return the covariates to learn from, in their order, and whether numbers have hinges.

    All of them with hinges, if the terms are not too many; else all without hinges; else those that are most
    strongly associated with the outcome within arms: by the sum over arms of squared correlation times number
    of patients, so that a covariate which matters in one arm only is kept as well (Fan & Lv 2008: sure
    independence screening).

    References
    ----------
    Fan & Lv (2008), J Royal Statistical Society B 70(5), 849-911. doi:10.1111/j.1467-9868.2008.00674.x
    """
    n_arms, names = int(arms.max()) + 1, list(covariates.columns)
    limit = MAX_TERMS // (n_arms + 1) - 1  # columns without hinges
    if len(names) <= limit:
        kinds = Encoding.of_cohort(covariates, weights, native_missing=False, knots=True).kinds
        n_terms = 1 + len(kinds) + n_arms * (1 + int((kinds != "hinge").sum()))
        if n_terms <= MAX_TERMS:
            return names, True
    plain = Encoding.of_cohort(covariates, weights, native_missing=False)
    widths = np.array([column.width for column in plain.columns])
    if widths.sum() <= limit:
        return names, False
    rows = _sample(len(y))
    strength = _association(plain.encode(covariates.iloc[rows]), arms[rows], y[rows], weights[rows])
    by_covariate = np.zeros(len(names))
    np.maximum.at(by_covariate, plain.sources, strength)
    order = np.argsort(-by_covariate, kind="stable")
    kept = np.sort(order[np.cumsum(widths[order]) <= limit])
    if not len(kept):
        kept = order[:1]
    return [names[j] for j in kept], False


def _sample(n: int) -> npt.NDArray[np.intp]:
    if n <= MAX_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MAX_ROWS, replace=False))


def _association(
    matrix: FloatArray, arms: npt.NDArray[np.intp], y: FloatArray, weights: FloatArray
) -> FloatArray:
    """Return, for each column, the sum over arms of n times its squared correlation with the outcome."""
    total = np.zeros(matrix.shape[1])
    for arm in np.unique(arms):
        w = weights[arms == arm] / max(weights[arms == arm].sum(), 1e-300)
        x, outcome = matrix[arms == arm], y[arms == arm]
        x = x - w @ x
        outcome = outcome - w @ outcome
        variance = (w @ x**2) * (w @ outcome**2)
        covariance = (w * outcome) @ x
        found = np.divide(covariance**2, variance, out=np.zeros_like(covariance), where=variance > 0)
        total += len(w) * found
    return total


def widened(model: AdditiveModel, whole: Encoding) -> AdditiveModel:
    """Return the model of some covariates as one of all those in `whole`, with no effect of the others."""
    known = {column.name: column for column in model.encoding.columns}
    columns = tuple(known.get(column.name, column) for column in whole.columns)
    encoding = Encoding(columns, model.encoding.native_missing)
    starts = dict(zip(whole.names, np.cumsum([0, *(column.width for column in columns)]), strict=False))
    place = np.concatenate(
        [starts[column.name] + np.arange(column.width) for column in model.encoding.columns]
    ).astype(np.intp)
    sites = model.sites
    if sites is not None:
        sites = replace(sites, coefficients=_scattered(sites.coefficients, place, len(encoding.features)))
    return replace(
        model,
        encoding=encoding,
        sites=sites,
        coefficients=_scattered(model.coefficients, place, len(encoding.features)),
        trees=None if model.trees is None else model.trees.renumbered(place),
        coefficient_draws=_scattered_draws(model.coefficient_draws, place, len(encoding.features)),
    )


def _scattered(values: FloatArray, place: npt.NDArray[np.intp], n: int) -> FloatArray:
    found = np.zeros((*values.shape[:-1], n), dtype=values.dtype)
    found[..., place] = values
    return found


def _scattered_draws(draws: FloatArray | None, place: npt.NDArray[np.intp], n: int) -> FloatArray | None:
    if draws is None:
        return None
    linear = _scattered(draws[..., 1 : 1 + len(place)], place, n)
    return np.concatenate([draws[..., :1], linear, draws[..., 1 + len(place) :]], axis=-1)
