"""Cross-validation: out-of-fold predictions under every arm, for any model or selector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from treatsel._checks import FloatArray, as_pandas, check_binary
from treatsel._jobs import results_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.alignment import check_same_order
from treatsel._stats.folds import balanced_folds
from treatsel.cohort import Cohort
from treatsel.errors import InputError

__all__ = ["CrossPredictions", "cross_predict", "cross_predict_cohort"]

WITHOUT_DRAWS = (
    "Rule 'switch' needs posterior draws, which this model has not (trees alone, lasso). Validate rule "
    "'expected', or a logistic regression with a ridge penalty, such as estimator='hierarchical'."
)
Folds = Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CrossPredictions(Summarized):
    """Out-of-fold predictions of a selector.

    Attributes
    ----------
    by_arm : DataFrame of shape (n_patients, n_arms)
        Probability of the outcome under each arm.
    default_arm : Series of shape (n_patients,)
        The best single arm by the patients outside the fold: what the gain is measured against.
    recommended : DataFrame of shape (n_patients, n_arms), or None
        With options of a decision: the share of each arm in what the selector of the other folds recommends.
    """

    by_arm: pd.DataFrame
    default_arm: pd.Series
    recommended: pd.DataFrame | None = None


def cross_predict(
    estimator: Any,
    X: pd.DataFrame,
    y: npt.ArrayLike,
    *,
    arm: str = "arm",
    groups: npt.ArrayLike | None = None,
    n_splits: int = 5,
    sample_weight: npt.ArrayLike | None = None,
    random_state: int | None = 0,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Return out-of-fold predictions: each patient is predicted by a model fitted without the patient's fold.

    All steps of `estimator.fit` are repeated in each fold. The table suits `treatsel.validate` and
    `treatsel.metrics`.

    Parameters
    ----------
    estimator : model or selector
        Anything with `fit(X, y)` and `predict_by_arm(X)`; it is cloned.
    X : DataFrame of shape (n_patients, n_columns)
        Covariates and the arm column.
    y : array-like of shape (n_patients,)
        Outcome, 0 or 1; NaN (not observed) if the estimator accepts it.
    arm : str, default "arm"
        Column of X that holds the received arm.
    groups : array-like of shape (n_patients,), optional
        Site or person of each patient, which stay in one fold.
    n_splits : int, default 5
        Number of folds, each with its share of every arm.
    sample_weight : array-like of shape (n_patients,), optional
        Weights, passed to `fit`.
    random_state : int or None, default 0
        Seed of the folds.
    n_jobs : int, optional
        Number of parallel processes, as in joblib.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        Probabilities, with the index of X.

    Raises
    ------
    InputError
        If lengths or the order of patients differ, or an arm is absent from all but one fold.

    References
    ----------
    Stone (1974), J Royal Statistical Society B 36(2), 111-147. doi:10.1111/j.2517-6161.1974.tb00994.x

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from treatsel.models import PooledClassifier
    >>> X = pd.DataFrame({"age": list(range(20, 60)), "arm": ["CBT", "SSRI"] * 20})
    >>> table = cross_predict(PooledClassifier(LogisticRegression()), X, [0, 1, 1, 0] * 10)
    >>> table.shape
    (40, 2)
    """
    X, y = as_pandas(X), as_pandas(y)
    if not isinstance(X, pd.DataFrame) or arm not in X.columns:
        raise InputError(
            f"X must be a DataFrame with the arm column {arm!r}. For a cohort, give cohort.X and cohort.y, "
            "or use cross_predict_cohort with a selector."
        )
    check_same_order(X=X, y=y, groups=groups, sample_weight=sample_weight)
    outcome = check_binary("y", y, allow_missing=True)
    sites = None if groups is None else pd.Series(np.asarray(groups, dtype=object), X.index)
    folds = _folds(X[arm], sites, n_splits, random_state)
    passed = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight, dtype=float)}
    named = pd.Series(outcome, X.index, name=getattr(y, "name", None))
    return held_out_predictions(estimator, X, named, folds, n_jobs=n_jobs, **passed)


def cross_predict_cohort(
    selector: Any,
    cohort: Cohort,
    outcome: str,
    *,
    decision: Mapping[str, Any] | None = None,
    n_splits: int = 5,
    random_state: int | None = 0,
    n_jobs: int | None = None,
) -> CrossPredictions:
    """Return out-of-fold predictions of an outcome for a cohort, as `cross_predict`.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or not: a clone is fitted to the cohort without each fold.
    cohort : Cohort
        Sites, or else persons with several rows, stay in one fold.
    outcome : str
        Outcome to predict.
    decision : mapping, optional
        Options of `TreatmentSelector.recommend`, such as rule and p_switch: each patient is also recommended
        an arm by the selector of the other folds, which knows this outcome alone.
    n_splits, random_state, n_jobs
        As in `cross_predict`.

    Returns
    -------
    CrossPredictions
        With the index of the cohort.

    Raises
    ------
    InputError
        As in `cross_predict`; also if the rule is "switch" and the model has no posterior draws.
    """
    y = cohort.frame[outcome]
    folds = _folds(cohort.received, cohort.groups, n_splits, random_state)
    unfitted = clone(selector).set_params(codebook=None, arm=str(cohort.codebook.arm))
    stated = {outcome: cohort.codebook[outcome].event_is_good}
    if isinstance(unfitted.event_is_good, dict):
        stated = {outcome: unfitted.event_is_good.get(outcome, stated[outcome])}
        unfitted.set_params(event_is_good=stated)
    if (priors := getattr(unfitted, "priors", None)) is not None:
        main = getattr(selector, "outcomes_", cohort.codebook.outcomes)[0]
        unfitted.set_params(priors=_priors_of(priors, outcome, main))
    calls = [(unfitted, cohort, y, outcome, decision, rest, fold) for rest, fold in folds]
    found = results_of(_cohort_held_out, lambda: calls, n_jobs=n_jobs)
    default = pd.concat([pd.Series([arm] * len(table), table.index, dtype=object) for table, arm, _ in found])
    shares = [own for _, _, own in found if own is not None]
    return CrossPredictions(
        by_arm=_joined([table for table, _, _ in found], cohort.frame.index),
        default_arm=default.loc[cohort.frame.index],
        recommended=_joined(shares, cohort.frame.index) if shares else None,
    )


def _priors_of(priors: Any, outcome: str, main: str) -> Any:
    """Return the priors of one outcome; those that name no outcome are of the main one."""
    if isinstance(priors, Mapping):
        return {outcome: priors[outcome]} if outcome in priors else None
    return priors if outcome == main else None


def _folds(received: pd.Series, groups: pd.Series | None, n_splits: int, random_state: int | None) -> Folds:
    """Divide patients, each fold with its share of every arm.

    Not of every outcome: with outcomes balanced as well, each training set has the arm rates of the whole
    cohort, and the arm that a model prefers there is the one that did best in the held-out patients, too.
    """
    nothing = np.zeros(len(received))
    return balanced_folds(received, nothing, groups=groups, n_splits=n_splits, random_state=random_state)


def held_out_predictions(
    model: Any,
    X: pd.DataFrame,
    y: Any,
    folds: Folds,
    *,
    n_jobs: int | None = None,
    **by_patient: FloatArray,
) -> pd.DataFrame:
    """Return by-arm predictions for each patient from a model fitted without that patient's fold.

    `by_patient`: further arguments of `fit`, such as sample_weight.
    """
    calls = [(model, X, y, by_patient, rest, fold) for rest, fold in folds]
    return _joined(results_of(_held_out, lambda: calls, n_jobs=n_jobs), X.index)


def _held_out(
    model: Any,
    X: pd.DataFrame,
    y: Any,
    by_patient: dict[str, FloatArray],
    rest: npt.NDArray[np.intp],
    fold: npt.NDArray[np.intp],
) -> pd.DataFrame:
    passed = {name: values[rest] for name, values in by_patient.items()}
    part = y.iloc[rest] if isinstance(y, pd.Series) else y[rest]
    table: pd.DataFrame = clone(model).fit(X.iloc[rest], part, **passed).predict_by_arm(X.iloc[fold])
    return table


def _cohort_held_out(
    selector: Any,
    cohort: Cohort,
    y: pd.Series,
    outcome: str,
    decision: Mapping[str, Any] | None,
    rest: npt.NDArray[np.intp],
    fold: npt.NDArray[np.intp],
) -> tuple[pd.DataFrame, Any, pd.DataFrame | None]:
    part, ids = cohort.take(rest), cohort.frame.index[fold]
    fitted = clone(selector).fit(part, y.iloc[rest])
    table: pd.DataFrame = fitted.predict(cohort.X.iloc[fold], on_invalid="flag").by_arm(outcome)
    if decision is None:
        return table.set_axis(ids), fitted.default_arm_, None
    if decision.get("rule") == "switch" and fitted.model_.without_interval([outcome]):
        raise InputError(WITHOUT_DRAWS)
    found = fitted.recommend(cohort.X.iloc[fold], on_invalid="flag", **decision)
    return table.set_axis(ids), fitted.default_arm_, found.shares().set_axis(ids)


def _joined(parts: Sequence[pd.DataFrame], index: "pd.Index[Any]") -> pd.DataFrame:
    arms: list[set[Any]] = [set(part.columns) for part in parts]
    if lacking := sorted(map(str, set.union(*arms) - set.intersection(*arms))):
        raise InputError(
            f"Arms too rare for cross-validation: {lacking}. Without one of the folds, no patient received "
            "them. Merge them with other arms, or leave their patients out."
        )
    joined: pd.DataFrame = pd.concat(parts)[list(parts[0].columns)].loc[index]
    return joined
