"""A monitoring report as a page: headline, front table, one section per question."""

from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, percent
from treatsel._reporting.page import Figure, FrontRow, Page, Section, Table
from treatsel.monitoring._calibration import GAP, LEVEL, RATIO, SLOPE
from treatsel.monitoring._covariate_drift import MEAN, MISSING, OUTSIDE, SHARES, SPREAD
from treatsel.monitoring._model_use import MOST_RECOMMENDED
from treatsel.monitoring.report._data import ReportData
from treatsel.monitoring.report._wording import FAMILIES, sentence_of, shown_evidence, shown_p

GOOD, UNCLEAR, POOR, UNKNOWN = "good", "unclear", "poor", "unknown"
MEANING = "poor: alarm; unclear: a difference that matters, but chance may explain it"
ON_FRONT = 3  # cautions


def page_of(report: ReportData) -> Page:
    """Return the whole page."""
    makers = (_inputs, _levels, _warnings, _predictions, _calibration, _running)
    sections = [section for maker in makers if (section := maker(report)) is not None]
    return Page(
        title=f"Monitoring: {report.outcome}",
        headline=report.headline,
        front_table=_front_rows(report),
        facts=_facts(report),
        cautions=report.cautions[:ON_FRONT],
        sections=[*_alarms(report), *sections, *_ends(report)],
    )


def _facts(report: ReportData) -> list[tuple[str, str]]:
    return [
        ("Recent patients", f"{report.n:,}"),
        ("With known outcome and arm", f"{report.n_outcomes:,}"),
        ("Covariates compared with", report.compared_with),
        ("Tests", f"{report.n_tests:,}"),
        ("False-alarm rate of the report", f"at most {100 * report.false_alarm_rate:g} %"),
        ("Intervals", f"{100 * report.level:g} %, each by itself"),
        ("Model", report.model_id[:12] if report.model_id else "not from a file"),
    ]


def _front_rows(report: ReportData) -> list[FrontRow]:
    questions = {
        "inputs": "Are the patients still those of before?",
        "warnings": "Are their values sound?",
        "calibration": "Do the probabilities mean what they say?",
    }
    found = [_light(report, section, question) for section, question in questions.items()]
    running = report.running
    if running is None:
        figure, verdict = "too few outcomes, or none", UNKNOWN
    else:
        figure = f"highest evidence {shown_evidence(running.highest)}, alarm at {running.threshold:g}"
        verdict = POOR if running.alarm else GOOD
    question = "Did they all along, whenever one looked?"
    return [*found, FrontRow(question, figure, verdict, "poor once the evidence has reached the threshold")]


def _light(report: ReportData, section: str, question: str) -> FrontRow:
    rows = report.figures[(report.figures["section"] == section) & report.figures["p_value"].notna()]
    n_alarms, n_large = int(rows["alarm"].sum()), int(rows["matters"].sum())
    if not len(rows):
        return FrontRow(question, "not tested", UNKNOWN, MEANING)
    figure = f"{n_alarms} alarms in {len(rows)} tests"
    if beyond := n_large - n_alarms:
        figure += f", {beyond} more differences that would matter"
    return FrontRow(question, figure, POOR if n_alarms else UNCLEAR if beyond else GOOD, MEANING)


def _alarms(report: ReportData) -> list[Section]:
    rows = report.alarms.to_dict(orient="records")
    return [Section(heading="Alarms", paragraphs=[sentence_of(row) for row in rows])] if rows else []


def _tested(records: list[Any]) -> dict[str, list[str]]:
    """Return the columns that every tested row has."""
    shown = [_verdict(row) for row in records]
    return {name: [row[name] for row in shown] for name in ("n", "Adjusted p", "Alarm")}


def _verdict(row: Any) -> dict[str, str]:
    found = {"n": f"{int(row['n']):,}", "Adjusted p": DASH, "Alarm": DASH}
    if row["p_value"] == row["p_value"]:
        p = shown_p(row["p_adjusted"]).removeprefix("= ")
        found |= {"Adjusted p": p, "Alarm": "ALARM" if row["alarm"] else "no"}
    return found


def _inputs(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "inputs"]
    if not len(rows):
        return None
    drawn = int((rows["measure"].isin([MEAN, SHARES]) & rows["value"].notna()).sum())
    figures = []
    if drawn:
        axes = report.plot(plots.bare_axes(width=7, height=1.2 + 0.36 * drawn))
        words = "Standardised difference of each covariate, now less before, with intervals."
        figures = [Figure(plots.to_svg(axes, name="inputs"), words)]
    is_empty = rows["measure"].isin([MISSING, OUTSIDE]) & (rows["found"] == 0)
    rows = rows[~is_empty].sort_values("alarm", ascending=False, kind="stable")
    records = rows.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Covariate": rows["name"].tolist(),
            "What": rows["measure"].tolist(),
            "Before": [_before(row, "expected") for row in records],
            "Now": [_before(row, "found") for row in records],
            "Difference": [_difference(row) for row in records],
            **_tested(records),
        }
    )
    return Section(
        heading="Have the patients changed?",
        paragraphs=[
            f"Each covariate is compared with {report.compared_with}. A difference gives an alarm if chance "
            "does not explain it, however many tests are made, and if it is large enough to matter: beyond "
            f"{report.sizes.mean:g} SD (or Cohen's w) for means and categories, a ratio of "
            f"{report.sizes.spread:g} for spread, {100 * report.sizes.share:g} points for missing values."
        ],
        figures=figures,
        tables=[Table(frame, "Covariates before and now, alarms first.", words=("What",))],
        note="Means: Welch; categories and shares: chi-square of two samples, or Fisher; spread: Shoemaker "
        "2003; adjusted for their number: Holm 1979. Counts below 5 are not told. Left out: "
        f"{int(is_empty.sum())} shares that are 0 now. Changed patients need not make predictions wrong: "
        "look at calibration.",
    )


def _before(row: dict[Any, Any], key: str) -> str:
    if row["measure"] in (MEAN, SPREAD):
        return DASH if pd.isna(row[key]) else f"{row[key]:.4g}"
    if row["measure"] == SHARES:
        return DASH
    prefix = "at most " if key == "expected" and "outside" in row["measure"] else ""
    return DASH if pd.isna(row[key]) else prefix + percent(row[key])


def _difference(row: dict[Any, Any]) -> str:
    if pd.isna(row["value"]):
        return DASH
    if "share" in row["measure"]:
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
            "Covariate": rows["column"],
            "Category": rows["category"],
            "Before": [percent(value) for value in rows["before"]],
            "Now": [percent(value) for value in rows["now"]],
        }
    )
    text = f"Share of each category among known values. A dash ({DASH}): too few to be told."
    return Section(heading="Categories", tables=[Table(frame, text, words=("Category",))])


def _warnings(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "warnings"]
    if not len(rows):
        return None
    records = rows.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Warning": rows["name"].tolist(),
            "Patients": [_share(row) for row in records],
            "Expected": [_expected(row) for row in records],
            **_tested(records),
        }
    )
    return Section(
        heading="Which warnings do predictions carry?",
        paragraphs=[
            "Share of patients with each warning at least once. Some no development patient could have, as "
            f"the cohort would have been refused: {100 * report.sizes.fault:g} % of patients are tolerated. "
            "The others are told without a test."
        ],
        tables=[Table(frame, "Warnings by code.")],
        note="Intervals: Wilson. low_propensity: expected is the cross-fitted share at development.",
    )


def _share(row: dict[Any, Any]) -> str:
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
            "Arm or status": [str(name).replace("_", " ") for name in rows["name"]],
            "What": rows["measure"].tolist(),
            "Before": [percent(row["expected"]) for row in records],
            "Now": [_share(row) for row in records],
            "n": [f"{int(n):,}" for n in rows["n"]],
        }
    )
    return Section(
        heading="What does it predict and recommend?",
        tables=[Table(frame, "Predictions and recommendations; told, not tested.", words=("What",))],
        note="Before: the doubly robust rate that all development patients would have had under the arm, "
        "where it is stored. Recommendations: rule of the highest expected value, main outcome only, "
        f"latest {MOST_RECOMMENDED:,} patients.",
    )


def _calibration(report: ReportData) -> Section | None:
    rows = report.figures[report.figures["section"] == "calibration"]
    if not len(rows):
        return None
    groups = [group.set_index("measure").T.to_dict() for _, group in rows.groupby("name", sort=False)]
    levels = pd.DataFrame([_level_row(group) for group in groups])
    slopes = pd.DataFrame([_slope_row(group) for group in groups if SLOPE in group])
    tables = [Table(levels, "Level, overall and by received arm.")]
    tables += [Table(slopes, "Calibration slope.")] if len(slopes) else []
    return Section(
        heading="Do the probabilities still mean what they say?",
        paragraphs=[
            "Predictions for the received arm against outcomes. Calibration in the large is 0 and the slope "
            f"1 if all is well. An alarm needs more than {100 * report.sizes.calibration:g} points between "
            f"observed and predicted, or a slope outside {1 / report.sizes.slope:.2g} to "
            f"{report.sizes.slope:.3g}."
        ],
        tables=tables,
        note="Likelihood-ratio tests (with 10 sites or more: cluster-robust Wald tests), adjusted by Holm's "
        "method.",
    )


def _level_row(group: dict[Any, Any]) -> dict[str, str]:
    gap, ratio = group[GAP], group[RATIO]
    return {
        "Received arm": str(gap["name"]),
        "Predicted": percent(gap["expected"]),
        "Observed": percent(gap["found"]),
        "Difference, points": f"{100 * gap['value']:+.1f} ({_range(gap, 100, 1)})",
        "Observed / expected": f"{number(ratio['value'])} ({_range(ratio, 1, 2)})",
        **_verdict(group[LEVEL]),
    }


def _slope_row(group: dict[Any, Any]) -> dict[str, str]:
    slope = group[SLOPE]
    shown = f"{number(slope['value'])} ({_range(slope, 1, 2)})"
    return {"Received arm": str(slope["name"]), "Slope": shown, **_verdict(slope)}


def _running(report: ReportData) -> Section | None:
    running = report.running
    if running is None:
        return None
    axes = running.plot(plots.bare_axes(width=7, height=4.2))
    verdict = (
        f"It did, within {running.alarm_at:,} patients: {running.direction} outcomes than predicted."
        if running.alarm
        else "It did not."
    )
    return Section(
        heading="Running test of calibration",
        paragraphs=[
            "Evidence that outcomes are more, or less, frequent than predicted, after each patient. If no "
            f"prediction were off by more than {100 * running.tolerance:g} points, the chance that it ever "
            f"reached {running.threshold:g} would be at most {100 * running.false_alarm_rate:.2g} %, however "
            f"often one looks. {verdict}"
        ],
        figures=[Figure(plots.to_svg(axes, name="running"), "Evidence against calibration over patients.")],
        note="Test martingale of bets on higher and lower odds; Ville 1939; Arnold, Henzi & Ziegel 2023.",
    )


def _ends(report: ReportData) -> list[Section]:
    found = [Section(heading="How alarms are made", paragraphs=[report.promise, _repeated(report)])]
    if len(report.cautions) > ON_FRONT:
        found.append(Section(heading="All cautions", paragraphs=list(report.cautions)))
    if report.not_estimable:
        frame = pd.DataFrame(report.not_estimable, columns=["What", "Why not"])
        table = Table(frame, "What these data, or the model file, do not allow.", words=("Why not",))
        found.append(Section(heading="What could not be tested", tables=[table]))
    return found


def _repeated(report: ReportData) -> str:
    rate = report.false_alarm_rate
    return (
        f"An adjusted p value gives an alarm at {rate / len(FAMILIES):.3g} or below, if the difference "
        "matters. That is for one report. Two thirds of the rate come anew with each: of 12 monthly reports "
        f"without any change, up to {8 * rate:.2g} give a false alarm on average. Divide the rate by the "
        f"number of reports if {100 * rate:g} % is to hold for all of them. The tests take patients as "
        "independent: several rows of one person, or few sites, make false alarms more frequent."
    )
