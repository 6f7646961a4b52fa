"""Shares of events by arm, with the missing outcomes filled in or shifted, and their contrasts."""

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import expit, logit

from treatsel._checks import FloatArray, check_binary, check_choice, check_weights, count_of
from treatsel._stats.estimate import NAN
from treatsel._stats.vectors import check_labels, check_patients, ordered_labels
from treatsel.errors import InputError

Contrast = Literal["difference", "ratio"]


class Share(NamedTuple):
    """A rate, the variance of its estimate, and its denominator."""

    rate: FloatArray
    variance: FloatArray
    n: float


class ArmCount(NamedTuple):
    """Patients, missing outcomes and events of an arm, as sums of weights."""

    name: Any
    n: float
    missing: float
    events: float

    @property
    def observed(self) -> float:
        """Patients with an outcome."""
        return self.n - self.missing

    def filled(self, outcome: float | None) -> Share:
        """Return the share of events with all missing outcomes set to `outcome`; None: among the observed."""
        n = self.observed if outcome is None else self.n
        rate = (self.events + self.missing * (outcome or 0.0)) / n if n else NAN
        return Share(np.asarray(rate), np.asarray(rate * (1 - rate) / n if n else NAN), n)

    def shifted(self, delta: FloatArray) -> tuple[Share, FloatArray]:
        """Return the share of events with missing outcomes shifted on the logit scale, and their own rate.

        Variance by the delta method, from the variances of the observed rate and of the missing share.
        """
        rate, share = self.events / self.observed, self.missing / self.n
        among = expit(logit(rate) + delta)
        slope = 1 - share + share * among * (1 - among) / (rate * (1 - rate))
        variance = slope**2 * rate * (1 - rate) / self.observed
        variance = variance + (among - rate) ** 2 * share * (1 - share) / self.n
        return Share(np.asarray((1 - share) * rate + share * among), np.asarray(variance), self.n), among


def count_arms(y_true: Any, received: Any, sample_weight: Any) -> list[ArmCount]:
    """Return the counts of each arm, in the order of the labels."""
    outcome = check_binary("y_true", y_true, allow_missing=True)
    n = check_patients(y_true=y_true, received=received, sample_weight=sample_weight)
    labels, weight = check_labels("received", received), check_weights("sample_weight", sample_weight, n)
    absent, counts = np.isnan(outcome), []
    for name in ordered_labels(labels[weight > 0]):
        mine = weight * (labels == name)
        totals = (mine.sum(), mine @ absent, mine @ np.nan_to_num(outcome))
        counts.append(ArmCount(name, *map(float, totals)))
    return counts


def contrast_of(a: Share, b: Share, measure: Contrast) -> tuple[FloatArray, FloatArray]:
    """Return the difference of the rates, or of their logs, and its standard error."""
    if measure == "difference":
        return np.asarray(a.rate - b.rate), np.sqrt(a.variance + b.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(a.rate) - np.log(b.rate)
        return np.asarray(value), np.sqrt(a.variance / a.rate**2 + b.variance / b.rate**2)


def _pair(counts: list[ArmCount], arms: tuple[Any, Any]) -> tuple[ArmCount, ArmCount]:
    known = {arm.name: arm for arm in counts}
    if len(arms) != 2 or arms[0] == arms[1]:
        found = count_of(len(arms), "label")
        raise InputError(f"arms holds {found}; give two different ones: (first, second).")
    for arm in arms:
        check_choice("arms", arm, known)
    return known[arms[0]], known[arms[1]]
