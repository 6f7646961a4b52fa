"""The headline: what the gain over the truly best arm allows one to say, in words and as a verdict."""

from dataclasses import dataclass

import pandas as pd

from treatsel._reporting.format import fixed
from treatsel.errors import InputError
from treatsel.metrics.policy import DETECTABLE, OVER_BEST, patients_for

# A convention: an upper bound of what is plausible, not an expectation. In twelve real trials a simple rule
# was shown to be better than the best single arm in none (docs/explanation/limits.md).
PLAUSIBLE_GAIN = 0.05
HIGHER, LOWER, CANNOT_TELL, NOT_SHOWN = "higher", "lower", "cannot tell", "not shown"


@dataclass(frozen=True, kw_only=True)
class Headline:
    """Interval of the gain over the truly best arm, and the smallest gain that the cohort could detect.

    All but `n` and `level` are proportions; NaN if not estimable.
    """

    lower: float
    upper: float
    detectable: float
    plausible_gain: float
    n: int
    level: float

    @classmethod
    def of(cls, table: pd.DataFrame, *, plausible_gain: float, level: float) -> "Headline":
        """Return the headline from the table `headline` of a report."""
        rows = {row["figure"]: row for row in table.to_dict(orient="records")}
        return cls(
            lower=float(rows[OVER_BEST]["lower"]),
            upper=float(rows[OVER_BEST]["upper"]),
            detectable=float(rows[DETECTABLE]["value"]),
            n=int(rows[DETECTABLE]["n"]),
            plausible_gain=plausible_gain,
            level=level,
        )

    @property
    def verdict(self) -> str:
        """Whether the rate is higher or lower than under the best arm, or what keeps one from saying so."""
        if self.lower > 0:
            return HIGHER
        if self.upper < 0:
            return LOWER
        return CANNOT_TELL if self.detectable > self.plausible_gain else NOT_SHOWN

    @property
    def needed(self) -> int:
        """Patients needed to detect the plausible gain, rounded to two digits."""
        n = patients_for(self.plausible_gain, detectable=self.detectable, n=self.n)
        return int(float(f"{n:.2g}"))

    @property
    def interval(self) -> str:
        """The interval in percentage points."""
        return f"{_points(self.lower)} to {_points(self.upper)}"

    def sentence(self, what: str) -> str:
        """Return the headline in words; `what` names the good outcome."""
        shown = f"{100 * self.level:g}% interval of the gain {self.interval} percentage points"
        if self.verdict in (HIGHER, LOWER):
            return (
                f"Giving each patient the recommended arm is associated with a {self.verdict} rate of {what} "
                f"than giving all patients the best single arm, whichever arm that is: {shown}."
            )
        start = "This cohort cannot tell whether the recommendations improve the rate of {what} over"
        if self.verdict == NOT_SHOWN:
            start = "No gain shown in the rate of {what} over"
        text = f"{start.format(what=what)} the best single arm, whichever arm that is: {shown}"
        if self.detectable == self.detectable:
            text += f"; smallest detectable gain {_size(self.detectable)} (80% power)"
        if self.verdict == CANNOT_TELL:
            text += f". About {self.needed:,} patients are needed to detect a gain of "
            text += _size(self.plausible_gain)
        return f"{text}."


def check_plausible_gain(gain: float) -> float:
    """Return a plausible gain if it is a proportion above 0.

    Raises
    ------
    InputError
        If it is not between 0 and 1.
    """
    if isinstance(gain, bool) or not isinstance(gain, int | float) or not 0 < gain < 1:
        raise InputError(
            f"plausible_gain is {gain!r}; it must be a proportion between 0 and 1, such as 0.05."
        )
    return float(gain)


def _points(value: float) -> str:
    return fixed(100 * value, "+.1f")


def _size(value: float) -> str:
    return fixed(100 * value, ".1f")
