"""Estimates of one subgroup, with standard errors on the scale of the heterogeneity test."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from treatsel._checks import FloatArray, count_of
from treatsel._measures import MEASURES, labels_of
from treatsel._stats.by_arm_tables import share_of_arm
from treatsel._stats.vectors import effective_size
from treatsel._stats.weights import Weights
from treatsel.metrics import (
    arm_means,
    brier_score,
    calibration_groups,
    calibration_in_the_large,
    calibration_slope,
    gain_over_best_arm,
    observed_expected_ratio,
    within_arm_auc,
)

# Events, and non-events, below which measures that need outcomes are not estimated (see `parts._part`).
MIN_EVENTS = 10
RECOMMENDED, GAIN = MEASURES["recommended"].label, MEASURES["gain"].label
WITHOUT_OUTCOMES = (
    *labels_of("base_rate", "mean_prediction").values(),
    RECOMMENDED,
)  # estimable whatever the number of events
NAN = float("nan")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An estimate with its interval, and with its standard error on the scale of comparison."""

    value: float
    lower: float = NAN
    upper: float = NAN
    method: str
    scale: str
    scaled: float = NAN
    se: float = NAN


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Patients:
    """Outcomes, predictions, arms and scores of a group of patients."""

    y: FloatArray
    p: FloatArray
    received: Any
    weights: Weights
    scores: pd.DataFrame | None
    recommended: pd.DataFrame | None
    comparator: Any
    level: float

    def take(self, rows: Mask) -> "Patients":
        """Return the patients for whom `rows` is true."""
        return Patients(
            y=self.y[rows],
            p=self.p[rows],
            received=self.received[rows],
            weights=self.weights.subset(rows),
            scores=None if self.scores is None else self.scores.loc[rows],
            recommended=None if self.recommended is None else self.recommended.loc[rows],
            comparator=self.comparator[rows] if isinstance(self.comparator, pd.Series) else self.comparator,
            level=self.level,
        )

    @property
    def n(self) -> float:
        """Number of patients."""
        return float(self.weights.count())

    @property
    def events(self) -> float:
        """Number of patients with outcome 1."""
        return float(self.weights.count(self.y))

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments that all metrics take."""
        return {"sample_weight": self.weights.values, "weights_are": self.weights.kind, "level": self.level}


Compute = Callable[[Patients], Figure]


def plan_of(names: list[str], patients: Patients) -> Iterator[tuple[str, Compute]]:
    """Yield each measure with its function; each recommended arm is a measure."""
    for name in names:
        if name != RECOMMENDED:
            yield name, COMPUTED[name]
            continue
        rule = patients.recommended
        for arm in () if rule is None else sorted(rule.columns[rule.any()], key=str):
            yield f"{RECOMMENDED} {arm}", partial(_share_recommended, arm=arm)


def figure_of(patients: Patients, measure: str, compute: Compute) -> Figure:
    """Return an estimate, or the reason why there is none."""
    events, others = patients.events, patients.n - patients.events
    if min(events, others) < MIN_EVENTS and not measure.startswith(WITHOUT_OUTCOMES):
        found = f"{count_of(round(events), 'event')} and {count_of(round(others), 'non-event')}"
        reason = f"not estimable: {found}; at least {MIN_EVENTS} of each are needed"
        return Figure(value=NAN, method=reason, scale="")
    return compute(patients)


def _proportion(indicator: FloatArray, patients: Patients) -> Figure:
    """Return a proportion with Wilson's interval: `calibration_groups` with a single bin."""
    weights = patients.weights
    size = effective_size(weights.values) if weights.sampling else patients.n
    row = calibration_groups(indicator, patients.p, n_bins=1, **patients.options).iloc[0]
    return Figure(
        value=float(row["observed"]),
        lower=float(row["lower"]),
        upper=float(row["upper"]),
        method=patients.weights.method("Wilson"),
        scale="arcsine of the square root",
        scaled=math.asin(math.sqrt(row["observed"])),
        se=0.5 / math.sqrt(size),  # variance-stabilizing: also usable at proportions of 0 and 1
    )


def _base_rate(patients: Patients) -> Figure:
    return _proportion(patients.y, patients)


def _share_recommended(patients: Patients, *, arm: Any) -> Figure:
    return _proportion(share_of_arm(patients.recommended, arm), patients)


def _mean_prediction(patients: Patients) -> Figure:
    return _estimated(next(arm_means(pd.DataFrame({"mean": patients.p}), **patients.options).itertuples()))


def _auc(patients: Patients) -> Figure:
    found = within_arm_auc(patients.y, patients.p, patients.received, interval="logit", **patients.options)
    return _estimated(found, "logit", special.logit)


def _in_the_large(patients: Patients) -> Figure:
    return _estimated(calibration_in_the_large(patients.y, patients.p, **patients.options))


def _slope(patients: Patients) -> Figure:
    return _estimated(calibration_slope(patients.y, patients.p, **patients.options))


def _ratio(patients: Patients) -> Figure:
    return _estimated(observed_expected_ratio(patients.y, patients.p, **patients.options), "log", np.log)


def _brier(patients: Patients) -> Figure:
    return _estimated(brier_score(patients.y, patients.p, **patients.options))


def _gain(patients: Patients) -> Figure:
    scores: Any = patients.scores
    rule: Any = patients.recommended
    found = gain_over_best_arm(scores, rule, comparator=patients.comparator, **patients.options)
    return _estimated(found)


def _estimated(found: Any, scale: str = "identity", transform: Callable[[Any], Any] = float) -> Figure:
    """Return an estimate whose standard error is on the scale of `transform`."""
    usable = math.isfinite(found.value) and math.isfinite(found.se) and found.se > 0
    return Figure(
        value=float(found.value),
        lower=float(found.lower),
        upper=float(found.upper),
        method=str(found.method),
        scale=scale,
        scaled=float(transform(found.value)) if usable else NAN,
        se=float(found.se) if usable else NAN,
    )


COMPUTED: dict[str, Compute] = {
    MEASURES["base_rate"].label: _base_rate,
    MEASURES["mean_prediction"].label: _mean_prediction,
    MEASURES["within_arm_auc"].label: _auc,
    MEASURES["calibration_in_the_large"].label: _in_the_large,
    MEASURES["calibration_slope"].label: _slope,
    MEASURES["observed_expected"].label: _ratio,
    MEASURES["brier_score"].label: _brier,
    GAIN: _gain,
    RECOMMENDED: _base_rate,  # replaced by one measure for each arm: see `plan_of`
}
