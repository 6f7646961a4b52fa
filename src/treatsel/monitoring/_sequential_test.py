"""A test of calibration in the large that may be looked at as often as one likes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_level, check_probability, check_same_length
from treatsel._reporting import plots
from treatsel.errors import InputError

ODDS = np.array([1.15, 1.3, 1.6, 2.2, 3.5])  # ratios of odds that the bets are best at
EVERY = 50  # patients after whom another bet starts
_LARGEST = 1e12  # evidence beyond this is not counted
_POINTS, _FEWEST_A_POINT = 100, 10


@dataclass(frozen=True, kw_only=True, eq=False)
class SequentialCalibrationTest:
    """Evidence against calibration in the large, patient after patient.

    Attributes
    ----------
    table : DataFrame
        One row per 10 patients or more, so that no patient can be told from it: n (patients so far),
        more, fewer (evidence that outcomes are more, or less, frequent than predicted), evidence (their
        mean), highest (of all evidence so far).
    threshold : float
        1 / false-alarm rate: an alarm once `highest` reaches it.
    false_alarm_rate : float
        Chance, at most, of an alarm ever, over all looks, if no prediction is off by more than `tolerance`.
    tolerance : float
        In probability.
    """

    table: pd.DataFrame
    threshold: float
    false_alarm_rate: float
    tolerance: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw the evidence (log10) over patients, and the threshold; return the Axes."""
        lines = pd.DataFrame(
            {"n": self.table["n"], "value": np.log10(self.table["evidence"]), "name": "evidence"}
        )
        labels = {"xlabel": "Patients with a known outcome", "ylabel": "Evidence (log10); dashed: alarm"}
        return plots.curves(lines, x="n", by="name", reference=np.log10(self.threshold), ax=ax, **labels)

    @property
    def highest(self) -> float:
        """Highest evidence so far."""
        return float(self.table["highest"].iloc[-1]) if len(self.table) else 1.0

    @property
    def alarm(self) -> bool:
        """Whether the evidence ever reached the threshold."""
        return self.highest >= self.threshold

    @property
    def alarm_at(self) -> int | None:
        """After how many patients it did, rounded up to a row of `table`; None if it did not."""
        reached = self.table.loc[self.table["highest"] >= self.threshold, "n"]
        return int(reached.iloc[0]) if len(reached) else None

    @property
    def direction(self) -> str:
        """Whether outcomes look "more" or "fewer" than predicted, at the time of the alarm or at the end."""
        if not len(self.table):
            return "neither"
        at = int((self.table["highest"] >= self.threshold).to_numpy().argmax()) if self.alarm else -1
        row = self.table.iloc[at]
        return "more" if row["more"] >= row["fewer"] else "fewer"


def sequential_calibration_test(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    false_alarm_rate: float = 0.05,
    tolerance: float = 0.02,
) -> SequentialCalibrationTest:
    """Test after each patient whether outcomes are as frequent as predicted.

    Two bets are made on each next patient: that the odds of the outcome are higher than predicted, and
    that they are lower; the stakes multiply. If the chance of the outcome, given all patients before, is
    never off by more than `tolerance`, no strategy makes the capital grow on average, and the chance that
    it ever reaches 1 / rate is at most the rate (Ville's inequality): the test may be looked at after each
    patient, and stopped at any time. The capital is the average over five ratios of odds, both directions,
    and bets that start anew after every 50 patients (the j-th with weight 1 / (j (j + 1))), so that it
    also sees a change after a long quiet time.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcomes, 0 or 1, in an order that does not depend on them: that of time.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    false_alarm_rate : float
        Largest chance of an alarm, ever.
    tolerance : float
        Error of a probability that is not counted as wrong, 0 or more.

    Returns
    -------
    SequentialCalibrationTest

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], the rate does not lie
        between 0 and 1, or the tolerance is negative.

    References
    ----------
    Ville (1939), Etude critique de la notion de collectif. Gauthier-Villars, Paris.
    Arnold, Henzi & Ziegel (2023), Annals of Applied Statistics 17(3), 1909-1935. doi:10.1214/22-AOAS1697
    Waudby-Smith & Ramdas (2024), JRSS B 86(1), 1-27 (betting). doi:10.1093/jrsssb/qkad009
    Steiner et al. (2000), Biostatistics 1(4), 441-452 (risk-adjusted likelihood ratio).
    doi:10.1093/biostatistics/1.4.441
    Shin, Ramdas & Rinaldo (2024), New England Journal of Statistics in Data Science 2(2), 229-260 (later
    starts). doi:10.51387/23-NEJSDS51

    Examples
    --------
    >>> test = sequential_calibration_test([1, 0] * 150, [0.7] * 300)
    >>> test.alarm, test.direction
    (True, 'fewer')
    """
    y, p = check_binary("y_true", y_true), check_probability("y_prob", y_prob)
    check_same_length(y_true=y, y_prob=p)
    check_level(false_alarm_rate)
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance is {tolerance}; it must be 0 or more and below 1.")
    more, fewer = _capital(y, p, tolerance), _capital(1 - y, 1 - p, tolerance)
    evidence = (more + fewer) / 2
    highest = np.maximum.accumulate(evidence) if len(y) else evidence
    step = max(_FEWEST_A_POINT, -(-len(y) // _POINTS))
    ends = np.arange(step, len(y) + 1, step)
    if len(ends):
        ends[-1] = len(y)
    columns = {"more": more, "fewer": fewer, "evidence": evidence, "highest": highest}
    table = pd.DataFrame({"n": ends, **{name: values[ends - 1] for name, values in columns.items()}})
    return SequentialCalibrationTest(
        table=table,
        threshold=1 / false_alarm_rate,
        false_alarm_rate=float(false_alarm_rate),
        tolerance=float(tolerance),
    )


def _capital(y: FloatArray, p: FloatArray, tolerance: float) -> FloatArray:
    """Return the capital after each patient of bets on higher odds than p + tolerance; it starts at 1.

    One bet multiplies by q / p where the outcome occurs, by (1 - q) / (1 - p) where not, with q the
    probability of odds that are higher by a ratio. It expects at most 1 wherever the chance is p or less.
    """
    worst = np.minimum(p + tolerance, 1.0)[:, None]
    gains = np.where(y[:, None] == 1, ODDS, 1.0) / (1 - worst + worst * ODDS)
    staked, kept, capital = np.zeros(len(ODDS)), 1.0, np.empty(len(y))
    for start in range(1, -(-len(y) // EVERY) + 1):
        stake = 1 / (start * (start + 1))
        block = slice((start - 1) * EVERY, start * EVERY)
        grown = (staked + stake) * np.cumprod(gains[block], axis=0)
        kept -= stake
        capital[block] = kept + grown.mean(axis=1)
        staked = np.minimum(grown[-1], _LARGEST)
    return capital
