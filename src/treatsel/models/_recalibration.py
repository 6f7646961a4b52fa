"""Recalibration of logits, logit' = shift_k + slope x logit, by maximum likelihood."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._stats.logistic import LogisticFit, maximize
from treatsel.additive import AdditiveModel, Encoding, SiteEffects, score_trees
from treatsel.models._posterior import N_DRAWS

Method = Literal["none", "intercept", "slope", "per_arm", "refit"]
METHODS: tuple[Method, ...] = ("none", "intercept", "slope", "per_arm", "refit")
Codes = npt.NDArray[np.intp]
FEWEST_AT_SITE = 2 * SMALLEST_GROUP  # patients, as for the sites that a fitted model knows


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Recalibration:
    """A fitted recalibration: logit' = shift_k + slope x logit.

    `design`: design matrix of the patients to whom it was fitted, shape (n_patients, n_free), for the free
    parameters (shifts, then the slope); `information`: weight x variance of their outcomes.
    """

    method: Method
    shift: FloatArray
    slope: float
    best: LogisticFit
    design: FloatArray
    information: FloatArray
    codes: Codes

    @property
    def n_parameters(self) -> int:
        """Number of parameters estimated."""
        return self.best.rank

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood, or its supremum if there is no finite estimate."""
        return self.best.log_likelihood

    @property
    def problem(self) -> str | None:
        """Reason why there is no finite estimate, or None."""
        if self.best.rank < self.design.shape[1]:
            return "the predictions are all equal, or an arm has no patients; choose 'intercept'."
        if not self.best.exists:
            return "the outcome has one class only, or the predictions separate its classes perfectly."
        return None

    def without_patients(self) -> "Recalibration":
        """Return the recalibration without data of single patients."""
        empty = np.empty(0)
        return replace(
            self, design=np.empty((0, self.design.shape[1])), information=empty, codes=empty.astype(np.intp)
        )

    def apply(self, logits: FloatArray) -> FloatArray:
        """Return recalibrated logits, shape (n_patients, n_arms)."""
        return self.shift + self.slope * logits

    def apply_to(self, model: AdditiveModel, covariates: Any) -> AdditiveModel:
        """Return the recalibrated model; `covariates` are those of the patients to whom this was fitted.

        Of the known sites, those with 10 of these patients or more stay known: of the level of the others
        these patients say nothing, so that they are predicted as new sites. Levels of a score are dropped.
        """
        draws, sites = model.coefficient_draws, self._kept_sites(model, covariates)
        if draws is not None and self.n_parameters:
            change = self._changes(model, draws, covariates)
            draws = self._moved(model, draws, change)
            if sites is not None and sites.draws is not None:
                effects = sites.intercept - model.intercept
                own = self.slope * sites.draws + self._stretch(change) * effects
                sites = replace(sites, draws=own.astype(sites.draws.dtype))
        if sites is not None:
            sites = replace(
                sites,
                intercept=self.shift + self.slope * sites.intercept,
                coefficients=self.slope * sites.coefficients,
            )
        return AdditiveModel(
            encoding=model.encoding,
            arms_=model.arms_,
            intercept=self.shift + self.slope * model.intercept,
            coefficients=self.slope * model.coefficients,
            trees=model.trees,
            mixing=None if model.mixing is None else self.slope * model.mixing,
            coefficient_draws=draws,
            sites=sites,
        )

    def _kept_sites(self, model: AdditiveModel, covariates: Any) -> SiteEffects | None:
        """Return the known sites of `FEWEST_AT_SITE` of these patients or more; None if there is none."""
        numbers = model.sites_of(covariates, "known")
        if numbers is None or model.sites is None:
            return None
        counts = np.bincount(numbers[numbers >= 0], minlength=len(model.sites.labels))
        labels = [label for label, n in zip(model.sites.labels, counts, strict=False) if n >= FEWEST_AT_SITE]
        return model.sites.only(labels) if labels else None

    def _changes(self, model: AdditiveModel, draws: FloatArray, covariates: Any) -> FloatArray:
        """Return what each draw adds to the free parameters, shape (n_draws, n_free).

        For each draw of the model, the recalibration would have been different. To first order, it removes
        the projection of the draw's deviation, in the patients of the recalibration, onto the space of shifts
        and slope: quantities that these patients determine (such as the level of their site) no longer vary
        between draws. A draw from the sampling distribution of the recalibration is added.
        """
        scaled = self.design * self.information[:, None]
        inverse = np.linalg.pinv(scaled.T @ self.design)
        projection = self._projection(model, covariates, scaled)
        taken = np.einsum("dkp,fkp->df", draws.astype(np.float64) - _terms(model), projection)
        numbers = model.sites_of(covariates, "known")
        if numbers is not None and model.sites is not None and model.sites.draws is not None:
            at = np.flatnonzero(numbers >= 0)
            cells = np.zeros((*model.sites.intercept.shape, scaled.shape[1]))  # by site, arm, parameter
            np.add.at(cells, (numbers[at], self.codes[at]), scaled[at])
            deviations = model.sites.draws - (model.sites.intercept - model.intercept)
            taken += np.einsum("dsk,skf->df", deviations, cells)
        noise = draw_normal(self.best.root, len(draws))
        return np.asarray(noise - self.slope * (taken @ inverse.T))

    def _moved(self, model: AdditiveModel, draws: FloatArray, change: FloatArray) -> FloatArray:
        """Return the model's draws, recalibrated."""
        n_shifts = self.design.shape[1] - (self.method != "intercept")
        result = self.slope * draws.astype(np.float64)
        result[:, :, 0] += self.shift + change[:, :n_shifts]
        result += self._stretch(change) * _terms(model)
        return np.asarray(result, dtype=draws.dtype)

    def _stretch(self, change: FloatArray) -> FloatArray:
        """Return what each draw adds to the slope, shape (n_draws, 1, 1); 0 if the slope is fixed."""
        column = np.zeros(len(change)) if self.method == "intercept" else change[:, -1]
        return np.asarray(column[:, None, None])

    def _projection(self, model: AdditiveModel, covariates: Any, scaled: FloatArray) -> FloatArray:
        """Return weighted sums of the patients' terms by arm, shape (n_free, n_arms, n_terms)."""
        matrix = model.encoding.encode(covariates)
        columns = [np.ones(len(matrix)), np.where(np.isnan(matrix), 0.0, matrix)]
        if model.trees is not None:
            columns.append(score_trees(model.trees, matrix))
        terms = np.column_stack(columns)
        by_arm = [scaled[self.codes == k].T @ terms[self.codes == k] for k in range(len(model.arms_))]
        return np.stack(by_arm, axis=1)


def _terms(model: AdditiveModel) -> FloatArray:
    """Return intercept, coefficients and mixing in the order of the draws, shape (n_arms, n_terms)."""
    parts = [model.intercept[:, None], model.coefficients]
    return np.concatenate(parts if model.mixing is None else [*parts, model.mixing], axis=1)


def learn_recalibration(
    method: Method, logits: FloatArray, codes: Codes, outcome: FloatArray, weights: FloatArray
) -> Recalibration:
    """Fit a recalibration (any method but "refit") of by-arm logits to the outcomes under the received arms.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    logits : ndarray of shape (n_patients, n_arms)
        Logits of the model.
    codes : ndarray of shape (n_patients,)
        Column of the received arm.
    outcome, weights : ndarray of shape (n_patients,)
        Outcome, 0 or 1, and weight.
    """
    n, n_arms = logits.shape
    own = logits[np.arange(n), codes]
    design, offset = {
        "none": (np.empty((n, 0)), own),
        "intercept": (np.ones((n, 1)), own),
        "slope": (np.column_stack([np.ones(n), own]), np.zeros(n)),
        "per_arm": (np.column_stack([np.eye(n_arms)[codes], own]), np.zeros(n)),
    }[method]
    best = maximize(design, outcome, weights, offset)
    found, fixed = best.coefficients, method in ("none", "intercept")
    shifts = found if fixed else found[:-1]
    shift = np.zeros(n_arms) + (shifts if len(shifts) else 0.0)
    if method == "per_arm":
        shift[np.bincount(codes, minlength=n_arms) == 0] = np.nan
    probability = expit(offset + design @ found)
    return Recalibration(
        method=method,
        shift=shift,
        slope=1.0 if fixed else float(found[-1]),
        best=best,
        design=design,
        information=weights * probability * (1 - probability),
        codes=codes,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Refit:
    """An unpenalized logistic regression in each arm, on the encoded covariates."""

    encoding: Encoding
    by_arm: list[LogisticFit]

    @classmethod
    def learn(
        cls, covariates: Any, codes: Codes, outcome: FloatArray, weights: FloatArray, *, n_arms: int
    ) -> "Refit":
        """Fit one regression in each arm, equivalent to one with all arm-by-covariate interactions."""
        encoding = Encoding.of_cohort(covariates, weights, native_missing=False)
        design = np.column_stack([np.ones(len(codes)), encoding.encode(covariates)])
        arms = [codes == k for k in range(n_arms)]
        return cls(
            encoding=encoding,
            by_arm=[maximize(design[rows], outcome[rows], weights[rows]) for rows in arms],
        )

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood, or its supremum if there is no finite estimate."""
        return float(sum(best.log_likelihood for best in self.by_arm))

    @property
    def n_parameters(self) -> int:
        """Number of parameters estimated."""
        return sum(best.rank for best in self.by_arm)

    @property
    def problem(self) -> str | None:
        """Reason why there is no finite estimate, or None."""
        if not all(best.rank for best in self.by_arm):
            return "an arm has no patients."
        if all(best.exists for best in self.by_arm):
            return None
        return "in an arm, the covariates separate the classes of the outcome perfectly."

    def additive(self, arms: np.ndarray) -> AdditiveModel:
        """Return the regressions as one model."""
        found = np.array(
            [best.coefficients if best.rank else best.coefficients * np.nan for best in self.by_arm]
        )
        draws = [b.coefficients + draw_normal(b.root, N_DRAWS, stream=k) for k, b in enumerate(self.by_arm)]
        return AdditiveModel(
            encoding=self.encoding,
            arms_=arms,
            intercept=found[:, 0],
            coefficients=found[:, 1:],
            coefficient_draws=np.stack(draws, axis=1),
        )


def draw_normal(root: FloatArray, n_draws: int, *, stream: int = 0) -> FloatArray:
    """Return normal draws around 0, shape (n_draws, n_terms), in antithetic pairs."""
    half = np.random.default_rng([6, stream]).standard_normal((-(-n_draws // 2), root.shape[1]))
    return np.asarray(np.concatenate([half, -half])[:n_draws] @ root.T)
