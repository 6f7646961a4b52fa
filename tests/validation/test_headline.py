"""The headline of a report: interval of the gain over the truly best arm, verdict, words and picture."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel.errors import InputError
from treatsel.metrics import aipw_scores, best_arm_gain
from treatsel.metrics.policy import CROSS_FITTED, SMALLEST, patients_for
from treatsel.validation import ValidationReport, validate
from treatsel.validation.report._front_table import GOOD, POOR, UNCLEAR, front_rows
from treatsel.validation.report._headline import CANNOT_TELL, Headline
from treatsel.validation.report._page import page_of

ARMS = ["CBT", "IPT", "SSRI"]


def cohort_of(n, *, modifier, seed=0, rare=False):
    """Three arms in a trial, of which SSRI has an effect that depends on x; the true by-arm table."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), rng.choice(ARMS, n, p=[0.49, 0.02, 0.49] if rare else None)
    table = pd.DataFrame({"CBT": expit(0.2 * x), "IPT": expit(0.2 * x - 0.1), "SSRI": expit(modifier * x)})
    own = table.to_numpy()[np.arange(n), np.searchsorted(ARMS, arm)]
    frame = pd.DataFrame({"x": x, "arm": arm, "remission": (rng.random(n) < own).astype(int)})
    return ts.Cohort(frame), table


def report_of(n, **options):
    settings = {name: options.pop(name) for name in ("modifier", "seed", "rare") if name in options}
    cohort, table = cohort_of(n, **({"modifier": 0.6} | settings))
    return validate(table, cohort, assignment="randomised", sections=(), comparator="CBT", **options)


@pytest.fixture(scope="module")
def small():
    return report_of(400)


def rows_of(report):
    return report.tables["headline"].set_index("figure")


def test_the_table_holds_what_the_function_returns(small):
    cohort, table = cohort_of(400, modifier=0.6)
    shares = cohort.received.value_counts(normalize=True)
    propensity = pd.DataFrame({arm: shares[arm] for arm in ARMS}, index=table.index)
    scores = aipw_scores(cohort.y, cohort.received, table, propensity)
    expected = best_arm_gain(scores, table.idxmax(axis=1), y_true=cohort.y)
    found = rows_of(small)
    whole = expected.to_frame().set_index("figure").drop(columns="comparator_arm")
    pd.testing.assert_frame_equal(found.loc[whole.index, list(whole)], whole, check_dtype=False)
    pd.testing.assert_frame_equal(small.tables["headline: policies"], expected.policies())
    assert found.loc["gain over the arm named beforehand", "value"] == small.gain.value
    received = small.figure("gain over the received arm")
    assert found.loc["gain over the received arm", "lower"] == received["lower"]
    row = small.figure("gain over the best single arm, selected in these data, selection-adjusted interval")
    assert (row["lower"], row["upper"]) == (expected.interval.lower, expected.interval.upper)
    cross = small.figure("gain over the best single arm, cross-fitted")
    assert cross["value"] == found.loc[CROSS_FITTED, "value"]


def test_a_small_cohort_cannot_tell_and_says_how_many_patients_are_needed(small):
    detectable = rows_of(small).loc["smallest detectable gain", "value"]
    assert detectable > 0.05
    needed = int(float(f"{patients_for(0.05, detectable=detectable, n=400):.2g}"))
    assert small.headline.startswith("This cohort cannot tell whether the recommendations improve the rate")
    assert f"About {needed:,} patients are needed to detect a gain of 5.0." in small.headline
    assert front_rows(small)[0].verdict == CANNOT_TELL
    assert "cannot tell" in small._repr_html_()


def test_the_plausible_gain_decides_whether_the_cohort_can_tell(small):
    large = report_of(400, plausible_gain=0.5)
    assert large.about["plausible_gain"] == 0.5
    assert large.headline.startswith("No gain shown in the rate of remission over the best single arm")
    assert front_rows(large)[0].verdict == UNCLEAR
    assert "a gain of 50 points could not be detected" in front_rows(large)[0].criterion
    with pytest.raises(InputError, match="plausible_gain is 5; it must be a proportion"):
        report_of(400, plausible_gain=5)
    changed = replace(small, about={**small.about, "plausible_gain": 0.5})
    assert changed.headline == large.headline


def test_a_gain_and_a_loss_are_shown():
    cohort, table = cohort_of(3000, modifier=1.5)
    good = validate(table, cohort, assignment="randomised", sections=(), comparator="CBT")
    assert "associated with a higher rate of remission than giving all patients the best" in good.headline
    assert front_rows(good)[0].verdict == GOOD
    turned = table.rename(columns={"CBT": "SSRI", "SSRI": "CBT"})
    bad = validate(turned, cohort, assignment="randomised", sections=(), comparator="CBT")
    assert "a lower rate of remission" in bad.headline
    assert front_rows(bad)[0].verdict == POOR


def test_the_comparator_does_not_change_the_headline(small):
    """Nobody can improve the headline by naming a weak arm."""
    cohort, table = cohort_of(400, modifier=0.6)
    other = validate(table, cohort, assignment="randomised", sections=(), comparator="IPT")
    assert other.gain.value != small.gain.value
    numbers = ["lower", "upper", "bias_equal"]
    pd.testing.assert_frame_equal(rows_of(other).iloc[:4][numbers], rows_of(small).iloc[:4][numbers])
    assert other.headline == small.headline


def test_one_arm_for_all_is_compared_with_the_truly_best():
    cohort, table = cohort_of(400, modifier=0.6)
    report = validate(table.assign(CBT=0.99), cohort, assignment="randomised", sections=(), comparator="CBT")
    assert "recommends CBT, the best single arm, for all patients" in report.headline
    assert "interval of the gain over the truly best arm -" in report.headline
    assert "to 0.0 percentage points" in report.headline
    assert front_rows(report)[0].verdict == UNCLEAR


def test_arms_with_few_events_are_named_and_left_out():
    report = report_of(600, rare=True)
    found = report.tables["headline: policies"]["policy"]
    assert "all patients receive IPT" not in set(found)
    assert any("are left out of the comparison with the best single arm" in text for text in report.cautions)
    assert any("['IPT']" in text for text in report.cautions)
    assert "2 gains" in rows_of(report).loc["gain over the best single arm", "method"]


def test_few_patients_with_another_arm_are_not_disclosed():
    """The gain over an arm from which the recommendations of three patients differ tells of these three."""
    cohort, table = cohort_of(400, modifier=0.6)
    one = table.assign(SSRI=0.99)
    one.iloc[:3] = [0.99, 0.1, 0.1]
    report = validate(one, cohort, assignment="randomised", sections=(), comparator="CBT")
    assert "headline" not in report.tables
    row = report.figure("gain over the best single arm, selected in these data, selection-adjusted interval")
    assert np.isnan(row["lower"])
    assert "differ from one arm in fewer than 5 patients" in row["method"]
    with pytest.raises(InputError, match="no comparison with the truly best arm"):
        report.plot_headline()


def test_a_report_written_before_is_read_with_its_own_headline(small, tmp_path):
    content = small.to_dict()
    content["tables"] = {name: table for name, table in content["tables"].items() if "headline" not in name}
    content["about"] = {key: value for key, value in content["about"].items() if key != "plausible_gain"}
    (tmp_path / "old.json").write_text(json.dumps(content))
    old = ValidationReport.from_json(tmp_path / "old.json")
    assert "changes the rate of remission by" in old.headline
    assert front_rows(old)[0].verdict == UNCLEAR
    headings = [section.heading for section in page_of(old).sections]
    assert not any(heading.startswith("Gain over the best single arm") for heading in headings)
    old.to_html(tmp_path / "old.html")


def test_the_page_shows_both_estimates_with_their_bias(small, tmp_path):
    small.to_json(tmp_path / "a.json")
    again = ValidationReport.from_json(tmp_path / "a.json")
    assert again.headline == small.headline
    for report, name in ((small, "a"), (again, "b")):
        report.to_html(tmp_path / f"{name}.html")
    text = (tmp_path / "a.html").read_text()
    assert text == (tmp_path / "b.html").read_text()
    for words in (f"{SMALLEST} (biased downward)", f"{CROSS_FITTED} (biased upward)", "Monte Carlo error"):
        assert words in text
    assert 'class="verdict cannot tell"' in text


def test_the_picture_has_the_rule_practice_and_each_arm(small):
    ax = small.plot_headline()
    labels = [label.get_text() for label in ax.get_yticklabels()][::-1]
    assert [label.partition(",")[0] for label in labels] == ["recommendations", "current practice", *ARMS]
    assert "truly best arm" in ax.get_xlabel().replace("\n", " ")
    assert ax.figure.get_size_inches()[0] <= 6.5  # legible at 400 pixels


@pytest.mark.parametrize(
    ("lower", "upper", "detectable", "verdict"),
    [
        (0.01, 0.1, 0.08, "higher"),
        (-0.1, -0.01, 0.08, "lower"),
        (-0.1, 0.1, 0.08, CANNOT_TELL),
        (-0.01, 0.03, 0.04, "not shown"),
        (-0.1, 0.0, np.nan, "not shown"),
    ],
)
def test_the_verdict_follows_from_interval_and_power(lower, upper, detectable, verdict):
    found = Headline(lower=lower, upper=upper, detectable=detectable, plausible_gain=0.05, n=1000, level=0.95)
    assert found.verdict == verdict
    sentence = found.sentence("remission")
    assert len(sentence) < 400
    assert ("nan" in sentence) is False
    assert ("80% power" in sentence) == (verdict in (CANNOT_TELL, "not shown") and detectable == detectable)
