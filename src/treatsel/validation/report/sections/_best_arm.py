"""Section: gain over the arm that is truly best."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, points
from treatsel._reporting.page import Section
from treatsel.metrics.policy import CROSS_FITTED, OVER_BEST, SMALLEST
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, figure, shown, text

REMARKS = {OVER_BEST: "selection-adjusted", SMALLEST: "biased downward", CROSS_FITTED: "biased upward"}


def best_arm(report: ReportData) -> Section:
    """Return the headline: the gain over the truly best arm, and what stands beside it."""
    columns: dict[str, tuple[str, Shown]] = {
        "figure": ("Figure", text),
        "value": ("Estimate", points),
        "lower": ("Lower", points),
        "upper": ("Upper", points),
        "as_estimated": ("Simulated bias, arms as estimated", text),
        "all_equal": ("Simulated bias, arms equal", text),
        "method": ("Method", text),
    }
    rows = report.tables["headline"]
    rows = rows.assign(
        figure=[f"{name} ({REMARKS[name]})" if name in REMARKS else name for name in rows["figure"]],
        as_estimated=_with_error(rows, "bias_estimated"),
        all_equal=_with_error(rows, "bias_equal"),
    )
    return Section(
        heading="Gain over the best single arm: do the recommendations do better, whichever arm is best?",
        paragraphs=[
            report.headline,
            "Which single arm is best is not known, and no unbiased estimate of the gain over it exists: the "
            "interval is the result. The smallest gain over all single arms is too low on average, the gain "
            "over the arm that is best in the other nine tenths of the patients (cross-fitted) too high. "
            "Their bias is simulated for these patients, with arms that differ as estimated and with equal "
            "arms. Estimated arms differ more than true ones: if all arms are equally good, the bias "
            "of the smallest gain is the larger of the two. Do not subtract these biases.",
        ],
        figures=[
            figure(
                report.plot_headline(plots.bare_axes),
                "headline",
                "The recommendations, current practice and each single arm (with the rate of "
                f"{report.good_label}) against the truly best arm, with selection-adjusted intervals.",
            )
        ],
        tables=[shown(rows, columns, "Headline. Simulated biases with their Monte Carlo error.")],
        note="Intersection-union and Bonferroni limits (Berger 1982), as in comparisons with the best (Hsu "
        "1984). A single arm lies at 0 if it may be the best one.",
    )


def _with_error(rows: pd.DataFrame, name: str) -> list[str]:
    """Return simulated biases with their Monte Carlo errors as text."""
    pairs = zip(rows[name], rows[f"{name}_error"], strict=True)
    return [DASH if bias != bias else f"{points(bias)} (error {100 * error:.2f})" for bias, error in pairs]
