"""A monitoring report as a page: headline, front table, and one section per topic."""

from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, percent
from treatsel._reporting.page import Figure, FrontRow, Page, Section, Table
from treatsel.monitoring._calibration import GAP, LEVEL, RATIO, SLOPE
from treatsel.monitoring._covariate_drift import CATEGORIES, MEAN, MISSING, OUTSIDE, SPREAD
from treatsel.monitoring._model_use import MAX_RECOMMENDED
from treatsel.monitoring.report._data import ReportData
from treatsel.monitoring.report._wording import FAMILIES, sentence_of, shown_evidence, shown_p
from treatsel.recommendation import STATUSES

GOOD, UNCLEAR, POOR, UNKNOWN = "good", "unclear", "poor", "unknown"
MEANING = "poor: alarm; unclear: a difference exceeds its threshold, but may be due to chance"
ON_FRONT = 3  # cautions shown at the top; a section lists all if there are more


def page_of(report: ReportData) -> Page:
    """Return the whole page."""
    makers = (_covariates, _levels, _warnings, _predictions, _calibration, _sequential)
    sections = [section for maker in makers if (section := maker(report)) is not None]
    return Page(
        title=f"Monitoring: {report.label(report.outcome)}",
        headline=report.headline,
        front_table=_front_rows(report),
        facts=_facts(report),
        cautions=report.cautions[:ON_FRONT],
        sections=[*_alarms(report), *sections, *_ends(report)],
    )


def _facts(report: ReportData) -> list[tuple[str, str]]:
    return [
        ("Recent patients", f"{report.n:,}"),
        ("Patients with known outcome and arm", f"{report.n_outcomes:,}"),
        ("Covariates compared with", report.compared_with),
        ("Tests", f"{report.n_tests:,}"),
        ("False-alarm rate of the report", f"at most {100 * report.false_alarm_rate:g} %"),
        ("Intervals", f"{100 * report.level:g} %, not adjusted for multiplicity"),
        ("Model", report.model_id[:12] if report.model_id else "not from a file"),
    ]


def _front_rows(report: ReportData) -> list[FrontRow]:
    questions = {
        "covariates": "Covariate drift: do recent patients resemble the development patients?",
        "warnings": "Data quality: are the values valid?",
        "calibration": "Calibration: do predicted and observed proportions agree?",
    }
    found = [_front_row(report, section, question) for section, question in questions.items()]
    test = report.sequential_test
    if test is None:
        figure, verdict = "not tested: too few outcomes", UNKNOWN
    else:
        figure = f"highest evidence {shown_evidence(test.highest)}, threshold {test.threshold:g}"
        verdict = POOR if test.alarm else GOOD
    question = "Sequential monitoring of calibration: have predictions and outcomes agreed at all times?"
    return [*found, FrontRow(question, figure, verdict, "poor: the evidence has reached the threshold")]


def _front_row(report: ReportData, section: str, question: str) -> FrontRow:
    rows = report.figures[(report.figures["section"] == section) & report.figures["p_value"].notna()]
    n_alarms, n_large = int(rows["alarm"].sum()), int(rows["exceeds_threshold"].sum())
    if not len(rows):
        return FrontRow(question, "not tested", UNKNOWN, MEANING)
    figure = f"{count_of(n_alarms, 'alarm')} in {count_of(len(rows), 'test')}"
    if beyond := n_large - n_alarms:
        figure += f"; {count_of(beyond, 'further difference')} beyond the threshold"
    return FrontRow(question, figure, POOR if n_alarms else UNCLEAR if beyond else GOOD, MEANING)


def _alarms(report: ReportData) -> list[Section]:
    rows = report.alarms.to_dict(orient="records")
    return [Section(heading="Alarms", paragraphs=[sentence_of(row) for row in rows])] if rows else []


def _tested(records: list[Any]) -> dict[str, list[str]]:
    """Return the columns that all tables of tests share."""
    shown = [_verdict(row) for row in records]
    return {name: [row[name] for row in shown] for name in ("n", "Adjusted p", "Alarm")}


def _verdict(row: Any) -> dict[str, str]:
    found = {"n": f"{int(row['n']):,}", "Adjusted p": DASH, "Alarm": DASH}
    if row["p_value"] == row["p_value"]:
        p = shown_p(row["p_adjusted"]).removeprefix("= ")
        found |= {"Adjusted p": p, "Alarm": "ALARM" if row["alarm"] else "no"}
    return found


def _covariates(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "covariates"]
    if not len(rows):
        return None
    limits = report.thresholds
    drawn = int((rows["measure"].isin([MEAN, CATEGORIES]) & rows["value"].notna()).sum())
    figures = []
    if drawn:
        axes = report.plot(plots.bare_axes)
        words = "Standardized difference of each covariate, now minus before, with intervals."
        figures = [Figure(plots.to_svg(axes, name="covariates"), words)]
    is_empty = rows["measure"].isin([MISSING, OUTSIDE]) & (rows["observed"] == 0)
    rows = rows[~is_empty].sort_values("alarm", ascending=False, kind="stable")
    records = rows.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Covariate": [report.label(name) for name in rows["name"]],
            "Measure": rows["measure"].tolist(),
            "Before": [_before(row, "expected") for row in records],
            "Now": [_before(row, "observed") for row in records],
            "Difference": [_difference(row) for row in records],
            **_tested(records),
        }
    )
    return Section(
        heading="Covariate drift: do recent patients resemble the development patients?",
        paragraphs=[
            f"Each covariate is compared with {report.compared_with}. An alarm needs an adjusted p value "
            "within the false-alarm rate of its family and a difference beyond its threshold: "
            f"{limits.standardized_difference:g} SD (or Cohen's w) for means and categories, a ratio of "
            f"{limits.sd_ratio:g} for SDs, {100 * limits.missing_difference:g} percentage points for missing "
            "values."
        ],
        figures=figures,
        tables=[Table(frame, "Covariates before and now; alarms first.", words=("Measure",))],
        note="Means: Welch's test; categories and proportions: chi-square test of two samples or Fisher's "
        "exact test; SDs: Shoemaker 2003; p values adjusted by Holm's method. Counts below 5 are suppressed. "
        f"Not shown: {count_of(int(is_empty.sum()), 'proportion')} of 0 in recent patients. Covariate drift "
        "does not imply miscalibration: see the section on calibration.",
    )


def _before(row: dict[Any, Any], key: str) -> str:
    if row["measure"] in (MEAN, SPREAD):
        return DASH if pd.isna(row[key]) else f"{row[key]:.4g}"
    if row["measure"] == CATEGORIES:
        return DASH
    prefix = "at most " if key == "expected" and "outside" in row["measure"] else ""
    return DASH if pd.isna(row[key]) else prefix + percent(row[key])


def _difference(row: dict[Any, Any]) -> str:
    if pd.isna(row["value"]):
        return DASH
    if row["measure"] == MISSING:
        return f"{number(100 * row['value'], 1)} points ({_range(row, 100, 1)})"
    if "proportion" in row["measure"]:
        shown = percent(row["value"])
        return shown if row["lower"] != row["lower"] else f"{shown} ({_range(row, 100, 1)})"
    return f"{number(row['value'])} ({_range(row, 1, 2)})"


def _range(row: dict[Any, Any], scale: float, digits: int) -> str:
    return f"{number(scale * row['lower'], digits)} to {number(scale * row['upper'], digits)}"


def _levels(report: ReportData) -> Section | None:
    rows = report.levels
    if not len(rows):
        return None
    frame = pd.DataFrame(
        {
            "Covariate": [report.label(name) for name in rows["column"]],
            "Category": rows["category"],
            "Before": [percent(value) for value in rows["before"]],
            "Now": [percent(value) for value in rows["now"]],
        }
    )
    text = f"Proportion of each category among the known values. A dash ({DASH}): suppressed (small count)."
    return Section(heading="Covariate drift: categories", tables=[Table(frame, text, words=("Category",))])


def _warnings(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "warnings"]
    if not len(rows):
        return None
    records = rows.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Warning": rows["name"].tolist(),
            "Patients": [_proportion(row) for row in records],
            "Expected": [_expected(row) for row in records],
            **_tested(records),
        }
    )
    limit = report.thresholds.invalid_proportion
    return Section(
        heading="Data quality: how frequent are warnings?",
        paragraphs=[
            "Proportion of patients with each warning. Codes that no development patient could have, since "
            f"the cohort would have been rejected, are tested against a limit of {100 * limit:g} % of "
            "patients. The remaining codes are reported descriptively."
        ],
        tables=[Table(frame, "Warnings by code.")],
        note="Intervals: Wilson. low_propensity: expected is the cross-fitted proportion at development.",
    )


def _proportion(row: dict[Any, Any]) -> str:
    return DASH if pd.isna(row["value"]) else f"{percent(row['value'])} ({_range(row, 100, 1)})"


def _expected(row: dict[Any, Any]) -> str:
    if pd.isna(row["expected"]):
        return DASH
    return ("at most " if not pd.isna(row["p_value"]) else "") + percent(row["expected"])


def _predictions(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "predictions"]
    if not len(rows):
        return None
    records = rows.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Arm or status": [
                str(name).replace("_", " ") if name in STATUSES else str(name) for name in rows["name"]
            ],
            "Measure": rows["measure"].tolist(),
            "Before": [percent(row["expected"]) for row in records],
            "Now": [_proportion(row) for row in records],
            "n": [f"{int(n):,}" for n in rows["n"]],
        }
    )
    return Section(
        heading="Predictions and recommendations",
        tables=[Table(frame, "Predictions and recommendations, reported descriptively.", words=("Measure",))],
        note="Before: the doubly robust rate under the arm in all development patients, where it is stored. "
        "Recommendations: by the highest expected utility of the main outcome, in the latest "
        f"{MAX_RECOMMENDED:,} patients.",
    )


def _calibration(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "calibration"]
    if not len(rows):
        return None
    groups = [group.set_index("measure").T.to_dict() for _, group in rows.groupby("name", sort=False)]
    levels = pd.DataFrame([_level_row(group) for group in groups])
    slopes = pd.DataFrame([_slope_row(group) for group in groups if SLOPE in group])
    limits = report.thresholds
    tables = [Table(levels, "Calibration in the large, overall and by received arm.")]
    tables += [Table(slopes, "Calibration slope.")] if len(slopes) else []
    return Section(
        heading="Calibration: do predicted and observed proportions agree?",
        paragraphs=[
            "Predictions for the received arm against outcomes. With perfect calibration, calibration in the "
            "large is 0 and the slope is 1. An alarm needs a difference of more than "
            f"{100 * limits.calibration_difference:g} percentage points between observed and predicted, or a "
            f"slope outside {1 / limits.calibration_slope:.2g} to {limits.calibration_slope:.3g}."
        ],
        tables=tables,
        note="Likelihood-ratio tests (cluster-robust Wald tests with 10 sites or more); p values adjusted by "
        "Holm's method.",
    )


def _level_row(group: dict[Any, Any]) -> dict[str, str]:
    gap, ratio = group[GAP], group[RATIO]
    return {
        "Received arm": str(gap["name"]),
        "Predicted": percent(gap["expected"]),
        "Observed": percent(gap["observed"]),
        "Difference, points": _shown(f"{100 * gap['value']:+.1f}", gap, 100, 1),
        "Observed / expected": _shown(number(ratio["value"]), ratio, 1, 2),
        **_verdict(group[LEVEL]),
    }


def _shown(value: str, row: Any, scale: float, digits: int) -> str:
    """Return a value with its interval, as far as they are known."""
    if pd.isna(row["value"]):
        return DASH
    return value if pd.isna(row["lower"]) else f"{value} ({_range(row, scale, digits)})"


def _slope_row(group: dict[Any, Any]) -> dict[str, str]:
    slope = group[SLOPE]
    shown = f"{number(slope['value'])} ({_range(slope, 1, 2)})"
    return {"Received arm": str(slope["name"]), "Slope": shown, **_verdict(slope)}


def _sequential(report: ReportData) -> Section | None:
    test = report.sequential_test
    if test is None:
        return None
    axes = test.plot(plots.bare_axes)
    verdict = (
        f"The threshold was reached within {test.alarm_at:,} patients, with {test.direction} outcomes than "
        "predicted."
        if test.alarm
        else "The threshold was not reached."
    )
    return Section(
        heading="Sequential monitoring of calibration",
        paragraphs=[
            "Evidence, after each patient, that outcomes are more or less frequent than predicted. If no "
            f"prediction is wrong by more than {100 * test.tolerance:g} percentage points, the probability "
            f"that the evidence ever reaches {test.threshold:g} is at most {100 * test.false_alarm_rate:.2g} "
            f"%, however often it is inspected. {verdict}"
        ],
        figures=[
            Figure(plots.to_svg(axes, name="sequential"), "Evidence against calibration over patients.")
        ],
        note="Test martingale for higher and lower odds: Ville 1939; Arnold, Henzi & Ziegel 2023.",
    )


def _ends(report: ReportData) -> list[Section]:
    found = [
        Section(heading="False-alarm rate", paragraphs=[report.false_alarm_guarantee, _repeated(report)])
    ]
    if len(report.cautions) > ON_FRONT:
        found.append(Section(heading="All cautions", paragraphs=list(report.cautions)))
    if report.not_estimable:
        frame = pd.DataFrame(report.not_estimable, columns=["Item", "Reason"])
        table = Table(frame, "Tests that these data, or the model file, do not allow.", words=("Reason",))
        found.append(Section(heading="Not tested", tables=[table]))
    return found


def _repeated(report: ReportData) -> str:
    rate = report.false_alarm_rate
    return (
        f"An adjusted p value of at most {rate / len(FAMILIES):.3g} gives an alarm if the difference exceeds "
        "its threshold. The rate refers to one report, and two thirds of it are spent again in each report: "
        f"of 12 monthly reports without any change, up to {8 * rate:.2g} give a false alarm on average. "
        f"Divide the rate by the number of reports if {100 * rate:g} % is to hold for all of them. The tests "
        "assume independent patients: several rows per person, or few sites, make false alarms more frequent."
    )
