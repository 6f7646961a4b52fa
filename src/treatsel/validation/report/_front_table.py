"""The front table: one question a row, its figure with interval, and a verdict made from the interval."""

from dataclasses import dataclass

from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import FrontRow
from treatsel.validation.report._data import ReportData

GOOD, UNCLEAR, POOR, UNKNOWN = "good", "unclear", "poor", "unknown"
SLOPE = (0.8, 1.2)  # calibration slopes, and ratios of observed to expected, that are near enough to 1
FEWEST_EVENTS = 100  # and as many non-events: Collins, Ogundimu & Altman (2016). doi:10.1002/sim.6787
LITTLE_LOST, MUCH_LOST = 0.05, 0.20  # Schulz & Grimes (2002). doi:10.1016/S0140-6736(02)07750-4


@dataclass(frozen=True)
class Bounds:
    """An estimate with its interval, as far as it exists."""

    value: float
    lower: float
    upper: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.lower == self.lower and self.upper == self.upper

    def above(self, low: float) -> str:
        """Return the verdict on a figure that should lie above a limit."""
        if not self.known:
            return UNKNOWN
        return GOOD if self.lower > low else POOR if self.upper < low else UNCLEAR

    def within(self, low: float, high: float) -> str:
        """Return the verdict on a figure that should lie between limits."""
        if not self.known:
            return UNKNOWN
        if low <= self.lower and self.upper <= high:
            return GOOD
        return POOR if self.upper < low or self.lower > high else UNCLEAR


def lights_of(report: ReportData) -> list[FrontRow]:
    """Return the rows of the front table."""
    gain = Bounds(report.gain.value, report.gain.lower, report.gain.upper)
    auc = _bounds(report, "within-arm AUC")
    slope = _bounds(report, "calibration slope")
    ratio = _bounds(report, "observed / expected")
    verdict = gain.above(0.0) if report.gain.n_discordant or not gain.known else UNCLEAR
    return [
        FrontRow(
            "Does following it beat the best single arm?",
            _with_interval(gain, points),
            verdict,
            "good if the whole interval lies above 0, poor if it lies below",
        ),
        FrontRow(
            "Does it tell patients of one arm apart?",
            "AUC within arms " + _with_interval(auc, number),
            auc.above(0.5),
            "good if the interval lies above 0.5, which is guessing",
        ),
        FrontRow(
            "Are differences between patients as large as predicted?",
            "calibration slope " + _with_interval(slope, number),
            slope.within(*SLOPE),
            f"good if the interval lies between {SLOPE[0]} and {SLOPE[1]}, poor if outside",
        ),
        FrontRow(
            "Is the level right?",
            "observed / expected " + _with_interval(ratio, number),
            ratio.within(*SLOPE),
            f"good if the interval lies between {SLOPE[0]} and {SLOPE[1]}, poor if outside",
        ),
        _enough(report),
        _lost(report),
    ]


def _bounds(report: ReportData, measure: str) -> Bounds:
    row = report.figure(measure)
    return Bounds(row["value"], row["lower"], row["upper"])


def _with_interval(bounds: Bounds, shown: object) -> str:
    if bounds.value != bounds.value:
        return "not estimable"
    texts = [shown(value) for value in (bounds.value, bounds.lower, bounds.upper)]  # type: ignore[operator]
    return f"{texts[0]} ({texts[1].removesuffix(' points')} to {texts[2].removesuffix(' points')})"


def _enough(report: ReportData) -> FrontRow:
    base = report.figure("base rate")
    events = int(base["n_events"])
    fewer = min(events, int(base["n"]) - events)
    return FrontRow(
        "Are there enough patients?",
        f"{events:,} with and {int(base['n']) - events:,} without {report.outcome}",
        GOOD if fewer >= FEWEST_EVENTS else UNCLEAR if fewer >= 10 else POOR,
        f"good from {FEWEST_EVENTS} of each; intervals say how much these tell",
    )


def _lost(report: ReportData) -> FrontRow:
    flow = report.flow
    n, seen = int(flow["n"].sum()), int(flow["n_observed"].sum())
    share = 1 - seen / n
    return FrontRow(
        "Were outcomes observed?",
        f"missing in {n - seen:,} of {n:,} ({percent(share, 0)})",
        GOOD if share < LITTLE_LOST else UNCLEAR if share < MUCH_LOST else POOR,
        "good below 5 %, poor from 20 %",
    )
