"""The figures of one group of patients, each with its standard error on the scale it is compared on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from treatsel._checks import FloatArray
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

FEWEST = 10  # events, and non-events, below which a figure that needs outcomes is not estimable
SENT = "recommended"
FREE = ("base rate", "mean prediction", SENT)  # tell who is there: they need no number of events
NAN = float("nan")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its interval, and the estimate and standard error on the scale it is compared on."""

    value: float
    lower: float = NAN
    upper: float = NAN
    method: str
    scale: str
    scaled: float = NAN
    se: float = NAN


@dataclass(frozen=True, kw_only=True, eq=False)
class Patients:
    """Columns of some patients."""

    y: FloatArray
    p: FloatArray
    received: Any
    weight: FloatArray
    scores: pd.DataFrame | None
    recommended: Any
    best_arm: Any
    level: float

    def take(self, rows: Mask) -> "Patients":
        """Return those for whom `rows` is true."""
        return Patients(
            y=self.y[rows],
            p=self.p[rows],
            received=self.received[rows],
            weight=self.weight[rows],
            scores=None if self.scores is None else self.scores.loc[rows],
            recommended=None if self.recommended is None else self.recommended[rows],
            best_arm=self.best_arm,
            level=self.level,
        )

    @property
    def n(self) -> float:
        """Number of patients."""
        return float(self.weight.sum())

    @property
    def events(self) -> float:
        """Number of patients with remission."""
        return float(self.weight @ self.y)

    @property
    def options(self) -> dict[str, Any]:
        """What every metric takes."""
        return {"sample_weight": self.weight, "level": self.level}


Compute = Callable[[Patients], Figure]


def plan_of(names: list[str], patients: Patients) -> Iterator[tuple[str, Compute]]:
    """Give each measure with its function; recommended arms are a measure each."""
    for name in names:
        if name != SENT:
            yield name, MEASURES[name]
            continue
        for arm in sorted(pd.unique(patients.recommended), key=str):
            yield f"{SENT} {arm}", partial(_share_sent, arm=arm)


def figure_of(patients: Patients, measure: str, compute: Compute) -> Figure:
    """Return a figure, or why there is none."""
    events, others = patients.events, patients.n - patients.events
    if min(events, others) < FEWEST and not measure.startswith(FREE):
        found = f"{round(events)} events and {round(others)} non-events"
        reason = f"not estimable: {found}; at least {FEWEST} of each are needed"
        return Figure(value=NAN, method=reason, scale="")
    return compute(patients)


def _proportion(indicator: FloatArray, patients: Patients) -> Figure:
    """Return a share with Wilson's interval: one group of `calibration_groups`."""
    row = calibration_groups(indicator, patients.p, n_bins=1, **patients.options).iloc[0]
    return Figure(
        value=float(row["observed"]),
        lower=float(row["lower"]),
        upper=float(row["upper"]),
        method="Wilson",
        scale="arcsine of the root",
        scaled=math.asin(math.sqrt(row["observed"])),
        se=0.5 / math.sqrt(patients.n),
    )


def _base_rate(patients: Patients) -> Figure:
    return _proportion(patients.y, patients)


def _share_sent(patients: Patients, *, arm: Any) -> Figure:
    return _proportion((patients.recommended == arm).astype(float), patients)


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
    found = gain_over_best_arm(scores, patients.recommended, comparator=patients.best_arm, **patients.options)
    return _estimated(found)


def _estimated(found: Any, scale: str = "as it is", transform: Callable[[Any], Any] = float) -> Figure:
    """Return an estimate whose standard error is on the scale that `transform` leads to."""
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


MEASURES: dict[str, Compute] = {
    "base rate": _base_rate,
    "mean prediction": _mean_prediction,
    "within-arm AUC": _auc,
    "calibration in the large": _in_the_large,
    "calibration slope": _slope,
    "observed / expected": _ratio,
    "Brier score": _brier,
    "gain": _gain,
    SENT: _base_rate,  # replaced by one measure for each arm: see `plan_of`
}
