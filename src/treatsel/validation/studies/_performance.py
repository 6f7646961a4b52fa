"""Performance of predictions in one set of patients, as plain numbers for the bootstrap."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from treatsel._checks import FloatArray
from treatsel._stats.logits import clipped
from treatsel._stats.ties import best_shares
from treatsel.metrics import (
    brier_score,
    calibration_in_the_large,
    logistic_recalibration,
    nagelkerke_r2,
    roc_auc,
    within_arm_auc,
)

PERFORMANCE = (
    "auc",
    "within_arm_auc",
    "brier_score",
    "nagelkerke_r2",
    "nagelkerke_r2_recalibrated",
    "calibration_in_the_large",
    "calibration_intercept",
    "calibration_slope",
    "gain",
)
Numbers = dict[str, float]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Patients:
    """Covariates (with the arm column), outcomes, weights and probabilities of receiving each arm.

    `codes`: position of the received arm among the columns of `propensity`. `good`: whether 1 is the good
    outcome; None: not stated, so that there is no gain.
    """

    X: pd.DataFrame
    y: FloatArray
    codes: npt.NDArray[np.intp]
    weight: FloatArray | None
    propensity: pd.DataFrame
    clusters: npt.NDArray[np.object_] | None = None
    good: bool | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)

    def take(self, rows: npt.NDArray[np.intp], *, weighted: bool = True) -> "Patients":
        """Return these rows with a new index; a row may occur more than once."""
        return Patients(
            X=self.X.iloc[rows].reset_index(drop=True),
            y=self.y[rows],
            codes=self.codes[rows],
            weight=self.weight[rows] if weighted and self.weight is not None else None,
            propensity=self.propensity.iloc[rows].reset_index(drop=True),
            clusters=None if self.clusters is None else self.clusters[rows],
            good=self.good,
        )

    def fit(self, model: Any) -> Any:
        """Return the model fitted to these patients; of a search, the best model."""
        passed = {} if self.weight is None else {"sample_weight": self.weight}
        fitted = model.fit(self.X, self.y, **passed)
        return getattr(fitted, "best_estimator_", fitted)

    def predict(self, fitted: Any) -> pd.DataFrame:
        """Return the fitted model's by-arm table, columns in the order of `propensity`."""
        table: pd.DataFrame = fitted.predict_by_arm(self.X)
        return table[list(self.propensity.columns)].reset_index(drop=True)


def performance(patients: Patients, table: pd.DataFrame, *, comparator: Any = None) -> Numbers:
    """Return every measure of a by-arm table; NaN where it cannot be estimated.

    `comparator`: the single arm for the gain; None: the arm with the highest mean score in these patients.
    """
    y, p = patients.y, received_probability(patients, table)
    weights: dict[str, Any] = {"sample_weight": patients.weight}
    line = logistic_recalibration(y, p, **weights)
    intercept, slope = line.intercept.value, line.slope.value
    recalibrated = expit(intercept + slope * logit(clipped(p)))
    known = slope == slope
    return prediction_errors(patients, table, comparator=comparator) | {
        "nagelkerke_r2": nagelkerke_r2(y, p, **weights).value,
        "nagelkerke_r2_recalibrated": nagelkerke_r2(y, recalibrated, **weights).value if known else np.nan,
        "calibration_in_the_large": calibration_in_the_large(y, p, **weights).value,
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }


def prediction_errors(patients: Patients, table: pd.DataFrame, *, comparator: Any = None) -> Numbers:
    """Return the measures that have a .632+ estimate."""
    y, p = patients.y, received_probability(patients, table)
    weights: dict[str, Any] = {"sample_weight": patients.weight}
    return {
        "auc": roc_auc(y, p, **weights).value,
        "within_arm_auc": within_arm_auc(y, p, patients.codes, **weights).value,
        "brier_score": brier_score(y, p, **weights).value,
        "gain": gain_of(patients, table, comparator),
    }


def received_probability(patients: Patients, table: pd.DataFrame) -> FloatArray:
    """Return each patient's prediction for the received arm."""
    return np.asarray(table.to_numpy(dtype=float)[np.arange(len(table)), patients.codes])


def gain_of(patients: Patients, table: pd.DataFrame, comparator: Any = None) -> float:
    """Return the rate of the good outcome under the best predicted arm minus that under one arm for all."""
    if len(table.columns) < 2 or patients.good is None:
        return float("nan")
    scores = doubly_robust(patients, table)
    best = best_arm_of(patients, table) if comparator is None else comparator
    position = list(table.columns).index(best)
    own = (best_shares(_benefit(patients, table), position) * scores).sum(axis=1)
    return float(np.average(own - scores[:, position], weights=patients.weight))


def best_arm_of(patients: Patients, table: pd.DataFrame) -> Any:
    """Return the arm with the highest mean doubly robust score."""
    means = np.average(doubly_robust(patients, table), axis=0, weights=patients.weight)
    return table.columns[int(means.argmax())]


def _benefit(patients: Patients, table: pd.DataFrame) -> FloatArray:
    """Return the predicted probability of the good outcome."""
    values = table.to_numpy(dtype=float)
    return 1 - values if patients.good is False else values


def doubly_robust(patients: Patients, table: pd.DataFrame) -> FloatArray:
    """Return the scores of `treatsel.metrics.aipw_scores` for the good outcome, without checks, for speed."""
    scores = _benefit(patients, table).copy()
    own = np.arange(len(table)), patients.codes
    benefit = 1 - patients.y if patients.good is False else patients.y
    scores[own] += (benefit - scores[own]) / patients.propensity.to_numpy(dtype=float)[own]
    return scores


def no_information(patients: Patients, table: pd.DataFrame) -> Numbers:
    """Return the expected measures if predictions and outcomes were independent.

    For the gain: the same number of patients per arm, assigned at random.
    """
    p, weight = received_probability(patients, table), patients.weight
    mean_y, mean_p, mean_p2 = (float(np.average(v, weights=weight)) for v in (patients.y, p, p**2))
    found = {"auc": 0.5, "within_arm_auc": 0.5, "brier_score": mean_y * (1 - 2 * mean_p) + mean_p2}
    if len(table.columns) > 1 and patients.good is not None:
        means = np.average(doubly_robust(patients, table), axis=0, weights=weight)
        shares = best_shares(_benefit(patients, table), int(means.argmax()))
        found["gain"] = float(np.average(shares @ means, weights=weight) - means.max())
    return found
