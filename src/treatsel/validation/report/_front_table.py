"""Front table: one question per row, with its estimate, interval and a verdict based on the interval."""

from dataclasses import dataclass, replace
from math import log
from statistics import NormalDist

from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import FrontRow
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._data import ReportData
from treatsel.validation.report._headline import CANNOT_TELL, HIGHER, LOWER, NOT_SHOWN

GOOD, UNCLEAR, POOR, UNKNOWN = "good", "unclear", "poor", "unknown"
VERDICTS = {HIGHER: GOOD, LOWER: POOR, NOT_SHOWN: UNCLEAR, CANNOT_TELL: CANNOT_TELL}
# Calibration slopes, and ratios of observed to expected, taken as close enough to 1. A convention without a
# derivation: at a slope of 0.8 or 1.2 a prediction of 30 % should have been 34 % or 27 %.
CLOSE_TO_ONE = (0.8, 1.2)
MIN_EVENTS = 100  # and as many non-events: Collins, Ogundimu & Altman (2016). doi:10.1002/sim.6787
FEW_EVENTS = 10  # with fewer, even one regression coefficient is unstable: Peduzzi et al. (1996), see `parts`
# Proportion of missing outcomes that rarely biases, or usually does: Schulz & Grimes (2002), the "five-and-20
# rule of thumb". doi:10.1016/S0140-6736(02)07750-4
LOW_MISSING, HIGH_MISSING = 0.05, 0.20


@dataclass(frozen=True)
class Bounds:
    """An estimate with its interval, which may be NaN."""

    value: float
    lower: float
    upper: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.lower == self.lower and self.upper == self.upper

    def above(self, low: float) -> str:
        """Return the verdict on an estimate that should lie above a limit."""
        if not self.known:
            return UNKNOWN
        return GOOD if self.lower > low else POOR if self.upper < low else UNCLEAR

    def within(self, low: float, high: float) -> str:
        """Return the verdict on an estimate that should lie between limits."""
        if not self.known:
            return UNKNOWN
        if low <= self.lower and self.upper <= high:
            return GOOD
        return POOR if self.upper < low or self.lower > high else UNCLEAR


def front_rows(report: ReportData) -> list[FrontRow]:
    """Return the rows of the front table."""
    auc = _bounds(report, "within-arm AUC")
    slope = _bounds(report, "calibration slope")
    ratio = _bounds(report, "observed / expected")
    off = _arms_off(report)
    withheld = report.kind == "apparent"
    rows = [
        _value(report),
        FrontRow(
            "Discrimination: within an arm, are predictions higher for patients with the outcome?",
            "within-arm AUC " + _with_interval(auc, number),
            auc.above(0.5),
            "good if the interval lies above 0.5 (chance), poor if below",
        ),
        FrontRow(
            "Calibration (slope): are differences between patients as large as predicted?",
            "calibration slope " + _with_interval(slope, number),
            slope.within(*CLOSE_TO_ONE),
            f"good if the interval lies between {CLOSE_TO_ONE[0]} and {CLOSE_TO_ONE[1]}, poor if outside",
        ),
        FrontRow(
            "Calibration (mean): is the outcome as frequent as predicted, overall and in every arm?",
            "; ".join(["observed / expected " + _with_interval(ratio, number), *off]),
            _worst([ratio.within(*CLOSE_TO_ONE), *off.values()]),
            f"good if the interval lies between {CLOSE_TO_ONE[0]} and {CLOSE_TO_ONE[1]}, poor if outside; at "
            "most unclear if an arm's estimate lies outside and its interval excludes 1, poor if it still "
            "does when adjusted for the number of arms",
        ),
    ]
    if withheld:  # performance in the patients the model was fitted to says little about others
        rows = [replace(row, verdict=UNKNOWN, criterion="withheld: apparent performance") for row in rows]
    return [*rows, _sample_size(report), _missing(report)]


def _value(report: ReportData) -> FrontRow:
    """Return the row on the gain over the best single arm: the truly best one, if that was estimated."""
    gain, truly = Bounds(report.gain.value, report.gain.lower, report.gain.upper), report.over_truly_best
    verdict = gain.above(0.0) if report.gain.n_discordant or not gain.known else UNCLEAR
    shown, criterion = _with_interval(gain, points), "good if the interval lies above 0, poor if below"
    if truly is not None:
        size = f"{100 * truly.plausible_gain:g}"
        verdict = VERDICTS[truly.verdict] if report.gain.n_discordant else UNCLEAR
        shown = f"gain over the truly best arm: interval {truly.interval} points"
        criterion += f"; cannot tell if it includes 0 and a gain of {size} points could not be detected"
    return FrontRow(
        "Value of the recommendations: are outcomes better than with the best single arm?",
        "withheld" if report.kind == "apparent" else shown,
        verdict,
        criterion,
    )


def _arms_off(report: ReportData) -> dict[str, str]:
    """Return the arms in which the outcome is more, or less, frequent than predicted, with the verdict.

    Poor if this is clear although several arms were looked at (Bonferroni); unclear if it is not.
    """
    rows = report.figures[report.figures["measure"] == "observed / expected"]
    rows = rows[rows["section"] == "calibration"]  # subgroups have a section of their own
    rows = rows[(rows["group"] != OVERALL) & rows["lower"].gt(0) & (rows["upper"] > rows["lower"])]
    found = {}
    for row in rows.to_dict(orient="records"):
        bounds = Bounds(row["value"], row["lower"], row["upper"])
        outside = not CLOSE_TO_ONE[0] <= bounds.value <= CLOSE_TO_ONE[1]
        if outside and not bounds.lower <= 1 <= bounds.upper:
            z = NormalDist().inv_cdf((1 + report.level) / 2)
            se = log(bounds.upper / bounds.lower) / (2 * z)  # intervals of ratios are symmetric on the log
            p_value = 2 * NormalDist().cdf(-abs(log(bounds.value)) / se)
            verdict = POOR if p_value * len(rows) < 1 - report.level else UNCLEAR
            found[f"{row['group']} {_with_interval(bounds, number)}"] = verdict
    return found


def _worst(verdicts: list[str]) -> str:
    return max(verdicts, key=[GOOD, UNKNOWN, UNCLEAR, POOR].index)


def _bounds(report: ReportData, measure: str) -> Bounds:
    row = report.figure(measure)
    return Bounds(row["value"], row["lower"], row["upper"])


def _with_interval(bounds: Bounds, shown: object) -> str:
    if bounds.value != bounds.value:
        return "not estimable"
    texts = [shown(value) for value in (bounds.value, bounds.lower, bounds.upper)]  # type: ignore[operator]
    return f"{texts[0]} ({texts[1].removesuffix(' points')} to {texts[2].removesuffix(' points')})"


def _sample_size(report: ReportData) -> FrontRow:
    base = report.figure("base rate")
    events = int(base["n_events"])
    fewer = min(events, int(base["n"]) - events)
    return FrontRow(
        "Sample size: are there enough patients?",
        f"{events:,} with and {int(base['n']) - events:,} without {report.outcome_label}",
        GOOD if fewer >= MIN_EVENTS else UNCLEAR if fewer >= FEW_EVENTS else POOR,
        f"good if at least {MIN_EVENTS} of each, poor if below {FEW_EVENTS}; intervals show the precision",
    )


def _missing(report: ReportData) -> FrontRow:
    flow = report.flow
    n, seen = int(flow["n"].sum()), int(flow["n_observed"].sum())
    share = 1 - seen / n
    return FrontRow(
        "Missing outcomes: how many outcomes were not observed?",
        f"missing in {n - seen:,} of {n:,} ({percent(share, 0)})",
        GOOD if share < LOW_MISSING else UNCLEAR if share < HIGH_MISSING else POOR,
        "good if below 5 %, poor if at least 20 %",
    )
