"""Closed test of model updates: none, intercept, slope, an intercept for each arm, or a refit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import chi2

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_by_arm,
    check_choice,
    check_known_arms,
    check_level,
    check_weights,
)
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel._stats.logits import logits_of
from treatsel._stats.vectors import check_patients
from treatsel.errors import InputError
from treatsel.models import (
    METHODS,
    Method,
    RecalibratedClassifier,
    Recalibration,
    Refit,
    covariates_of,
    learn_recalibration,
    received_arms,
)
from treatsel.models.recalibrated import arms_of, base_logits, names_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModelUpdate(Summarized):
    """Comparison of updates of a model in new patients, and the update chosen by a closed test.

    Attributes
    ----------
    table : DataFrame
        One row for each method: n_parameters (estimated from the new patients), log_likelihood (where there
        is no maximum, its supremum), slope (NaN for "refit"), and problem (why the method has no
        finite estimate; None if it has).
    tests : DataFrame
        One row for each method but the richest ("refit", if it is among the methods), in the order of the
        test: statistic (likelihood ratio of the richest and the method), df, p_value, rejected. With df 0 the
        method has as many parameters as the richest: p_value is NaN and the method is not rejected.
    chosen : str
        The first method that is not rejected; the richest if all are.
    by_arm : dict of str to DataFrame
        By-arm table of each method's predictions for the new patients.
    predictions : DataFrame
        Each method's prediction for the received arm; one column for each method.
    classifier : RecalibratedClassifier or None
        The chosen model, fitted; None if only a by-arm table was given, or the chosen method has no finite
        estimate.
    alpha : float
        Level of the tests.
    n, n_events : int
        Patients, and those with outcome 1.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    chosen: str
    by_arm: dict[str, pd.DataFrame]
    predictions: pd.DataFrame
    classifier: RecalibratedClassifier | None
    alpha: float
    n: int
    n_events: int

    def __repr__(self) -> str:
        """Show the chosen method."""
        return f"ModelUpdate(chosen={self.chosen!r}, n={self.n}, n_events={self.n_events})"

    def to_frame(self) -> pd.DataFrame:
        """Return methods and tests in one table, one row for each method."""
        frame = self.table.join(self.tests)
        return frame.assign(chosen=frame.index == self.chosen)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the gain in log-likelihood of each method over no update.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points.

        Returns
        -------
        matplotlib Axes
        """
        gained = self.table["log_likelihood"] - self.table["log_likelihood"].iloc[0]
        points = pd.DataFrame({"value": gained, "lower": gained, "upper": gained})
        return plots.estimates(
            points, reference=0, xlabel="Gain in log-likelihood over no update", ax=ax, **kwargs
        )


class _Update(NamedTuple):
    """One fitted update and its by-arm table."""

    found: Recalibration | Refit
    by_arm: pd.DataFrame


def update_closed_test(
    model: Any,
    X: pd.DataFrame,
    y: npt.ArrayLike,
    *,
    methods: Sequence[Method] = METHODS,
    alpha: float = 0.05,
    arm: str | None = "arm",
    sample_weight: npt.ArrayLike | None = None,
) -> ModelUpdate:
    """Compare updates of a model in new patients, and choose one by the closed test.

    From the smallest change to the largest, each method is compared with the richest, usually "refit", by a
    likelihood ratio test; the first that is not rejected is chosen. The model is thus changed no more than
    the new patients require, and a valid model is changed with probability at most `alpha`. The published
    sequence is "none", "intercept", "slope", "refit"; "per_arm" (an intercept for each arm and one slope)
    precedes "refit" and preserves this property.

    Parameters
    ----------
    model : fitted model of `treatsel.models`, or DataFrame
        The DataFrame is a by-arm table of predictions, one row for each row of X. For a selector, pass
        ``selector.models_[outcome]``.
    X : DataFrame of shape (n_patients, n_columns)
        New patients: covariates and the arm column. "refit" uses the model's covariates; with a table, all
        columns.
    y : array-like of shape (n_patients,)
        Outcome, 0 or 1. Leave out patients whose outcome was not observed.
    methods : sequence of str, optional
        Two or more of "none", "intercept", "slope", "per_arm", "refit". Without "refit" (where events are
        too few for it), the richest of them is the reference: a misfit that no recalibration mends is then
        not tested. "per_arm" is omitted if there is one arm only.
    alpha : float, default 0.05
        Level of each test.
    arm : str or None, default "arm"
        Column of X that holds the received arm. None: a single arm.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 equals two identical rows.

    Returns
    -------
    ModelUpdate

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, an arm is unknown to the model, or a method is unknown.

    Warns
    -----
    TreatselWarning
        If predictions are 0 or 1 (or within 1e-8 of them): they are replaced by 1e-8 and 1 - 1e-8. (A model
        that is additive on the logit scale has finite logits, which are used unchanged.)

    Notes
    -----
    Patients are treated as independent. "refit" is an unpenalized logistic regression of the outcome on the
    covariates (categories as indicators, a missing value as the mean and an indicator), the arms, and their
    interactions. Its likelihood ratio follows the chi-squared distribution only with about ten events and
    ten non-events for each parameter.

    References
    ----------
    Vergouwe et al. (2017), Statistics in Medicine 36(28), 4529-4539. doi:10.1002/sim.7179

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": rng.normal(40, 12, 400), "arm": rng.choice(["CBT", "SSRI"], 400)})
    >>> logit = pd.DataFrame({"CBT": (X["age"] - 40) / 20, "SSRI": (X["age"] - 40) / 15})
    >>> y = rng.random(400) < expit(logit["CBT"].where(X["arm"] == "CBT", logit["SSRI"]) + 1)
    >>> found = update_closed_test(expit(logit), X, y)  # the outcome is more frequent than predicted
    >>> found.chosen, found.tests["rejected"].tolist()
    ('intercept', [True, False, False, False])
    """
    alpha, chain = check_level(alpha), _checked(methods)
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"X must be a DataFrame with the arm column {arm!r}; it is a {type(X).__name__}.")
    check_patients(X=X, y=y, sample_weight=sample_weight)
    outcome, weights = check_binary("y", y), check_weights("sample_weight", sample_weight, len(X))
    logits, arms, covariates = _read(model, X, arm)
    codes = pd.Index(arms).get_indexer(
        check_known_arms(received_arms(X, arm), arms, fewest_named=SMALLEST_GROUP)
    )
    used = weights > 0
    data = {"codes": codes[used], "outcome": outcome[used], "weights": weights[used]}
    updates: dict[Method, _Update] = {}
    for method in chain:
        if method == "refit":
            refit = Refit.learn(covariates[used], n_arms=len(arms), **data)
            by_arm = refit.additive(arms).predict_by_arm(covariates)
            updates[method] = _Update(refit, by_arm)
        elif method != "per_arm" or len(arms) > 1:
            found = learn_recalibration(method, logits[used], **data)
            by_arm = pd.DataFrame(expit(found.apply(logits)), index=X.index, columns=pd.Index(arms))
            updates[method] = _Update(found, by_arm)
    table = pd.DataFrame([_figures(update.found) for update in updates.values()], index=list(updates))
    tests = _closed_test(table, alpha)
    kept = tests.index[~tests["rejected"]]
    chosen: Method = kept[0] if len(kept) else table.index[-1]
    served = not isinstance(model, pd.DataFrame) and updates[chosen].found.problem is None
    own = np.arange(len(X)), codes
    return ModelUpdate(
        table=table.rename_axis("method"),
        tests=tests.rename_axis("method"),
        chosen=chosen,
        by_arm={name: update.by_arm for name, update in updates.items()},
        predictions=pd.DataFrame({m: u.by_arm.to_numpy()[own] for m, u in updates.items()}, index=X.index),
        classifier=RecalibratedClassifier(model, method=chosen, arm=arm).fit(X, y, weights)
        if served
        else None,
        alpha=alpha,
        n=round(float(weights.sum())),
        n_events=round(float(weights @ outcome)),
    )


def _checked(methods: Sequence[Method]) -> list[Method]:
    """Return the methods from the smallest change to the largest."""
    for method in methods:
        check_choice("A method", method, METHODS)
    if len(set(methods)) < 2:
        raise InputError(f"methods is {list(methods)}; the test needs two methods or more.")
    return [method for method in METHODS if method in methods]


def _read(model: Any, X: pd.DataFrame, arm: str | None) -> tuple[FloatArray, np.ndarray, pd.DataFrame]:
    """Return the model's logits for the patients, its arms, and the covariates for "refit"."""
    if isinstance(model, pd.DataFrame):
        table = check_by_arm("model", model)
        check_patients(X=X, model=table)
        flat = logits_of(table.to_numpy(dtype=float).ravel())
        return flat.reshape(table.shape), table.columns.to_numpy(dtype=object), covariates_of(X, arm)
    arms = np.asarray(arms_of(model), dtype=object)
    logits = base_logits(model, covariates_of(X, arm))
    return logits, arms, X[names_of(model, X, arm)]


def _figures(found: Recalibration | Refit) -> dict[str, Any]:
    slope = found.slope if isinstance(found, Recalibration) else float("nan")
    return {
        "n_parameters": found.n_parameters,
        "log_likelihood": found.log_likelihood,
        "slope": slope,
        "problem": found.problem,
    }


def _closed_test(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    numbers = table[["n_parameters", "log_likelihood"]].astype(float)
    richest, tested = numbers.iloc[-1], numbers.iloc[:-1]
    statistic = 2 * (richest["log_likelihood"] - tested["log_likelihood"])
    df = richest["n_parameters"] - tested["n_parameters"]
    p = np.where(df > 0, chi2.sf(statistic.clip(lower=0), df.clip(lower=1)), np.nan)
    return pd.DataFrame(
        {"statistic": statistic, "df": df.astype(int), "p_value": p, "rejected": p < alpha},
        index=tested.index,
    )
