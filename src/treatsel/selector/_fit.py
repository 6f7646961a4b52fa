"""Choose, check, fit and cross-fit the model of a selector."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import has_fit_parameter

from treatsel._checks import FloatArray, check_choice, count_of
from treatsel._disclosure import SMALLEST_GROUP, is_small, stated
from treatsel.errors import CohortError, Fault, InputError
from treatsel.models import HierarchicalClassifier, JointDraws, Priors, StackedClassifier

ESTIMATORS = ("auto", "hierarchical", "stacked")


def model_of(
    estimator: Any,
    arm: str,
    groups: str | None,
    therapists: str | None,
    priors: Priors | None,
    keep_therapists: bool,
    joint: JointDraws | None = None,
) -> Any:
    """Return the unfitted model that `estimator` names, with the columns of arm, site and therapist.

    `joint`: random numbers of the draws, for a model whose draws can depend on those of other outcomes.
    """
    if isinstance(estimator, str):
        check_choice("estimator", estimator, ESTIMATORS)
        kind = HierarchicalClassifier if estimator == "hierarchical" else StackedClassifier
        return kind(
            arm=arm,
            groups=groups,
            therapists=therapists,
            priors=priors,
            keep_therapists=keep_therapists,
            joint=joint,
        )
    if priors is not None:
        raise InputError(
            'priors need estimator="auto", "hierarchical" or "stacked"; give them to the model in estimator, '
            "if it has a parameter priors."
        )
    wrapped = estimator.estimator if isinstance(estimator, BaseSearchCV) else estimator
    if isinstance(wrapped, type):
        raise InputError(f"estimator is the class {wrapped.__name__}. Give an instance of it.")
    if not hasattr(wrapped, "predict_by_arm"):
        raise InputError(
            f"estimator is a {type(wrapped).__name__}, which has no predict_by_arm. Wrap it: "
            "PooledClassifier(estimator) or ArmwiseClassifier(estimator)."
        )
    model = clone(estimator)
    given: dict[str, Any] = {"arm": arm, "groups": groups, "therapists": therapists, "joint": joint}
    found = {name: name.rsplit("__", 1)[-1] for name in model.get_params()}
    if keep_therapists:
        if "keep_therapists" not in found.values():
            raise InputError(
                f"keep_therapists=True needs a model with effects of therapists; {type(model).__name__} has "
                'none. Use estimator="auto", "stacked" or "hierarchical".'
            )
        given["keep_therapists"] = True
    own = {name: model.get_params()[name] for name, end in found.items() if end == "groups"}
    if lost := [column for column in own.values() if column not in (None, groups)]:
        raise InputError(f"estimator has groups={lost[0]!r}; give the selector itself groups={lost[0]!r}.")
    return model.set_params(**{name: given[end] for name, end in found.items() if end in given})


def priors_by_outcome(priors: Any, outcomes: list[str]) -> dict[str, Priors]:
    """Return the priors of each outcome that has any; those without an outcome are of the first."""
    if priors is None:
        return {}
    found = {outcomes[0]: priors} if isinstance(priors, Priors) else priors
    if not isinstance(found, Mapping) or not all(isinstance(each, Priors) for each in found.values()):
        raise InputError("priors must be a treatsel.models.Priors, or a mapping of outcome to Priors.")
    for name in found:
        check_choice("An outcome of priors", name, outcomes)
    return dict(found)


def knows(model: Any, parameter: str) -> bool:
    """Whether a model has a parameter that names a column, such as "groups", and therefore needs it."""
    return any(name.rsplit("__", 1)[-1] == parameter for name in model.get_params())


def arguments_of(model: Any, score: FloatArray | None) -> dict[str, FloatArray]:
    """Return the arguments by patient of the model's `fit`: a score, if it learns from one."""
    return {} if score is None or not learns_score(model) else {"score": score}


def learns_score(model: Any) -> bool:
    """Whether a model, or that of a name, learns from the score behind an outcome."""
    return isinstance(model, str) or (
        not isinstance(model, BaseSearchCV) and has_fit_parameter(model, "score")
    )


def fit_model(model: Any, X: pd.DataFrame, y: FloatArray, groups: pd.Series | None, **passed: Any) -> Any:
    """Fit a model; for a search, return the best one. X has the site column if the model has site effects."""
    if not isinstance(model, BaseSearchCV):
        return model.fit(X, y, **passed)
    if not model.refit:
        raise InputError(
            "The search in estimator has refit=False, so there is no best model. Set it to True."
        )
    return model.fit(X, y, groups=groups, **passed).best_estimator_


def check_trainable(X: pd.DataFrame, y: pd.Series, arm: str, arms: list[Any], folds: Any) -> None:
    """Raise if an arm has fewer than 2 events or non-events, or a covariate has values in one fold only."""
    _check_events(X, y, arm, arms)
    _check_spread(X.drop(columns=arm), folds)


def _check_events(X: pd.DataFrame, y: pd.Series, arm: str, arms: list[Any]) -> None:
    events = y.groupby(X[arm]).agg(["count", "sum"]).reindex(arms, fill_value=0)
    n_other = events["count"] - events["sum"]
    few = events[(events["sum"] < 2) | (n_other < 2)]
    if not len(few):
        return
    # a rare arm may be any text of a patient; 0 or 1 events would tell the outcome of its patients
    named = [
        f"{a!r}: {int(n)} observed, fewer than 2 {'events' if e < 2 else 'non-events'}"
        for a, (n, e) in few.iterrows()
        if not is_small(n)
    ]
    rarer = len(few) - len(named)
    found = "; ".join([*named, *([f"{rarer} of fewer than {SMALLEST_GROUP} patients"] if rarer else [])])
    raise InputError(
        f"Outcome {y.name!r} has too few patients in {count_of(len(few), 'arm')} ({found}). Every arm needs "
        "at least 2 events and 2 non-events: merge such arms with others, or leave their patients out."
    )


def _check_spread(covariates: pd.DataFrame, folds: Any) -> None:
    n_folds = sum(covariates.iloc[fold].notna().any().astype(int) for _, fold in folds)
    remedy = "A covariate needs values in several sites and patients; drop the column."
    faults = [
        Fault(
            column=name,
            problem=f"holds {stated(int(covariates[name].notna().sum()), 'value')}, all in one fold",
            remedy=remedy,
        )
        for name in covariates.columns[n_folds < 2]
    ]
    if faults:
        raise CohortError("The model cannot be cross-fitted:", faults)
