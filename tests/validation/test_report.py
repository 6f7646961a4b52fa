"""The whole report: parts, front table, checklists, JSON round trip, and comparison of two reports."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel._measures import measure_of
from treatsel.datasets import load_synthetic
from treatsel.errors import InputError
from treatsel.validation import ValidationReport, compare, parts, validate
from treatsel.validation.report import sections
from treatsel.validation.report._front_table import GOOD, POOR, UNCLEAR, UNKNOWN, Bounds, front_rows
from treatsel.validation.report._headline import CANNOT_TELL
from treatsel.validation.report._page import page_of


@pytest.fixture(scope="module")
def simulated():
    """Two thousand synthetic patients of six services, a third of them without outcome."""
    return load_synthetic("external")


@pytest.fixture(scope="module")
def report(simulated):
    return validate(simulated.truth["recovery"], simulated.cohort, outcome="recovery", comparator="ipt")


def test_every_part_is_present(report):
    assert set(report.figures["section"]) == {
        *("policy", "gain", "base rate", "discrimination", "calibration", "overall", "calibration errors"),
        *("naive", "utility", "benefit", "sites", "subgroups", "missing outcomes", "confounding"),
        *("calibration tests", "modification", "rule in use"),
    }
    wanted = {
        "flow",
        "decision curve",
        "effect by risk",
        "toc",
        "sites",
        "subgroups",
        "checklist",
        "sample size",
    }
    assert wanted <= set(report.tables)
    headings = [section.heading for section in page_of(report).sections]
    assert len(headings) == len(set(headings)) >= 15


def test_every_row_is_named_by_the_list_of_measures(report):
    for name in report.figures["measure"].unique():
        assert name.startswith(measure_of(name).label)


def test_every_figure_has_interval_or_a_reason(report):
    bare = report.figures[report.figures["lower"].isna()]
    assert (bare["method"].str.len() > 10).all()
    whole = report.figures.drop(bare.index)
    whole = whole[~whole["measure"].str.startswith("E-for-benefit")]  # resamples are biased upwards
    assert (whole["lower"] <= whole["value"] + 1e-12).all()
    assert (whole["value"] <= whole["upper"] + 1e-12).all()
    assert (report.figures["n"] > 0).all()


def test_the_true_benefit_is_calibrated(report):
    slopes = report.figures[report.figures["measure"] == "benefit slope"]
    assert len(slopes) == 5
    assert ((slopes["lower"] < 1) & (slopes["upper"] > 1)).sum() >= 4


def test_bounds_of_missing_outcomes_contain_the_estimate(report):
    ends = ("lowest", "observed", "highest")
    gain = {end: report.figure(f"gain over the best single arm, {end}") for end in ends}
    assert gain["lowest"]["value"] < gain["observed"]["value"] < gain["highest"]["value"]
    assert any("as unfavorable as possible" in caution for caution in report.cautions)


def test_json_round_trip_gives_the_same_report(report, tmp_path):
    report.to_json(tmp_path / "a.json")
    again = ValidationReport.from_json(tmp_path / "a.json")
    pd.testing.assert_frame_equal(again.figures, report.figures, check_dtype=False)
    assert again.headline == report.headline
    assert again.gain.to_dict() == report.gain.to_dict()
    assert again.cautions == report.cautions
    assert again.not_estimable == report.not_estimable
    report.to_html(tmp_path / "a.html")
    again.to_html(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()
    again.to_json(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_json_is_plain_and_versioned(report):
    text = json.dumps(report.to_dict(), allow_nan=False)
    content = json.loads(text)
    assert (content["kind"], content["schema"]) == ("treatsel validation report", 1)
    assert set(content["figures"]) == set(report.figures.columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: [], "not a validation report"),
        (lambda content: content | {"kind": "model"}, "not a validation report"),
        (lambda content: content | {"schema": 2}, "has schema 2; this version of treatsel reads 1"),
        (lambda content: {k: v for k, v in content.items() if k != "gain"}, "incomplete or damaged"),
        (lambda content: content | {"figures": {"section": [1]}}, "incomplete or damaged"),
        (lambda content: content | {"tables": 3}, "incomplete or damaged"),
    ],
)
def test_a_file_that_is_not_a_report_is_refused(report, change, message):
    with pytest.raises(InputError, match=message):
        ValidationReport.from_dict(change(report.to_dict()))


def test_a_file_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not a JSON file"):
        ValidationReport.from_json(tmp_path / "a.json")


# --- front table


@pytest.mark.parametrize(
    ("bounds", "above", "within"),
    [
        (Bounds(1.0, 0.9, 1.1), GOOD, GOOD),
        (Bounds(0.1, -0.1, 0.3), UNCLEAR, POOR),
        (Bounds(-0.2, -0.3, -0.1), POOR, POOR),
        (Bounds(0.9, 0.7, 1.1), GOOD, UNCLEAR),
        (Bounds(2.0, 1.5, 2.5), GOOD, POOR),
        (Bounds(1.0, np.nan, np.nan), UNKNOWN, UNKNOWN),
    ],
)
def test_verdicts_follow_from_the_interval(bounds, above, within):
    assert (bounds.above(0.0), bounds.within(0.8, 1.2)) == (above, within)


def test_the_front_table_shows_each_interval(report):
    rows = front_rows(report)
    assert len(rows) == 6
    assert {row.verdict for row in rows} <= {GOOD, UNCLEAR, POOR, UNKNOWN, CANNOT_TELL}
    assert all(" to " in row.estimate for row in rows[:4])
    assert rows[-1].verdict == POOR  # outcomes: 29 % are missing
    assert "577 of 2,000" in rows[-1].estimate


def test_a_figure_without_interval_is_unknown_not_good(report):
    table = report.tables["headline"]
    nothing = {"gain": replace(report.gain, lower=np.nan, upper=np.nan)}
    bare = replace(report, tables=report.tables | {"headline": table.assign(lower=np.nan)}, **nothing)
    assert front_rows(bare)[0].verdict == UNKNOWN


def calibrated(simulated, **factors):
    """Report on predictions with the right mean in each arm, but for the factors."""
    seen = simulated.cohort.y["recovery"].notna().to_numpy()  # with lost outcomes, ratios would be weighted
    table, cohort = simulated.truth["recovery"][seen], simulated.cohort.take(seen)
    y, received = cohort.y["recovery"], cohort.received
    ratios = {
        arm: y[received == arm].mean() / table.loc[received == arm, arm].mean() for arm in table.columns
    }
    scaled = {arm: table[arm] * ratio * factors.get(arm, 1.0) for arm, ratio in ratios.items()}
    table = table.assign(**scaled).clip(upper=1)
    return validate(table, cohort, outcome="recovery", comparator="ipt", sections=())


def mean_calibration(report):
    (row,) = (row for row in front_rows(report) if row.question.startswith("Calibration (mean)"))
    return row


def test_one_arm_off_decides_the_verdict_on_mean_calibration_and_is_named(simulated):
    assert mean_calibration(calibrated(simulated)).verdict == GOOD
    off = calibrated(simulated, cbt=1.4)
    overall = off.figures.query("measure == 'observed / expected' and group == 'overall'").iloc[0]
    assert 0.8 < overall["lower"] < overall["upper"] < 1.2  # taken alone, good
    row = mean_calibration(off)
    assert row.verdict == POOR
    assert "; cbt 0.73 (0.62 to 0.87)" in row.estimate
    assert "medication" not in row.estimate


def test_an_arm_that_is_off_by_chance_among_several_is_unclear(simulated):
    report = calibrated(simulated)
    figures = report.figures.copy()
    rows = (figures["measure"] == "observed / expected") & (figures["group"] == "cbt")
    figures.loc[rows, ["value", "lower", "upper"]] = [0.75, 0.58, 0.97]  # p = .03, among five arms
    row = mean_calibration(replace(report, figures=figures))
    assert row.verdict == UNCLEAR
    assert "cbt 0.75 (0.58 to 0.97)" in row.estimate


def test_a_subgroup_that_is_off_is_no_arm(simulated):
    report = calibrated(simulated)
    before = mean_calibration(report)
    mine = report.figures["measure"] == "observed / expected"
    off = report.figures[mine].head(1).assign(section="subgroups", group="gender: female")
    figures = pd.concat([report.figures, off.assign(value=1.6, lower=1.4, upper=1.8)], ignore_index=True)
    assert mean_calibration(replace(report, figures=figures)) == before


# --- checklists


def test_checklists_are_filled_in_from_the_report(report, tmp_path):
    items = report.tables["checklist"].set_index(["list", "item"])["answer"]
    assert "1,423" in items["TRIPOD+AI", "20a"]
    assert items["TRIPOD+AI", "17"] == "author to complete"
    assert "6 sites" in items["TRIPOD+AI", "6a"]
    assert items["TRIPOD-Cluster", "1"] == "External validation across 6 sites."
    assert len(items["TRIPOD+AI"]) == 52
    report.write_checklists(tmp_path / "lists.md")
    assert "| 20a | Results |" in (tmp_path / "lists.md").read_text()
    report.write_checklists(tmp_path / "lists.csv")
    assert len(pd.read_csv(tmp_path / "lists.csv")) == len(report.tables["checklist"])
    with pytest.raises(InputError, match=r"\.md or \.csv"):
        report.write_checklists(tmp_path / "lists.docx")


def test_without_sites_there_is_no_checklist_of_clusters():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    arm, remission = rng.choice(["CBT", "SSRI"], 300), rng.integers(0, 2, 300)
    frame = pd.DataFrame({"x": x, "arm": arm, "remission": remission})
    table = pd.DataFrame({"CBT": expit(x), "SSRI": expit(-x)})
    report = validate(table, ts.Cohort(frame), assignment="randomised")
    assert "TRIPOD-Cluster" not in set(report.tables["checklist"]["list"])
    reasons = dict(report.not_estimable)
    assert "fewer than two sites" in reasons["Heterogeneity between sites"]
    assert "role audit" in reasons["Estimates by subgroup (fairness)"]


# --- two reports


def test_a_report_against_itself_differs_in_nothing(report):
    table = compare(report, report)
    assert len(table) == len(report.figures)
    assert (table["difference"].dropna() == 0).all()
    assert table["same_patients"].all()


def test_the_interval_of_a_difference_is_that_of_two_independent_ones(report):
    a = report.figure("calibration slope")
    moved = report.figures.copy()
    rows = moved["measure"] == "calibration slope"
    moved.loc[rows, ["value", "lower", "upper"]] += 0.5
    found = compare(report, replace(report, figures=moved))
    row = found[(found["measure"] == "calibration slope") & (found["group"] == "overall")].iloc[0]
    half = np.sqrt(2) * (a["upper"] - a["value"])
    assert row["difference"] == pytest.approx(0.5)
    assert (row["lower"], row["upper"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_reports_of_different_outcomes_are_not_compared(report):
    with pytest.raises(InputError, match="differ in outcome"):
        compare(report, replace(report, outcome="dropout"))


# --- disclosure control, and data that must not stop a report


def two_arms(n, seed=0, **columns):
    """A cohort with two equal arms, and its table."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "arm": rng.choice(["CBT", "SSRI"], n), "remission": rng.integers(0, 2, n)})
    return frame.assign(**columns), pd.DataFrame({"CBT": expit(0.3 * x), "SSRI": expit(-0.3 * x)}), rng


def with_roles(frame, **roles):
    book = ts.Codebook.infer(frame)
    edits = {"fields": [{"name": name, "role": role} for name, role in roles.items()]}
    return ts.Cohort(frame, book.merge(edits))


def test_a_person_is_not_a_site_and_is_never_shown():
    frame, table, _ = two_arms(300)
    frame["person"] = [f"NHS{i // 2:04d}" for i in range(300)]
    report = validate(table, with_roles(frame, person="person"), assignment="randomised")
    assert report.about["n_sites"] == 0
    assert "sites" not in report.tables
    assert "NHS0" not in json.dumps(report.to_dict())
    assert report.gain.n_clusters == 150


def test_small_groups_and_sites_are_merged_or_not_reported():
    frame, table, rng = two_arms(400)
    frame["sex"] = ["f"] * 200 + ["m"] * 188 + ["x"] * 9 + ["only one"] * 3
    frame["age"] = rng.integers(18, 90, 400)
    frame["hand"] = "right"
    frame["place"] = ["big"] * 200 + ["other"] * 195 + ["tiny"] * 5
    cohort = with_roles(frame, sex="audit", age="audit", hand="audit", place="site")
    report = validate(table, cohort, assignment="randomised")
    groups = set(report.figures.loc[report.figures["section"] == "subgroups", "group"])
    assert {"sex: f", "sex: m", "sex: small groups"} <= groups
    assert sum(group.startswith("age: ") for group in groups) == 4
    assert any("Estimates by hand" in what for what, _ in report.not_estimable)
    tiny = report.tables["sites"][report.tables["sites"]["site"] == "tiny"]
    assert tiny[["value", "n", "n_events"]].isna().all(axis=None)


def test_an_arm_without_any_outcome_is_left_out_of_policies():
    frame, table, rng = two_arms(400)
    frame["remission"] = frame["remission"].astype(float)
    lost = rng.choice(400, 60, replace=False)
    frame.loc[lost, "arm"] = "TAU"
    frame.loc[lost, "remission"] = np.nan
    report = validate(table.assign(TAU=0.4), ts.Cohort(frame), assignment="randomised")
    assert any("No outcome was observed under ['TAU']" in caution for caution in report.cautions)
    assert report.has("gain over the best single arm, lowest")


def test_no_arm_with_very_few_patients_is_selected_as_the_best():
    frame, table, _ = two_arms(400)
    frame.loc[:3, ["arm", "remission"]] = ["rare", 1]
    report = validate(table.assign(rare=0.1), ts.Cohort(frame), assignment="randomised")
    assert report.gain.comparator_arm in ("CBT", "SSRI")
    assert report.gain.comparator_source == "selected in these data"


def test_labels_that_are_numbers_are_matched_as_text():
    frame, table, _ = two_arms(300)
    frame["arm"] = (frame["arm"] == "SSRI").astype(int)
    report = validate(table.set_axis([0, 1], axis=1), ts.Cohort(frame), comparator=1, assignment="randomised")
    assert str(report.gain.comparator_arm) == "1"


@pytest.mark.parametrize("outcome", [0, 1])
def test_a_cohort_with_one_class_still_gives_a_report(tmp_path, outcome):
    frame, table, _ = two_arms(200, remission=outcome)
    report = validate(table, ts.Cohort(frame), comparator="CBT")
    assert report.headline.startswith(f"The outcome is {outcome} in all patients")
    assert report.cautions[0].startswith(f"The outcome remission is {outcome} in all patients")
    assert front_rows(report)[0].verdict == UNKNOWN
    assert np.isnan(report.gain.value)
    assert not report.figures["section"].isin(["policy", "benefit", "utility", "confounding"]).any()
    reasons = dict(report.not_estimable)
    assert {"Utility", "Benefit", "Confounding", "Updating", "AUC, overall"} <= set(reasons)
    assert "in all patients" in reasons["Benefit"]
    report.to_json(tmp_path / "a.json")
    report.to_html(tmp_path / "a.html")
    ValidationReport.from_json(tmp_path / "a.json").to_html(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()


def test_gains_over_different_arms_are_not_subtracted(report, simulated):
    other = validate(
        simulated.truth["recovery"], simulated.cohort, outcome="recovery", comparator="cbt", sections=()
    )
    assert not compare(report, other)["measure"].str.contains("best single arm").any()


@pytest.mark.parametrize(("lost", "overturned"), [(400, True), (2, False)])
def test_cautions_that_may_overturn_a_clear_gain_come_first(lost, overturned):
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=1000), rng.choice(["CBT", "SSRI"], 1000)
    table = pd.DataFrame({"CBT": expit(2 * x), "SSRI": expit(-2 * x)})
    outcome = (rng.random(1000) < np.where(arm == "CBT", table["CBT"], table["SSRI"])).astype(float)
    outcome[:lost] = np.nan
    cohort = ts.Cohort(pd.DataFrame({"x": x, "arm": arm, "remission": outcome}))
    report = validate(
        table, cohort, assignment="randomised", comparator="CBT", sections=["missing outcomes", "updating"]
    )
    assert report.gain.lower > 0
    lowest = report.figure("gain over the best single arm, lowest")
    assert (lowest["lower"] <= 0) == overturned
    assert report.cautions[0].startswith("If the missing outcomes") == overturned
    assert any(caution.startswith("If the missing outcomes") for caution in report.cautions)


def test_bounds_do_not_overturn_an_unclear_gain():
    frame, table, _ = two_arms(400)
    frame["remission"] = frame["remission"].astype(float).where(np.arange(400) > 150)
    report = validate(
        table, ts.Cohort(frame), assignment="randomised", comparator="CBT", sections=["missing outcomes"]
    )
    assert report.gain.lower < 0 < report.gain.upper
    assert not report.cautions[0].startswith("If the missing outcomes")


# --- printing


def test_the_page_is_ready_for_printing(report, tmp_path):
    """Browsers print the page: rows and figures stay whole, headings stay with what follows, all is shown."""
    report.to_html(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    style = text[text.index("@media print") : text.index("</style>")]
    rules = dict(re.findall(r"([^{}]+)\{([^{}]*)\}", style.removeprefix("@media print {")))
    kept = {
        name.strip()
        for names, rule in rules.items()
        if "break-inside: avoid" in rule
        for name in names.split(",")
    }
    assert {"figure", "tr", ".caution"} <= kept
    led = {
        name.strip()
        for names, rule in rules.items()
        if "break-after: avoid" in rule
        for name in names.split(",")
    }
    assert {"h2", "caption", "thead"} <= led
    assert "overflow: visible" in rules[next(names for names in rules if names.strip() == ".scroll")]
    assert not re.search(r"display:\s*none|visibility:\s*hidden|left: -", style)


def test_headings_begin_with_the_term(report):
    """Headings start with the field's term; the front table and the sections use the same terms."""
    headings = [section.heading for section in page_of(report).sections]
    terms = [heading.partition(":")[0] for heading in headings]
    for term in ("Discrimination", "Calibration", "Clinical utility", "Value of the recommendations"):
        assert term in terms
    assert "Heterogeneity between sites" in terms
    front = {row.question.partition(":")[0].partition(" (")[0] for row in front_rows(report)}
    assert front <= set(terms)


def test_the_naive_contrast_is_labeled_next_to_its_value_under_no_gain(report, tmp_path):
    rows = report.figures[report.figures["section"] == "naive"]
    assert list(rows["measure"]) == ["concordant minus discordant (naive)", "expected under no gain"]
    report.to_markdown(tmp_path / "a.md")
    assert "Naive contrast, not a gain" in (tmp_path / "a.md").read_text()


def test_a_count_of_one_is_singular(tmp_path):
    frame, table, _ = two_arms(41, place=["a"] * 40 + ["b"])
    frame.loc[:1, "x"] = [np.nan, 0.0]
    report = validate(table.fillna(0.5), with_roles(frame, place="site"), assignment="randomised")
    report.to_markdown(tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text()
    assert not re.search(r"\b1 (patients|sites|arms|groups|events|tables)\b", text)


def test_parts_and_sections_have_the_same_names():
    """Each section of the page has the name of the part that computes it."""
    folder = Path(parts.__file__).parent
    names = [
        {path.stem for path in place.glob("_*.py")} - {"__init__", other}
        for place, other in ((folder, "_part"), (folder.parent / "report/sections", "_tables"))
    ]
    assert names[0] == names[1]
    assert all(hasattr(parts, name[1:]) and hasattr(sections, name[1:]) for name in names[0])
