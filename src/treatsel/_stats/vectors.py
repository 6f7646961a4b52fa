"""Checked vectors: outcomes, scores, weights and labels of the same patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_probability,
    check_same_length,
    check_vector,
    count_of,
)
from treatsel._stats.alignment import check_same_order
from treatsel._stats.weights import Weights, WeightsAre, check_sample_weight
from treatsel.errors import InputError

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True, kw_only=True, repr=False)
class Scored:
    """Outcomes with a score (or probability) and a weight for each patient of positive weight.

    `rows`: their row positions in the input.
    """

    outcome: FloatArray
    score: FloatArray
    weights: Weights
    rows: npt.NDArray[np.intp]

    @property
    def weight(self) -> FloatArray:
        """Weight of each patient."""
        return self.weights.values

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())

    @property
    def events(self) -> float:
        """Sum of the weights of the patients with outcome 1."""
        return float(self.weight @ self.outcome)

    @property
    def n(self) -> int:
        """Number of patients."""
        return self.weights.count()

    @property
    def n_events(self) -> int:
        """Number of patients with outcome 1."""
        return self.weights.count(self.outcome)

    @property
    def has_both(self) -> bool:
        """Whether both classes of the outcome occur."""
        return bool(self.outcome.any() and not self.outcome.all())

    @property
    def prevalence(self) -> float:
        """Share of patients with outcome 1."""
        return self.events / self.total

    def mean(self, values: FloatArray) -> float:
        """Weighted mean of one value per patient."""
        return float(self.weight @ values / self.total)

    def subset(self, mask: npt.NDArray[np.bool_]) -> "Scored":
        """Return the patients for whom `mask` is true."""
        return Scored(
            outcome=self.outcome[mask],
            score=self.score[mask],
            weights=self.weights.subset(mask),
            rows=self.rows[mask],
        )


def check_scored(
    y_true: Any,
    y_score: Any,
    sample_weight: Any,
    *,
    name: str = "y_score",
    weights_are: WeightsAre = "counts",
) -> Scored:
    """Return outcomes with any finite score, without the patients of weight zero."""
    return _combine(y_true, check_vector(name, y_score), y_score, sample_weight, weights_are, name)


def check_predicted(
    y_true: Any, y_prob: Any, sample_weight: Any, *, weights_are: WeightsAre = "counts"
) -> Scored:
    """Return outcomes with probabilities, without the patients of weight zero."""
    probability = check_probability("y_prob", y_prob)
    return _combine(y_true, probability, y_prob, sample_weight, weights_are, "y_prob")


def _combine(
    y_true: Any, score: FloatArray, given: Any, sample_weight: Any, weights_are: WeightsAre, name: str
) -> Scored:
    outcome = check_binary("y_true", y_true)
    check_patients(**{"y_true": y_true, name: given, "sample_weight": sample_weight})
    weights = check_sample_weight(sample_weight, len(outcome), weights_are)
    rows = np.flatnonzero(weights.values > 0)
    return Scored(outcome=outcome[rows], score=score[rows], weights=weights.subset(rows), rows=rows)


def effective_size(weights: FloatArray, counts: FloatArray | float = 1.0) -> float:
    """Return Kish's effective sample size, (sum of w)^2 / sum of w^2; 0 if no weight is above 0.

    Kish (1965), Survey Sampling, section 11.7. `counts`: how many patients have each weight.
    """
    if not (top := float(weights.max(initial=0.0))):
        return 0.0
    scaled = weights / top  # the squares of very large or small weights would overflow or underflow
    return float((counts * scaled).sum() ** 2 / (counts * scaled**2).sum())


def check_patients(**vectors: Any) -> int:
    """Return the number of patients; raise if it is 0, or if lengths or the order of rows differ."""
    given = {name: vector for name, vector in vectors.items() if vector is not None}
    check_same_length(**given)
    if not (n := len(next(iter(given.values())))):
        raise InputError(f"{next(iter(given))} holds no patients; give at least one.")
    check_same_order(**given)
    return n


def check_labels(name: str, values: Any) -> Labels:
    """Return arm (or site) labels as an array of objects without missing values."""
    labels = np.asarray(values, dtype=object)
    if labels.ndim != 1:
        raise InputError(f"{name} must be one-dimensional; it has shape {labels.shape}.")
    if n := int(pd.isna(labels).sum()):
        raise InputError(f"{name} holds {count_of(n, 'missing label')}; leave those patients out.")
    return labels


def codes_of(labels: Labels) -> FloatArray:
    """Return the labels as numbers, one for each distinct label."""
    return np.asarray(pd.factorize(labels)[0], dtype=float)


def ordered_labels(labels: Labels) -> list[Any]:
    """Return the distinct labels in an order that does not depend on the order of the rows."""
    return sorted(pd.unique(labels), key=lambda label: (str(label), str(type(label))))
