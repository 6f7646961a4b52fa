import math
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import (
    calibration_curve,
    calibration_errors,
    calibration_groups,
    calibration_in_the_large,
    calibration_line,
    calibration_slope,
    observed_expected_ratio,
)

ESTIMATES = [calibration_in_the_large, calibration_slope, observed_expected_ratio]
PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 3)), min_size=8, max_size=30
)


@pytest.mark.parametrize("metric", ESTIMATES)
@settings(max_examples=30, deadline=None)
@given(rows=PATIENTS, random=st.randoms(use_true_random=False))
def test_weights_are_repeated_rows_and_order_does_not_matter(metric, rows, random):
    y, tenth, weight = (np.array(column) for column in zip(*rows, strict=True))
    if not weight.any():
        return
    again = list(np.repeat(np.arange(len(y)), weight))
    random.shuffle(again)
    found, expected = (
        metric(y, tenth / 10, sample_weight=weight).to_dict(),
        metric(y[again], tenth[again] / 10).to_dict(),
    )
    assert found.pop("method") == expected.pop("method")
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-8, nan_ok=True)


@pytest.mark.parametrize("n", [40, 200])
def test_weights_are_repeated_rows_for_curves(cohort, n):
    part = cohort.head(n)
    again = part.loc[part.index.repeat(part["weight"])]
    options = {"at": [0.3, 0.5, 0.6]}
    found = calibration_curve(part["y"], part["p"], arm=part["arm"], sample_weight=part["weight"], **options)
    expected = calibration_curve(again["y"], again["p"], arm=again["arm"], **options)
    for name in ("table", "groups"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), rtol=1e-7)
    errors = calibration_errors(part["y"], part["p"], sample_weight=part["weight"]).to_dict()
    repeated = calibration_errors(again["y"], again["p"]).to_dict()
    assert errors.pop("smoother") == repeated.pop("smoother")
    assert errors == pytest.approx(repeated, rel=1e-7)


def test_recalibrated_predictions_are_calibrated(cohort):
    line = calibration_line(cohort["y"], cohort["q"])
    better = expit(line.intercept.value + line.slope.value * logit(cohort["q"]))
    again = calibration_line(cohort["y"], better)
    assert again.intercept.value == pytest.approx(0, abs=1e-8)
    assert again.slope.value == pytest.approx(1, abs=1e-8)
    shifted = expit(logit(cohort["q"]) + calibration_in_the_large(cohort["y"], cohort["q"]).value)
    assert observed_expected_ratio(cohort["y"], shifted).value == pytest.approx(1)


def test_complement_turns_the_sign(cohort):
    ahead = calibration_line(cohort["y"], cohort["p"])
    back = calibration_line(1 - cohort["y"], 1 - cohort["p"])
    assert back.slope.value == pytest.approx(ahead.slope.value)
    assert back.intercept.value == pytest.approx(-ahead.intercept.value)
    assert back.covariance == pytest.approx(-ahead.covariance)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]),
        ([1, 1, 1, 0, 0, 0], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]),
        ([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.5, 0.5, 0.7, 0.9]),
        ([0, 1, 0, 1, 1, 1], [0.4] * 6),
        ([1] * 6, [0.1, 0.2, 0.3, 0.6, 0.7, 0.9]),
        ([1], [0.3]),
    ],
    ids=["separated", "reversed", "tie at the border", "equal", "one class", "one patient"],
)
def test_slope_without_a_maximum_is_not_estimable(y, p):
    found = calibration_slope(y, p)
    assert math.isnan(found.value)
    assert math.isnan(found.upper)
    assert found.method.startswith("not estimable")


def test_in_the_large_needs_both_classes_only():
    assert math.isnan(calibration_in_the_large([1, 1], [0.3, 0.4]).value)
    assert calibration_in_the_large([0, 1], [0.5, 0.5]).value == pytest.approx(0)


def test_far_off_predictions_still_converge():
    found = calibration_in_the_large([0, 1] * 5, [1e-7] * 10)
    assert found.value == pytest.approx(-logit(1e-7))


def test_predictions_of_zero_and_one_are_counted():
    with pytest.warns(TreatselWarning, match="2 of 5 predicted probabilities are 0 or 1"):
        found = calibration_slope([0, 1, 0, 1, 0], [0.0, 0.7, 0.6, 1.0, 0.8])
    assert math.isfinite(found.value)
    with pytest.warns(TreatselWarning, match="2 of 5") as caught:
        calibration_curve([0, 1, 0, 1, 0], [0.0, 0.7, 0.6, 1.0, 0.8])
    assert len(caught) == 1


def test_observed_expected_ratio_of_one_class_is_exact():
    found = observed_expected_ratio([0] * 10, [0.2] * 10)
    assert (found.value, found.lower) == (0, 0)
    assert found.upper == pytest.approx((1 - 0.025 ** (1 / 10)) / 0.2)
    assert observed_expected_ratio([1] * 10, [0.5] * 10).upper == pytest.approx(2)
    assert math.isnan(observed_expected_ratio([0, 1], [0.0, 0.0]).value)


def test_curve_falls_back_and_says_so():
    rng = np.random.default_rng(0)
    y = rng.binomial(1, 0.4, 90)
    few = {1: "constant", 2: "straight line", 4: "4 knots", 5: "5 knots", 60: "5 knots"}
    for distinct, smoother in few.items():
        p = np.linspace(0.2, 0.8, distinct)[np.arange(90) % distinct]
        found = calibration_errors(y, p)
        assert smoother in found.smoother, distinct
        assert math.isfinite(found.ici)
    assert calibration_errors(y, np.full(90, 0.3)).ici == pytest.approx(abs(y.mean() - 0.3))
    nothing = calibration_errors([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert math.isnan(nothing.emax)
    assert nothing.smoother.startswith("not estimable")


def test_curve_holds_what_it_draws(cohort):
    before = "matplotlib.pyplot" in sys.modules
    curve = calibration_curve(cohort["y"], cohort["p"], arm=cohort["arm"])
    table = curve.to_frame()
    assert list(table.columns) == ["arm", "predicted", "observed", "lower", "upper"]
    assert list(table["arm"].unique()) == ["CBT", "IPT", "SSRI"]
    assert ((table["lower"] <= table["observed"]) & (table["observed"] <= table["upper"])).all()
    assert curve.groups.groupby("arm")["n"].sum().to_dict() == cohort["arm"].value_counts().to_dict()
    ax = curve.plot()
    assert ax.get_xlabel() == "Predicted probability"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["CBT", "IPT", "SSRI"]
    assert curve.plot(ax) is ax
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_default_grid_stays_where_patients_are(cohort):
    table = calibration_curve(cohort["y"], cohort["p"]).to_frame()
    assert len(table) == 101
    low, high = np.quantile(cohort["p"], [0.01, 0.99])
    assert (table["predicted"].min(), table["predicted"].max()) == pytest.approx((low, high))


def test_groups_keep_ties_together():
    groups = calibration_groups([0, 1] * 6, [0.2] * 6 + [0.4] * 4 + [0.9] * 2, n_groups=4)
    assert groups["n"].tolist() == [6, 4, 2]
    assert groups["observed"].tolist() == [0.5, 0.5, 0.5]


def test_slope_and_band_cover():
    rng, times = np.random.default_rng(2), 200
    slope = band = large = 0
    for _ in range(times):
        line = rng.normal(0, 1.2, 300)
        y, p = rng.binomial(1, expit(0.3 + 0.7 * line)), expit(line)
        found = calibration_slope(y, p)
        slope += found.lower <= 0.7 <= found.upper
        point = calibration_curve(y, p, at=[0.7]).to_frame().iloc[0]
        band += point["lower"] <= expit(0.3 + 0.7 * logit(0.7)) <= point["upper"]
        fair = calibration_in_the_large(rng.binomial(1, p), p)
        large += fair.lower <= 0 <= fair.upper
    for covered in (slope, band, large):
        assert 0.9 < covered / times < 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_slope([0, 1], [0.2, 1.2]), "y_prob holds 1 values outside 0 to 1"),
        (
            lambda: calibration_curve([0, 1], [0.2, 0.3], n_knots=9),
            "n_knots is 9; it must be 3, 4, 5, 6 or 7",
        ),
        (lambda: calibration_curve([0, 1], [0.2, 0.3], at=[20]), "at holds 1 values outside 0 to 1"),
        (lambda: calibration_curve([0, 1], [0.2, 0.3], arm=["a"]), "Lengths differ: y_true 2, arm 1"),
        (lambda: calibration_groups([0, 1], [0.2, 0.3], n_groups=0), "n_groups is 0"),
        (lambda: calibration_errors([0, 1], [0.2, 0.3], smooth_on="log"), "Did you mean 'logit'"),
        (lambda: observed_expected_ratio([0, 1], [0.2, 0.3], interval="raw"), "interval is 'raw'"),
    ],
)
def test_bad_input_says_what_and_how(call, message):
    with pytest.raises(InputError, match=message):
        call()
