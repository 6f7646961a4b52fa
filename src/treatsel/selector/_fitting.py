"""Fit the model of one outcome to all patients, of whom some have lost it."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from treatsel._checks import FloatArray
from treatsel._stats.folds import balanced_folds
from treatsel.errors import InputError
from treatsel.model_selection import Folds, held_out_predictions
from treatsel.models import DeltaAdjustedClassifier, DropoutMixture, ImputedClassifier, fit_resample
from treatsel.models.hierarchical import SitedClassifier
from treatsel.selector._fit import arguments_of, fit_model, knows
from treatsel.selector._lost import dropout_column

# Completed tables of a model fitted without a fold: its predictions need no interval.
CROSS_FITTED_IMPUTATIONS = 2


@dataclass(frozen=True, eq=False, repr=False)
class PatientData:
    """Covariates and arm of all patients, the outcome (0, 1 or NaN), its score, sites and therapists.

    `clusters`: whose patients are in the same fold.
    """

    X: pd.DataFrame
    y: pd.Series
    score: pd.Series | None
    groups: pd.Series | None
    therapists: pd.Series | None
    clusters: pd.Series | None
    arm: str

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Whether each patient's outcome was observed."""
        return self.y.notna().to_numpy()

    @property
    def target(self) -> FloatArray:
        """The observed outcomes."""
        return self.y[self.seen].to_numpy(dtype=float)

    @property
    def sites(self) -> pd.Series | None:
        """Sites of the observed patients."""
        return None if self.groups is None else self.groups[self.seen]

    @property
    def seen_clusters(self) -> pd.Series | None:
        """Clusters of the observed patients."""
        return None if self.clusters is None else self.clusters[self.seen]

    @property
    def known_score(self) -> FloatArray | None:
        """The score of the observed patients."""
        return None if self.score is None else self.score[self.seen].to_numpy(dtype=float)

    @property
    def passed(self) -> dict[str, FloatArray]:
        """The score of all patients as an argument of a model's `fit`, if there is one."""
        return {} if self.score is None else {"score": self.score.to_numpy(dtype=float)}

    def take(self, rows: npt.NDArray[np.intp]) -> "PatientData":
        """Return some of the patients, by position."""

        def of(column: pd.Series | None) -> pd.Series | None:
            return None if column is None else column.iloc[rows]

        others = of(self.score), of(self.groups), of(self.therapists), of(self.clusters)
        return PatientData(self.X.iloc[rows], self.y.iloc[rows], *others, self.arm)

    def table(self, model: Any) -> pd.DataFrame:
        """Return covariates and arm, and site and therapist if the model has effects of them."""
        given = {"groups": self.groups, "therapists": self.therapists}
        added = {str(c.name): c for name, c in given.items() if c is not None and knows(model, name)}
        return self.X.assign(**added) if added else self.X


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What a model does with lost outcomes.

    `average_over`: a 0/1 process column over which predictions are averaged, or None; `imputes`: whether they
    are imputed from process columns.
    """

    average_over: str | None = None
    imputes: bool = False

    @classmethod
    def of(
        cls, unfitted: Any, process: pd.DataFrame, y: pd.Series, received: pd.Series, *, imputes: bool
    ) -> Self:
        """Decide by the model and the columns; `imputes`: whether interim scores were given for this."""
        knows_sites = isinstance(unfitted, SitedClassifier)
        if y.notna().all():
            return cls()
        if imputes and not knows_sites:
            raise InputError(
                'interim scores in missing need estimator "auto", "hierarchical" or "stacked". Choose one of '
                "these, or leave interim out."
            )
        if imputes:
            return cls(imputes=True)
        return cls(average_over=dropout_column(process, y, received) if knows_sites else None)

    @property
    def uses_process(self) -> bool:
        """Whether the model uses columns observed after the start."""
        return self.imputes or self.average_over is not None

    @property
    def text(self) -> str:
        """The treatment as the end of a sentence."""
        if self.imputes:
            return ", and imputes the lost outcomes"
        averaged = f" with and without {self.average_over!r}, and averages over it"
        return "" if self.average_over is None else averaged

    def fit(
        self,
        data: PatientData,
        unfitted: Any,
        process: pd.DataFrame,
        folds: Folds,
        seed: int,
        n_jobs: int | None,
    ) -> tuple[Any, pd.DataFrame]:
        """Fit the model; return its cross-fitted predictions for all patients as well.

        `folds`: of the patients whose outcome was observed.
        """
        model = self.model(data, unfitted, process, seed)
        if self.imputes:
            return model, _held_out_imputed(data, model, process, seed, n_jobs)
        if self.average_over is not None:
            return model, _held_out_mixture(data, model, process[self.average_over], seed, n_jobs)
        return model, _held_out(data, model, folds, n_jobs)

    def model(
        self,
        data: PatientData,
        unfitted: Any,
        process: pd.DataFrame,
        seed: int,
        counts: FloatArray | None = None,
    ) -> Any:
        """Fit the model alone; `counts`: how often each patient is in a resample, None: once."""
        weights: dict[str, Any] = {} if counts is None else {"sample_weight": counts}
        table, y = data.table(unfitted), data.y.to_numpy(dtype=float)
        if self.imputes:
            names = [str(name) for name in process]
            imputed = ImputedClassifier(unfitted, arm=data.arm, auxiliary=names, random_state=seed)
            return imputed.fit(table.join(process), y, **data.passed, **weights)
        if self.average_over is not None:
            name = self.average_over
            table = table.assign(**{name: process[name].to_numpy(dtype=float)})
            mixture = DropoutMixture(unfitted, arm=data.arm, process=name)
            return mixture.fit(table, y, **data.passed, **weights)
        seen, passed = data.seen, arguments_of(unfitted, data.known_score)
        if counts is not None:
            return fit_resample(unfitted, table[seen], data.target, counts[seen], data.sites, **passed)
        return fit_model(unfitted, table[seen], data.target, data.sites, **passed)


def _held_out(data: PatientData, model: Any, folds: Folds, n_jobs: int | None) -> pd.DataFrame:
    """Return cross-fitted predictions, for all patients, of a model of the observed ones."""
    seen, table = data.seen, data.table(model)
    by_arm: pd.DataFrame | None = getattr(model, "cross_fitted_", None)
    if by_arm is None:
        passed = arguments_of(model, data.known_score)
        by_arm = held_out_predictions(model, table[seen], data.target, folds, n_jobs=n_jobs, **passed)
    if not seen.all():
        by_arm = pd.concat([by_arm, model.predict_by_arm(data.X[~seen])]).loc[data.X.index]
    return by_arm


def _held_out_mixture(
    data: PatientData, model: DropoutMixture, dropout: pd.Series, seed: int, n_jobs: int | None
) -> pd.DataFrame:
    """Return cross-fitted predictions, for all patients, of a model averaged over dropout."""
    name = str(dropout.name)
    table = data.table(model).assign(**{name: dropout.to_numpy(dtype=float)})
    y = data.y.to_numpy(dtype=float)
    folds = balanced_folds(
        data.X[data.arm], 2 * dropout.to_numpy() + np.nan_to_num(y), groups=data.clusters, random_state=seed
    )
    if not hasattr(model.outcome_, "cross_fitted_"):
        return held_out_predictions(model, table, y, folds, n_jobs=n_jobs, **data.passed)
    # the parts of a stack were fitted without each fold already
    others = table.drop(columns=name)
    chance = held_out_predictions(model.dropout_, others, dropout.to_numpy(), folds, n_jobs=n_jobs)
    each = []
    for value, held_out in enumerate(model.outcome_._cross_fitted_views):
        rest = model.outcome_.predict_by_arm(table[~data.seen].assign(**{name: float(value)}))
        each.append(pd.concat([held_out, rest]).loc[table.index][list(chance.columns)])
    cross_fitted: pd.DataFrame = (1 - chance) * each[0] + chance * each[1]
    return cross_fitted


def _held_out_imputed(
    data: PatientData, model: ImputedClassifier, process: pd.DataFrame, seed: int, n_jobs: int | None
) -> pd.DataFrame:
    """Return cross-fitted predictions, for all patients, of a model of completed tables."""
    table, y = data.table(model).join(process), data.y.to_numpy(dtype=float)
    held_out = [one.cross_fitted_ for one in model.completed_ if hasattr(one, "cross_fitted_")]
    if held_out:  # the parts of a stack were fitted without each fold already
        mean = np.mean([one.to_numpy() for one in held_out], axis=0)
        return pd.DataFrame(mean, table.index, held_out[0].columns)
    strata = np.where(np.isnan(y), 2, y)
    folds = balanced_folds(data.X[data.arm], strata, groups=data.clusters, random_state=seed)
    fewer = clone(model).set_params(n_imputations=CROSS_FITTED_IMPUTATIONS)
    return held_out_predictions(fewer, table, y, folds, n_jobs=n_jobs, **data.passed)


def shifted(data: PatientData, model: Any, process: pd.DataFrame, shift: float) -> tuple[Any, pd.DataFrame]:
    """Return the model in which lost outcomes differ by a shift, and what it adds to the probabilities."""
    table = whole = data.table(model)
    if isinstance(model, ImputedClassifier):
        adjusted = clone(model).set_params(shift=shift)
        adjusted.fit(table.join(process), data.y.to_numpy(dtype=float), **data.passed)
    else:
        if isinstance(model, DropoutMixture):
            whole = table.assign(**{model.process: process[model.process].to_numpy(dtype=float)})
        adjusted = DeltaAdjustedClassifier(model, shift=shift, arm=data.arm).fit(whole, ~data.seen)
    return adjusted, adjusted.predict_by_arm(table) - model.predict_by_arm(table)
