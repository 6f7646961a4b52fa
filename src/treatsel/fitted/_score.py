"""Score one record with the model of one outcome: probabilities and their posterior draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.additive import NEW, AdditiveModel, logistic, logistic_quantiles, score_trees, weighted_sum


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores records one at a time; quantities that every score needs are computed once.

    Attributes
    ----------
    model : AdditiveModel
        Model of one outcome.
    compiled : bool
        Whether to use the compiled kernels.
    """

    model: AdditiveModel
    compiled: bool = False

    def score(self, values: Mapping[str, Any], site: Any, service: str) -> "Score":
        """Return the score of a patient's clean values at a site (None: not known)."""
        matrix = self.model.encoding.encode_one(values)
        scores = (
            None
            if self.model.trees is None
            else score_trees(self.model.trees, matrix, compiled=self.compiled)
        )
        number = NEW if self.model.sites is None else self.model.sites.number_of(site, service)
        sites = None if number == NEW else np.array([number])
        probability = logistic(self.model.logit_of(matrix, scores, sites))[0]
        missing = [j for j, name in enumerate(self._names) if _is_missing(values[name])]
        return Score(self, matrix, scores, probability, missing, number)

    @lazy
    def _names(self) -> list[str]:
        return self.model.encoding.names

    @lazy
    def has_posterior_draws(self) -> bool:
        """Whether the model has posterior draws."""
        return self.model.coefficient_draws is not None

    @lazy
    def draws(self) -> np.ndarray:
        """Draws of (intercept, terms), as one matrix that gives the logits of all arms.

        Shape (n_arms x n_draws, 1 + n_terms). If compiled: the transpose, with the stored type, of which only
        the rows of nonzero terms are read.
        """
        assert self.model.coefficient_draws is not None
        by_arm = self.model.coefficient_draws.transpose(1, 0, 2)
        draws = by_arm.reshape(-1, by_arm.shape[2])
        return np.ascontiguousarray(draws.T if self.compiled else draws.astype(np.float64))

    def logits(self, terms: FloatArray) -> FloatArray:
        """Return draws of the logits of a patient's terms, shape (n_arms x n_draws,)."""
        if self.compiled:
            return weighted_sum(self.draws, terms)
        # einsum instead of a BLAS product, which would start threads of its own and slow down a busy service
        return np.asarray(np.einsum("dp,p->d", self.draws, terms))

    @lazy
    def site_draws(self) -> np.ndarray:
        """What a site adds to the draws of the logits, shape (n_sites, n_arms, n_draws)."""
        assert self.model.sites is not None
        assert self.model.sites.draws is not None
        return np.ascontiguousarray(self.model.sites.draws.transpose(1, 2, 0))

    @lazy
    def noise(self) -> list[FloatArray]:
        """Draws of what a missing value adds to each logit, by source column, shape (n_arms, n_draws)."""
        assert self.model.coefficient_draws is not None
        (n_draws, n_arms, _), encoding = self.model.coefficient_draws.shape, self.model.encoding
        draws = (self.draws if self.compiled else self.draws.T).reshape(-1, n_arms, n_draws)
        found = []
        for j in range(len(encoding.columns)):
            noise = encoding.departures(j, n_draws)
            columns = 1 + encoding.starts[j] + np.arange(noise.shape[1])
            found.append(np.einsum("dp,pkd->kd", noise, draws[columns].astype(np.float64)))
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """The score of one patient."""

    scorer: Scorer
    matrix: FloatArray
    scores: FloatArray | None
    probability: FloatArray
    missing: list[int]
    site: int

    @lazy
    def draws(self) -> FloatArray:
        """Posterior draws of the probabilities, shape (n_draws, n_arms)."""
        return np.asarray(logistic(self._logits).T)

    @lazy
    def _logits(self) -> FloatArray:
        terms = [np.ones(1), self.matrix[0]] + ([] if self.scores is None else [self.scores[0]])
        logits = self.scorer.logits(np.concatenate(terms)).reshape(len(self.probability), -1)
        if self.site != NEW:
            logits += self.scorer.site_draws[self.site]
        for j in self.missing:
            logits += self.scorer.noise[j]
        return np.asarray(logits)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the probabilities, shape (n_arms,) each; NaN if there are no draws."""
        if not self.scorer.has_posterior_draws:
            nothing = np.full(len(self.probability), np.nan)
            return nothing, nothing
        levels = [(1 - level) / 2, (1 + level) / 2]
        low, high = logistic_quantiles(self._logits, levels, compiled=self.scorer.compiled)
        return low, high


def _is_missing(value: Any) -> bool:
    return value is None or bool(value != value)
