"""Scales on which estimates are pooled, and the check of estimates to pool."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy.special import expit, logit

from treatsel._checks import FloatArray, check_same_length, count_of
from treatsel._stats.alignment import check_same_order
from treatsel.errors import InputError

Scale = Literal["identity", "logit", "log"]
BACK: dict[str, Callable[[Any], Any]] = {"identity": lambda x: x, "logit": expit, "log": np.exp}
FORTH: dict[str, Callable[[Any], Any]] = {"identity": lambda x: x, "logit": logit, "log": np.log}
RANGE = {"identity": (-np.inf, np.inf), "logit": (0.0, 1.0), "log": (0.0, np.inf)}


def on_scale(values: Any, scale: Scale) -> FloatArray:
    """Return values on the scale of pooling; infinite or NaN at the ends of its range."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(FORTH[scale](np.asarray(values, dtype=float)), dtype=float)


def _check_estimates(values: Any, se: Any) -> tuple[FloatArray, FloatArray]:
    """Return estimates and standard errors; infinite and missing ones are allowed."""
    try:
        y, error = np.asarray(values, dtype=float), np.asarray(se, dtype=float)
    except (TypeError, ValueError):
        raise InputError("values and se must hold numbers only; NaN where a site has none.") from None
    if y.ndim != 1 or error.ndim != 1:
        raise InputError(f"values and se must be one-dimensional; they have shapes {y.shape}, {error.shape}.")
    check_same_length(values=y, se=error)
    check_same_order(values=values, se=se)
    if negative := int((error < 0).sum()):
        raise InputError(f"se holds {count_of(negative, 'negative value')}; a standard error is 0 or more.")
    return y, error
