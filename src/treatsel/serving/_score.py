"""One outcome's model for one patient: probabilities, and draws of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, logistic, logistic_quantiles


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores encoded patients one at a time; what a score needs again and again is computed once.

    Attributes
    ----------
    model : AdditiveModel
        Of one outcome.
    """

    model: AdditiveModel

    def score(self, values: Mapping[str, Any]) -> "Score":
        """Return the score of a patient's clean values."""
        matrix = self.model.encoding.encode_one(values)
        scores = None if self.model.trees is None else self.model.trees.score(matrix)
        probability = logistic(self.model.logit_of(matrix, scores))[0]
        missing = [j for j, name in enumerate(self._names) if _is_missing(values[name])]
        return Score(self, matrix, scores, probability, missing)

    @cached_property
    def _names(self) -> list[str]:
        return self.model.encoding.names

    @cached_property
    def has_draws(self) -> bool:
        """Whether there are draws."""
        return self.model.draws is not None

    @cached_property
    def draws(self) -> FloatArray:
        """Draws of (intercept, terms), shape (n_arms x n_draws, 1 + n_terms): one product for all logits."""
        assert self.model.draws is not None
        n_draws, n_arms, n_terms = self.model.draws.shape
        by_arm = self.model.draws.astype(np.float64).transpose(1, 0, 2)
        return np.ascontiguousarray(by_arm).reshape(n_arms * n_draws, n_terms)

    @cached_property
    def noise(self) -> list[FloatArray]:
        """By source column, what a missing value adds to each logit, shape (n_arms, n_draws)."""
        n_arms, encoding = len(self.model.arms_), self.model.encoding
        draws = self.draws.reshape(n_arms, -1, self.draws.shape[1])
        found = []
        for j in range(len(encoding.columns)):
            noise = encoding.departures(j, draws.shape[1])
            columns = 1 + np.flatnonzero(encoding.sources == j)[: noise.shape[1]]
            found.append(np.einsum("dp,kdp->kd", noise, draws[:, :, columns]))
        return found


@dataclass(frozen=True, eq=False)
class Score:
    """The score of one patient."""

    scorer: Scorer
    matrix: FloatArray
    scores: FloatArray | None
    probability: FloatArray
    missing: list[int]

    @cached_property
    def draws(self) -> FloatArray:
        """Posterior draws of the probabilities, shape (n_draws, n_arms)."""
        return np.asarray(logistic(self._logits).T)

    @cached_property
    def _logits(self) -> FloatArray:
        terms = [np.ones(1), self.matrix[0]] + ([] if self.scores is None else [self.scores[0]])
        # einsum, not a product: BLAS would wake threads of its own, which harms a busy service
        logits = np.einsum("dp,p->d", self.scorer.draws, np.concatenate(terms))
        logits = logits.reshape(len(self.probability), -1)
        for j in self.missing:
            logits += self.scorer.noise[j]
        return np.asarray(logits)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the probabilities, shape (n_arms,) each; NaN where there are no draws."""
        if not self.scorer.has_draws:
            nothing = np.full(len(self.probability), np.nan)
            return nothing, nothing
        low, high = logistic_quantiles(self._logits, [(1 - level) / 2, (1 + level) / 2])
        return low, high


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)
