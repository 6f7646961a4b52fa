"""Sequential test of calibration in the large, valid under continuous monitoring (anytime-valid)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_level, check_probability, check_same_length
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel._stats.alignment import check_same_order
from treatsel.errors import InputError

ODDS_RATIOS = np.array(
    [1.15, 1.3, 1.6, 2.2, 3.5]
)  # odds ratios of the alternatives bet on: small to large shifts
START_EVERY = 50  # patients between the starts of two bets: a later change is detected by a fresh bet
_MAX_CAPITAL = 1e12  # cap on a bet, which avoids overflow; far beyond any threshold
_MAX_ROWS, _MIN_PER_ROW = 100, 10  # rows of the table, and patients per row, which hide single patients


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SequentialCalibrationTest(Summarized):
    """Evidence against calibration in the large over patients.

    Attributes
    ----------
    table : DataFrame
        One row per 10 patients or more, so that it discloses no single outcome: n (patients so far),
        more, fewer (evidence that outcomes are more, or less, frequent than predicted), evidence (their
        mean), highest (the maximum of the evidence so far).
    threshold : float
        1 / false_alarm_rate: an alarm once `highest` reaches it.
    false_alarm_rate : float
        Upper bound on the probability of an alarm at any time, over all looks, if no prediction is wrong
        by more than `tolerance`.
    tolerance : float
        Error of a predicted probability that is tolerated.
    """

    table: pd.DataFrame
    threshold: float
    false_alarm_rate: float
    tolerance: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the evidence (log10) and the threshold.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the line.

        Returns
        -------
        matplotlib Axes
        """
        lines = pd.DataFrame(
            {"n": self.table["n"], "value": np.log10(self.table["evidence"]), "name": "evidence"}
        )
        labels = {
            "xlabel": "Patients with a known outcome",
            "ylabel": "Evidence (log10)\ndashed: threshold of an alarm",
        }
        threshold = np.log10(self.threshold)
        return plots.curves(lines, x="n", by="name", reference=threshold, ax=ax, **labels, **kwargs)

    @property
    def highest(self) -> float:
        """Highest evidence at any time."""
        return float(self.table["highest"].iloc[-1]) if len(self.table) else 1.0

    @property
    def alarm(self) -> bool:
        """Whether the evidence ever reached the threshold."""
        return self.highest >= self.threshold

    @property
    def alarm_at(self) -> int | None:
        """Number of patients at the alarm, rounded up to a row of `table`; None without an alarm."""
        reached = self.table.loc[self.table["highest"] >= self.threshold, "n"]
        return int(reached.iloc[0]) if len(reached) else None

    @property
    def direction(self) -> str:
        """Whether outcomes are "more" or "fewer" than predicted, at the alarm or else at the end."""
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
    """Test calibration in the large after each patient, valid at any stopping time.

    The evidence is a test martingale: the capital of a gambler who bets on the outcome of each next patient
    that its odds are higher, or lower, than predicted. If the probability of the outcome, given all earlier
    patients, never differs from the prediction by more than `tolerance`, the expected capital does not grow,
    and the probability that it ever reaches 1 / rate is at most the rate (Ville's inequality). The test may
    therefore be inspected after each patient and stopped at any time. The capital is averaged over five odds
    ratios, both directions, and bets started after every 50 patients (the j-th with weight
    1 / (j (j + 1))), so that a change after a long stable period is detected, too.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcomes, 0 or 1, in chronological order; the order must not depend on the outcomes.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    false_alarm_rate : float
        Largest probability of an alarm at any time.
    tolerance : float
        Error of a predicted probability that is tolerated, 0 or more.

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
    check_same_order(y_true=y_true, y_prob=y_prob)
    check_level(false_alarm_rate)
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance is {tolerance}; it must be 0 or more and below 1.")
    more, fewer = _capital(y, p, tolerance), _capital(1 - y, 1 - p, tolerance)
    evidence = (more + fewer) / 2
    highest = np.maximum.accumulate(evidence) if len(y) else evidence
    step = max(_MIN_PER_ROW, -(-len(y) // _MAX_ROWS))
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
    """Return the capital after each patient of bets on odds higher than those of p + tolerance.

    It starts at 1. A bet multiplies it by q / p if the outcome occurs and by (1 - q) / (1 - p) otherwise,
    where q has the odds of p times a ratio. The expected factor is at most 1 if the probability is at most p.
    """
    worst = np.minimum(p + tolerance, 1.0)[:, None]
    gains = np.where(y[:, None] == 1, ODDS_RATIOS, 1.0) / (1 - worst + worst * ODDS_RATIOS)
    staked, kept, capital = np.zeros(len(ODDS_RATIOS)), 1.0, np.empty(len(y))
    for start in range(1, -(-len(y) // START_EVERY) + 1):
        stake = 1 / (start * (start + 1))
        block = slice((start - 1) * START_EVERY, start * START_EVERY)
        grown = (staked + stake) * np.cumprod(gains[block], axis=0)
        kept -= stake
        capital[block] = kept + grown.mean(axis=1)
        staked = np.minimum(grown[-1], _MAX_CAPITAL)
    return capital
