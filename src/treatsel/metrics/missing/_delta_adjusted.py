"""Delta-adjusted gain and observed / expected: missing outcomes that are worse than observed ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_by_arm,
    check_choice,
    check_probability,
    check_vector,
)
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import (
    check_received_probability,
    positions_of,
    received_probability,
    shares_of,
)
from treatsel._stats.clustered_means import Mean, Units, check_units, mean_of
from treatsel._stats.logits import logits_of
from treatsel._stats.vectors import check_labels, check_patients
from treatsel.errors import InputError
from treatsel.metrics.missing._shifted_curves import GAIN, shifted_curves

EVERYONE, RECOMMENDED = "all lost patients", "lost patients who received the recommended arm"
RATIO = "observed / expected"
SHIFTS = tuple(np.linspace(-1, 3, 17))
FARTHEST, STEPS = 5.0, 21  # logits within which a change of sign is sought: 5 turn a half into less than 1 %
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DeltaAdjusted(Summarized):
    """Gain, and observed / expected, by how much worse the patients with a lost outcome fared.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns measure ("gain", a difference of proportions, or "observed / expected"), lost (whose outcomes
        are shifted: "all lost patients", or "lost patients who received the recommended arm"), shift (in
        logits; positive: worse), rate_lost (expected outcome rate of all lost patients), value, lower, upper.
    tipping : pandas.DataFrame
        One row per kind of shift: lost; tipping_estimate, the shift nearest to 0 at which the sign of the
        gain changes; tipping_limit, that at which its interval begins to include 0 (0: it does without a
        shift). Infinite: at no shift up to 5 logits in either direction.
    reference : label or None
        The arm under which lost patients are taken to fare, before the shift; None: the arm received.
    n, n_missing : int
        Number of patients, and of those whose outcome is missing.
    level : float
        Confidence level.
    method : str
        Interval of the gain.
    """

    table: pd.DataFrame
    tipping: pd.DataFrame
    reference: Any
    n: int
    n_missing: int
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, measure: str = GAIN, **kwargs: Any) -> Any:
        """Draw the gain, or observed / expected, by the shift.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        measure : {"gain", "observed / expected"}
            Measure to draw.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        check_choice("measure", measure, [GAIN, RATIO])
        return shifted_curves(self.table, self.tipping, measure, self.level, ax, **kwargs)


def delta_adjusted(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    observation: npt.ArrayLike,
    expected: pd.DataFrame | None = None,
    comparator: Any = None,
    reference: Any = None,
    shifts: Sequence[float] = SHIFTS,
    clusters: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> DeltaAdjusted:
    """Gain and observed / expected if patients with a lost outcome fared worse than others like them.

    Pattern-mixture model: with m the probability of the outcome in patients whose outcome was observed, given
    arm, covariates and process data, that of a patient whose outcome was lost is expit(logit m - shift). At a
    shift of 0, outcomes are missing at random given these data. Nothing in the data says how large the shift
    is. It applies to all lost patients, or only to those who received the recommended arm and not the
    comparator, which changes the gain most.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1; NaN: lost.
    received : array-like of shape (n_patients,)
        Arm labels.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, by the model that is evaluated.
    propensity : pandas.DataFrame of shape (n_patients, n_arms)
        Probability of receiving each arm; rows sum to 1.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    observation : array-like of shape (n_patients,)
        Probability, in (0, 1], that the outcome is observed, given arm, covariates and process data.
    expected : pandas.DataFrame of shape (n_patients, n_arms), optional
        m under each arm, columns named by arm. None: `by_arm`, as if process data said nothing more.
    comparator : label, or Series of labels of shape (n_patients,), optional
        The arm to compare with, or one per patient. None: the arm with the highest mean at a shift of 0.
    reference : label, optional
        Reference-based variant: lost patients fare as under this arm ("jump to reference"), whichever they
        received, before the shift is applied. None: as under the arm received.
    shifts : sequence of float
        Shifts in logits in `table`; positive: worse.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, as in `gain_over_best_arm`.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    DeltaAdjusted
        The estimate of the outcome of patient i is y_i, or for a lost patient g(m_i), plus for an observed
        one (1 - o_i) / o_i g'(m_i) (y_i - m_i), with g(m) = expit(logit m - shift) and probability of
        observation o: the efficient influence function, so that errors of m and of o enter only as their
        product. Intervals treat m, o and propensities as known.

    Raises
    ------
    InputError
        If lengths or arms differ, no outcome is missing or all are, a value is outside its range, or an arm
        has no column.

    References
    ----------
    Little (1993), JASA 88(421), 125-134. doi:10.1080/01621459.1993.10594302 (pattern-mixture model)
    Scharfstein, Rotnitzky & Robins (1999), JASA 94(448), 1096-1120. doi:10.1080/01621459.1999.10473862
    Cro et al. (2020), Statistics in Medicine 39(21), 2815-2842. doi:10.1002/sim.8569 (reference-based)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"CBT": rng.uniform(0.3, 0.7, 800), "SSRI": rng.uniform(0.3, 0.7, 800)})
    >>> arm, even = rng.choice(["CBT", "SSRI"], 800), pd.DataFrame({"CBT": [0.5] * 800, "SSRI": [0.5] * 800})
    >>> y = rng.binomial(1, np.where(arm == "CBT", table["CBT"], table["SSRI"])).astype(float)
    >>> y[rng.random(800) < 0.3] = np.nan
    >>> best = table.idxmax(axis=1)
    >>> found = delta_adjusted(y, arm, table, even, best, observation=[0.7] * 800, comparator="CBT")
    >>> ratio = found.table.query("measure == 'observed / expected' and shift in (0, 1)")["value"]
    >>> bool(ratio.iloc[1] < ratio.iloc[0])
    True
    """
    patients = _checked(
        y_true, received, by_arm, propensity, recommended, observation, expected, reference, clusters, level
    )
    patients.compare(comparator)
    grid = check_vector("shifts", list(shifts))
    rows = [
        {"lost": lost, "shift": float(shift), "rate_lost": patients.rate_lost(shift, lost)}
        | {"measure": measure, **_limits(estimate(shift, lost))}
        for measure, lost, estimate in (
            (GAIN, EVERYONE, patients.gain),
            (GAIN, RECOMMENDED, patients.gain),
            (RATIO, EVERYONE, patients.ratio),
        )
        for shift in grid
    ]
    columns = ["measure", "lost", "shift", "rate_lost", "value", "lower", "upper"]
    return DeltaAdjusted(
        table=pd.DataFrame(rows)[columns],
        tipping=pd.DataFrame([patients.tipping(lost) for lost in (EVERYONE, RECOMMENDED)]),
        reference=reference,
        n=patients.units.n,
        n_missing=int(patients.lost.sum()),
        level=patients.units.level,
        method=patients.gain(0.0, EVERYONE).method,
    )


@dataclass(kw_only=True, eq=False, repr=False)
class _Patients:
    """Checked patients; the gain is a mean of `base` + `slope` x (outcome of each patient)."""

    y: FloatArray
    own: FloatArray
    m: FloatArray
    odds_of_loss: FloatArray
    table: FloatArray
    columns: pd.Index
    positions: npt.NDArray[np.intp]
    inverse: FloatArray
    shares: FloatArray
    units: Units
    base: FloatArray = field(init=False)
    slope: FloatArray = field(init=False)
    known: dict[tuple[float, str], Mean] = field(default_factory=dict)  # gains, which two searches need

    def __post_init__(self) -> None:
        """Compute logits once."""
        self.logits = logits_of(self.m)

    @property
    def lost(self) -> npt.NDArray[np.bool_]:
        """Whose outcome is missing."""
        return np.isnan(self.y)

    def compare(self, comparator: Any) -> None:
        """Set the comparator of the gain."""
        rows = np.arange(len(self.y))
        if comparator is None:
            scores = self.table.copy()
            scores[rows, self.positions] += self.inverse * (self.outcome(0.0, EVERYONE) - self.own)
            comparator = self.columns[int(scores.mean(axis=0).argmax())]
        if not isinstance(comparator, pd.Series):
            check_choice("comparator", comparator, list(self.columns))
            comparator = np.full(len(rows), comparator, dtype=object)
        compared = positions_of("comparator", check_labels("comparator", comparator), self.columns)
        differs = self.shares.copy()
        differs[rows, compared] -= 1
        self.slope = differs[rows, self.positions] * self.inverse
        self.base = (differs * self.table).sum(axis=1) - self.slope * self.own

    def shifted(self, shift: float, lost: str) -> FloatArray:
        """Return the shift of each patient."""
        if lost == EVERYONE:
            return np.full(len(self.y), shift)
        return np.where(self.slope > 0, shift, 0.0)

    def outcome(self, shift: float, lost: str) -> FloatArray:
        """Return the outcome of each patient, or what stands for it."""
        by = self.shifted(shift, lost)
        g = expit(self.logits - by)
        ratio = np.exp(-by)
        slope = ratio / (1 - self.m + self.m * ratio) ** 2
        seen = np.nan_to_num(self.y) + self.odds_of_loss * slope * np.nan_to_num(self.y - self.m)
        return np.where(self.lost, g, seen)

    def rate_lost(self, shift: float, lost: str) -> float:
        """Return the expected outcome rate of the lost patients."""
        return float(expit(self.logits - self.shifted(shift, lost))[self.lost].mean())

    def gain(self, shift: float, lost: str) -> Mean:
        """Return the gain."""
        key = float(shift), lost
        if key not in self.known:
            self.known[key] = mean_of(self.base + self.slope * self.outcome(shift, lost), self.units)
        return self.known[key]

    def ratio(self, shift: float, lost: str) -> Mean:
        """Return observed / expected, with an interval on the log scale."""
        outcome = self.outcome(shift, lost)
        value = float(outcome.sum() / self.own.sum())
        relative = mean_of((outcome - value * self.own) / outcome.mean(), self.units)
        low, high = relative.limits
        limits = type(relative.limits)(value * float(np.exp(low)), value * float(np.exp(high)))
        return Mean(value=value, se=relative.se, limits=limits, p_value=NAN, method=relative.method)

    def tipping(self, lost: str) -> dict[str, Any]:
        """Return the shifts at which the sign of the gain, and the verdict of its interval, change."""
        start = self.gain(0.0, lost)
        sign = np.sign(start.value)

        def value(shift: float) -> float:
            return float(sign * self.gain(shift, lost).value)

        def limit(shift: float) -> float:
            found = self.gain(shift, lost)
            return float(found.limits.lower if sign > 0 else -found.limits.upper)

        return {"lost": lost, "tipping_estimate": _nearest_zero(value), "tipping_limit": _nearest_zero(limit)}


def _checked(
    y_true: Any,
    received: Any,
    by_arm: Any,
    propensity: Any,
    recommended: Any,
    observation: Any,
    expected: Any,
    reference: Any,
    clusters: Any,
    level: float,
) -> _Patients:
    table = check_by_arm("by_arm", by_arm)
    y, labels = check_binary("y_true", y_true, allow_missing=True), check_labels("received", received)
    vectors = {"by_arm": by_arm, "y_true": y_true, "received": received, "propensity": propensity}
    check_patients(**vectors, observation=observation, expected=expected)
    units = check_units(None, clusters, level, **vectors, recommended=recommended)
    if not 0 < np.isnan(y).sum() < len(y):
        raise InputError(
            f"The outcome is missing in {'all' if len(y) and np.isnan(y).all() else 'none'} of {len(y):,} "
            "patients. A shift of lost outcomes needs patients with and without an observed outcome."
        )
    chance = check_probability("observation", observation)
    check_received_probability("observation", chance[~np.isnan(y)])
    known = table if expected is None else check_by_arm("expected", expected)[list(table.columns)]
    rows, positions = np.arange(len(y)), positions_of("received", labels, table.columns)
    under = positions
    if reference is not None:
        check_choice("reference", reference, list(table.columns))
        under = np.where(np.isnan(y), list(table.columns).index(reference), positions)
    values = table.to_numpy(dtype=float)
    return _Patients(
        y=y,
        own=values[rows, positions],
        m=known.to_numpy(dtype=float)[rows, under],
        odds_of_loss=np.where(np.isnan(y), 0.0, (1 - chance) / np.where(chance > 0, chance, 1.0)),
        table=values,
        columns=table.columns,
        positions=positions,
        inverse=1 / received_probability(propensity, labels, table.columns),
        shares=shares_of(recommended, table.columns),
        units=units,
    )


def _limits(found: Mean) -> dict[str, float]:
    return {"value": found.value, "lower": found.limits.lower, "upper": found.limits.upper}


def _nearest_zero(beyond: Callable[[float], float]) -> float:
    """Return the shift nearest to 0 at which a quantity is no longer above 0; infinite if there is none."""
    if not np.isfinite(start := beyond(0.0)):
        return NAN
    if start <= 0:
        return 0.0
    steps = np.linspace(0, FARTHEST, STEPS)
    found = []
    for direction in (1.0, -1.0):
        reached = next((k for k, step in enumerate(steps) if beyond(direction * step) <= 0), None)
        if reached is not None:
            found.append(float(brentq(beyond, direction * steps[reached - 1], direction * steps[reached])))
    return min(found, key=abs, default=float("inf"))
