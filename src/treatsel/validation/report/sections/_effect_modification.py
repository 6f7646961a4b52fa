"""Section: heterogeneity of treatment effects (PATH): overall effect, effect by risk, omnibus test."""

from treatsel._checks import count_of
from treatsel._reporting import plots
from treatsel._reporting.format import number, percent, points, with_interval, with_p
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, figure, figures_table, shown, text


def effect_modification(report: ReportData) -> Section:
    """Return the effect of each arm overall and by predicted risk, and the test of effect modification."""
    table = report.tables["effect by risk"]
    best = report.gain.comparator_arm
    curve = plots.curves(
        table.rename(
            columns={"difference": "value", "difference_lower": "lower", "difference_upper": "upper"}
        ),
        x="risk",
        by="pair",
        xlabel=f"Predicted rate of {report.outcome_label}, mean over arms (groups of patients)",
        ylabel=f"Difference of rates, arm minus {best}",
        reference=0,
        band=plots.intervals_of(report.level),
        ax=plots.bare_axes,
    )
    columns: dict[str, tuple[str, Shown]] = {
        "pair": ("Arms", text),
        "group": ("Group", count),
        "n": ("n", count),
        "risk": ("Predicted rate", percent),
        "difference": ("Difference", points),
        "difference_lower": ("Lower", points),
        "difference_upper": ("Upper", points),
        "ratio": ("Ratio", number),
        "ratio_lower": ("Ratio, lower", number),
        "ratio_upper": ("Ratio, upper", number),
    }
    caption = "Effect by groups of predicted rate, as a difference and as a ratio of rates (doubly robust)."
    return Section(
        heading="Effect modification: do differences between arms vary over patients?",
        paragraphs=[
            "In the order of the PATH statement: the average effect of each arm first, then the effect by "
            f"predicted rate of {report.outcome_label} (risk-based), then effect modeling, which the next "
            "section examines by pair of arms. Where rates differ, effects must differ on one of the two "
            "scales: similar ratios with increasing differences need no further explanation.",
            sentence_of_test(report),
        ],
        figures=[
            figure(curve, "risk", "Difference between arms by predicted rate; intervals are in the table.")
        ],
        tables=[
            shown(table, columns, caption),
            figures_table(
                report, ["modification"], "Average effects, trends with risk (per SD), and the test."
            ),
        ],
        note="Kent et al. 2020 (PATH statement). Omnibus test: best linear predictor of the effect "
        "modification of all arms, Chernozhukov et al. 2025.",
    )


def sentence_of_test(report: ReportData) -> str:
    """Return the result of the omnibus test with its power, in words."""
    found = report.tables["effect modification test"].iloc[0]
    if found["p_value"] != found["p_value"]:
        return "The model predicts the same differences between arms for all patients: nothing can be tested."
    shown = found["p_value"] < 1 - report.level and found["slope"] > 0
    slope = with_interval({"value": found["slope"], **found[["lower", "upper"]]}, number)
    return (
        f"One test for all arms and covariates (size {100 * (1 - report.level):g} %), before any ranking of "
        f"covariates or subgroups: effect modification as predicted {'is' if shown else 'is not'} shown. "
        f"Slope {slope}, where 0 is none and 1 as large as predicted; {with_p(found['p_value'])}. With "
        f"{count_of(int(found['n']), 'patient')}, modification as large as predicted would be found with a "
        f"probability of {percent(found['power'], 0)}; a slope of {number(found['detectable'])} with one of "
        "80 %."
    )
