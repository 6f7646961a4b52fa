import math
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binom, chi2

from treatsel._stats.logistic import fit_logistic
from treatsel._stats.splines import fit_smooth, place_knots, refits_of, spline_design
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics.calibration import (
    _curve_refits,
    calibration_curve,
    calibration_groups,
    calibration_in_the_large,
    calibration_slope,
    hosmer_lemeshow,
    integrated_calibration_index,
    logistic_recalibration,
    observed_expected_ratio,
    weak_calibration_test,
)

ESTIMATES = [calibration_in_the_large, calibration_slope, observed_expected_ratio]
PROFILES = [
    partial(calibration_in_the_large, interval="profile"),
    partial(calibration_slope, interval="profile"),
]
SMOOTHERS = ["spline", "loess", "lowess"]
FEW = {"n_resamples": 20, "n_simulations": 20}
PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 3)), min_size=8, max_size=30
)


@pytest.mark.parametrize("metric", ESTIMATES + PROFILES)
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
    found = calibration_curve(
        part["y"], part["p"], received=part["arm"], sample_weight=part["weight"], **options
    )
    expected = calibration_curve(again["y"], again["p"], received=again["arm"], **options)
    for name in ("table", "groups"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), rtol=1e-7)
    errors = integrated_calibration_index(part["y"], part["p"], sample_weight=part["weight"], **FEW)
    repeated = integrated_calibration_index(again["y"], again["p"], **FEW)
    assert (errors.n, errors.smoother) == (repeated.n, repeated.smoother)
    pd.testing.assert_frame_equal(errors.to_frame(), repeated.to_frame())


@pytest.mark.parametrize("smooth", SMOOTHERS)
@pytest.mark.parametrize("smooth_on", ["logit", "probability"])
@pytest.mark.parametrize("exact", [False, True])
def test_every_smoother_repeats_rows_by_weight_in_any_order(cohort, smooth, smooth_on, exact):
    again = cohort.loc[cohort.index.repeat(cohort["weight"])].sample(frac=1, random_state=0)
    options = {"smooth": smooth, "smooth_on": smooth_on, "exact": exact, "at": [0.3, 0.5, 0.71]}
    found = calibration_curve(cohort["y"], cohort["p"], sample_weight=cohort["weight"], **options)
    expected = calibration_curve(again["y"], again["p"], **options)
    pd.testing.assert_frame_equal(found.to_frame(), expected.to_frame(), rtol=1e-6)
    assert found.fits["smoother"].item() == expected.fits["smoother"].item()


def test_recalibrated_predictions_are_calibrated(cohort):
    line = logistic_recalibration(cohort["y"], cohort["q"])
    better = expit(line.intercept.value + line.slope.value * logit(cohort["q"]))
    again = logistic_recalibration(cohort["y"], better)
    assert again.intercept.value == pytest.approx(0, abs=1e-8)
    assert again.slope.value == pytest.approx(1, abs=1e-8)
    shifted = expit(logit(cohort["q"]) + calibration_in_the_large(cohort["y"], cohort["q"]).value)
    assert observed_expected_ratio(cohort["y"], shifted).value == pytest.approx(1)


def test_complement_turns_the_sign(cohort):
    ahead = logistic_recalibration(cohort["y"], cohort["p"])
    back = logistic_recalibration(1 - cohort["y"], 1 - cohort["p"])
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


def test_curve_falls_back_and_reports_it():
    rng = np.random.default_rng(0)
    y = rng.binomial(1, 0.4, 90)
    few = {1: "constant", 2: "straight line", 4: "4 knots", 5: "3 knots", 60: "5 knots"}
    for distinct, smoother in few.items():
        p = np.linspace(0.2, 0.8, distinct)[np.arange(90) % distinct]
        found = integrated_calibration_index(y, p, **FEW)
        assert smoother in found.smoother, distinct
        assert found.to_frame().notna().all(axis=None)
    assert integrated_calibration_index(y, np.full(90, 0.3), **FEW).ici == pytest.approx(abs(y.mean() - 0.3))
    nothing = integrated_calibration_index([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert math.isnan(nothing.emax)
    assert nothing.to_frame().isna().all(axis=None)
    assert nothing.smoother.startswith("not estimable")


@pytest.mark.parametrize(
    ("x", "count", "knots"),  # R 4.2.2, Hmisc 4.8.0: rcspline.eval(x, nk = count, knots.only = TRUE)
    [
        ([0] * 12 + list(range(1, 81)) + [100] * 20, 5, [1, 5.85, 40.5, 75.15, 80]),  # heaps at both ends
        ([0] * 12 + list(range(1, 81)) + [100] * 20, 3, [1, 40.5, 80]),
        (
            [0] * 12 + list(range(1, 81)) + [100] * 3,
            5,
            [1, 6.05, 30.35, 54.65, 79],
        ),  # at one, and few patients
        ([10, 20, 30, 50, 80] * 20, 5, [20, 30, 50]),  # few distinct values
        ([30] * 50 + [100 * i / 101 for i in range(1, 101)], 5, [8.366337, 30, 58.44059, 91.63366]),  # inside
        (range(1, 201), 7, [5.975, 37.4833333, 68.9916667, 100.5, 132.0083333, 163.5166667, 195.025]),
    ],
)
def test_knots_are_where_r_puts_them(x, count, knots):
    x = np.array(x, dtype=float)
    assert place_knots(x, np.ones(len(x)), count) == pytest.approx(knots, rel=1e-6)
    assert place_knots(*np.unique(x, return_counts=True), count) == pytest.approx(knots, rel=1e-6)


def test_curve_table_contains_the_plotted_values(cohort):
    before = "matplotlib.pyplot" in sys.modules
    curve = calibration_curve(cohort["y"], cohort["p"], received=cohort["arm"])
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


def test_clusters_keep_ties_together():
    groups = calibration_groups([0, 1] * 6, [0.2] * 6 + [0.4] * 4 + [0.9] * 2, n_bins=4)
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


def test_profile_limits_are_where_the_likelihood_ratio_test_rejects():
    rng = np.random.default_rng(4)
    p = rng.uniform(0.1, 0.9, 40)
    y, x = rng.binomial(1, p), logit(p)
    large = calibration_in_the_large(y, p, interval="profile", level=0.9)
    for limit in (large.lower, large.upper):
        test = weak_calibration_test(y, expit(x + limit)).in_the_large
        assert test.statistic == pytest.approx(chi2.ppf(0.9, 1), rel=1e-6)
    tilt = calibration_slope(y, p, interval="profile", level=0.9)
    for limit in (tilt.lower, tilt.upper):
        test = weak_calibration_test(y, expit(limit * x)).slope
        assert test.statistic == pytest.approx(chi2.ppf(0.9, 1), rel=1e-6)
    assert tilt.upper - tilt.value > tilt.value - tilt.lower  # the likelihood is skewed


def test_profile_needs_a_maximum_and_no_clusters(cohort):
    found = calibration_slope([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], interval="profile")
    assert math.isnan(found.lower)
    with pytest.raises(InputError, match="not available with clusters"):
        calibration_slope(cohort["y"], cohort["p"], interval="profile", clusters=cohort["site"])


def test_tests_add_up_and_vanish_after_recalibration(cohort):
    test = weak_calibration_test(cohort["y"], cohort["q"])
    assert test.weak.statistic == pytest.approx(test.in_the_large.statistic + test.slope.statistic)
    assert test.quality == pytest.approx(test.discrimination - test.unreliability)
    line = logistic_recalibration(cohort["y"], cohort["q"])
    better = weak_calibration_test(
        cohort["y"], expit(line.intercept.value + line.slope.value * logit(cohort["q"]))
    )
    assert better.weak.statistic == pytest.approx(0, abs=1e-8)
    assert better.weak.p_value == pytest.approx(1)
    assert better.quality == pytest.approx(test.discrimination + test.weak.statistic / 200 + 2 / 200)
    assert list(test.to_frame().index) == ["weak", "in_the_large", "slope"]
    nothing = weak_calibration_test([1, 1], [0.3, 0.4])
    assert math.isnan(nothing.weak.p_value)
    assert nothing.method.startswith("not estimable")


def test_tests_keep_their_level():
    rng, rejected = np.random.default_rng(8), np.zeros(4)
    for _ in range(250):
        p = expit(rng.normal(0, 1, 200))
        y = rng.binomial(1, p)
        test = weak_calibration_test(y, p)
        values = [test.weak.p_value, test.in_the_large.p_value, test.slope.p_value]
        rejected += np.array([*values, hosmer_lemeshow(y, p).p_value]) < 0.05
    assert ((rejected / 250 > 0.016) & (rejected / 250 < 0.09)).all()


def test_hosmer_lemeshow_by_hand_and_at_the_ends():
    test = hosmer_lemeshow([0, 1, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.5, 0.5, 0.5], n_bins=2)
    assert test.statistic == pytest.approx((2 - 0.6) ** 2 / 0.48 + (2 - 1.5) ** 2 / 0.75)
    assert (test.df, list(test.to_frame()["n"])) == (2, [3, 3])
    assert hosmer_lemeshow([0, 0, 1, 1], [0, 0, 1, 1]).statistic == 0
    assert hosmer_lemeshow([0, 1, 1, 1], [0, 0, 1, 1]).p_value == 0


@pytest.mark.parametrize("metric", ESTIMATES)
def test_duplicates_in_a_cluster_count_once(metric, cohort):
    """Every patient four times, as a cluster: the interval is nearly that of single patients."""
    four = cohort.loc[cohort.index.repeat(4)]
    once = metric(cohort["y"], cohort["q"], clusters=cohort.index)
    found = metric(four["y"], four["q"], clusters=four.index)
    assert (found.value, found.se) == pytest.approx((once.value, once.se))
    assert found.se > 1.9 * metric(four["y"], four["q"]).se
    assert "200 clusters, t with 199 df" in found.method
    alone = metric(cohort["y"], cohort["q"], clusters=["a"] * 200)
    assert math.isnan(alone.upper)
    assert alone.method == "no interval: it needs at least two clusters"


def test_intervals_by_site_cover_where_sites_differ():
    rng, times = np.random.default_rng(5), 150
    robust = naive = ratio = 0
    for _ in range(times):
        site = np.repeat(np.arange(30), 20)
        x = rng.normal(0, 1, 600)
        y, p = rng.binomial(1, expit(x + rng.normal(0, 0.8, 30)[site])), expit(x)
        truth = 0.0  # of the intercept, by symmetry
        found = calibration_in_the_large(y, p, clusters=site)
        robust += found.lower <= truth <= found.upper
        found = calibration_in_the_large(y, p)
        naive += found.lower <= truth <= found.upper
        found = observed_expected_ratio(y, p, clusters=site)
        ratio += found.lower <= 1 <= found.upper
    assert 0.9 < robust / times < 0.99
    assert 0.9 < ratio / times < 0.99
    assert naive / times < 0.85


@pytest.mark.parametrize("smooth", SMOOTHERS)
def test_errors_of_a_known_curve(smooth):
    """With y = 1 at 70 % of each of many predictions, the curve is flat at 0.7."""
    p = np.repeat(np.linspace(0.1, 0.9, 41), 10)
    y = np.tile([1] * 7 + [0] * 3, 41)
    found = integrated_calibration_index(y, p, smooth=smooth, **FEW)
    away = np.abs(p - 0.7)
    expected = {"ici": away.mean(), "e50": np.median(away), "e90": np.quantile(away, 0.9)}
    expected |= {"emax": away.max(), "eci": 100 * (away**2).mean()}
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-9), name
        assert found.estimates[name].value == getattr(found, name)
        assert found.estimates[name].p_value == pytest.approx(1 / 21)
    table = found.to_frame()
    assert (table["lower"] < table["upper"]).all()
    assert (table["expected_under_calibration"] < table["q95_under_calibration"]).all()
    assert (table["q95_under_calibration"] < table["lower"]).all()


def test_perfect_predictions_have_no_errors():
    with pytest.warns(TreatselWarning, match="20 of 20"):
        found = integrated_calibration_index([0, 1] * 10, [0, 1] * 10, **FEW)
    assert (found.to_frame()[["value", "lower", "upper", "expected_under_calibration"]] == 0).all(axis=None)
    assert found.smoother == "none: each prediction equals its outcome"


def test_errors_of_calibrated_models_match_their_expectation():
    """Over calibrated cohorts the mean equals the expectation under calibration; p values are uniform."""
    rng, values, expected, small = np.random.default_rng(6), [], [], 0
    for seed in range(40):
        p = expit(rng.normal(0, 1, 300))
        row = integrated_calibration_index(
            rng.binomial(1, p), p, n_resamples=0, n_simulations=40, random_state=seed
        ).table.loc["ici"]
        values.append(row["value"])
        expected.append(row["expected_under_calibration"])
        small += row["p_value"] < 0.2
        assert math.isnan(row["lower"])
    assert np.mean(values) == pytest.approx(np.mean(expected), rel=0.15)
    assert 2 <= small <= 16


def ici_of(truth, n, seed, **options):
    x = np.random.default_rng([seed, n]).normal(size=n)
    y = np.random.default_rng([seed, n, 1]).binomial(1, truth(x))
    options = {"n_resamples": 40, "n_simulations": 0} | options
    return integrated_calibration_index(y, expit(x), random_state=seed, **options)


def test_interval_of_the_ici_covers_a_model_that_is_off():
    times, many = 15, np.random.default_rng(7).normal(size=200_000)
    truth = np.abs(expit(0.6 + 0.5 * many) - expit(many)).mean()
    found = [ici_of(lambda x: expit(0.6 + 0.5 * x), 400, seed).estimates["ici"] for seed in range(times)]
    assert np.mean([one.lower <= truth <= one.upper for one in found]) > 0.8
    assert all(one.lower <= one.value <= one.upper for one in found)
    assert np.mean([one.lower > 0 for one in found]) > 0.7
    assert found[0].method == "inversion of a test, 40 simulations per step"


@pytest.mark.slow
def test_intervals_of_the_ici_at_300_patients():
    """Limits are 3 standard errors below 95 %; percentiles never reach 0, which is the truth here."""
    times, hits, zero = 60, {"level": 0, "slope": 0}, 0
    truths = {"level": lambda x: expit(x + 0.3), "slope": lambda x: expit(0.5 * x)}
    many = np.random.default_rng(7).normal(size=200_000)
    for seed in range(times):
        zero += ici_of(expit, 300, seed).table.loc["ici", "lower"] == 0
        for name, truth in truths.items():
            row = ici_of(truth, 300, seed).table.loc["ici"]
            hits[name] += row["lower"] <= np.abs(truth(many) - expit(many)).mean() <= row["upper"]
    for share in (zero / times, hits["level"] / times, hits["slope"] / times):
        assert share >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / times)
    one = ici_of(expit, 300, 0, interval="percentile").table
    assert (one["lower"] > 0).all()


def test_inversion_of_a_level_is_the_exact_test_of_a_proportion():
    """With equal predictions, the curve is the observed proportion and the path a shift: a binomial test."""
    n, events, p = 200, 90, 0.3
    y = np.repeat([1, 0], [events, n - events])
    found = integrated_calibration_index(y, np.full(n, p), n_resamples=2000, n_simulations=0, level=0.9)
    shift = np.linspace(0, 0.4, 4001)
    away = np.abs(np.arange(n + 1) / n - p)
    chance = binom.pmf(np.arange(n + 1), n, p + shift[:, None])
    at_least, at_most = (chance @ side for side in (away >= 0.15 - 1e-9, away <= 0.15 + 1e-9))
    kept = shift[(at_least > 0.05) & (at_most > 0.05)]
    for error in ("ici", "e50", "e90", "emax"):
        limits = found.table.loc[error, ["lower", "upper"]]
        # limits of 2,000 simulations at steps of a quarter of the distance, and at whole events
        assert limits.tolist() == pytest.approx([kept.min(), kept.max()], abs=0.006), error
    wide = found.table.loc["eci", ["lower", "upper"]]
    assert wide.tolist() == pytest.approx([100 * kept.min() ** 2, 100 * kept.max() ** 2], rel=0.1)


def test_a_curve_without_distance_has_an_upper_limit():
    """At the observed rate the curve gives no direction, but the level is still uncertain."""
    y = np.repeat([1, 0], [60, 140])
    row = integrated_calibration_index(y, np.full(200, 0.3), n_simulations=0).table.loc["ici"]
    assert row["value"] == pytest.approx(0, abs=1e-12)
    assert row["lower"] == 0
    assert 0.04 < row["upper"] < 0.12


def test_order_of_rows_does_not_matter_for_an_inversion(cohort):
    moved = cohort.sample(frac=1, random_state=3)
    for weight in (None, "weight", "q"):  # counts and fractions
        tables = [
            integrated_calibration_index(
                rows["y"], rows["p"], sample_weight=None if weight is None else rows[weight], **FEW
            ).to_frame()
            for rows in (cohort, moved)
        ]
        pd.testing.assert_frame_equal(*tables)
        assert tables[0]["upper"].notna().all()


def test_percentiles_for_clusters_and_many_patients(cohort):
    p = np.linspace(0.1, 0.9, 20_000)
    y = np.random.default_rng(0).binomial(1, p)
    few = {"n_resamples": 3, "n_simulations": 0}
    many = integrated_calibration_index(y, p, **few)
    assert many.method == "percentile bootstrap of patients, 3 resamples"
    assert "inversion" in integrated_calibration_index(y[1:], p[1:], **few).method
    sites = {"clusters": cohort["site"], **few}
    assert "of clusters" in integrated_calibration_index(cohort["y"], cohort["p"], **sites).method
    with pytest.raises(InputError, match="assumes independent outcomes, and clusters are given"):
        integrated_calibration_index(cohort["y"], cohort["p"], interval="inversion", **sites)


def test_many_refits_are_single_refits_also_where_steps_overshoot(cohort):
    rows = cohort.head(40)
    x, y = logit(rows["q"].to_numpy()), rows["y"].to_numpy(dtype=float)
    refits = refits_of(fit_smooth(x, y, np.ones(40), 5), x, np.ones(40))
    events = np.random.default_rng(0).binomial(1, expit(x), (200, 40)).astype(float)
    found = refits.probabilities_of_many(np.ones(40), events)
    design = refits.columns.T
    for outcome, one in zip(events, found, strict=True):
        assert one == pytest.approx(refits.probabilities(np.ones(40), outcome), abs=1e-6, nan_ok=True)
        fit = fit_logistic(design, outcome, np.ones(40))
        if fit is not None:
            assert one == pytest.approx(expit(fit.linear(design)), abs=1e-5)
        else:  # no maximum: none, or probabilities that come close to the bound
            assert np.isnan(one).all() or np.abs(design.T @ (outcome - one)).max() < 1e-3


def test_refits_are_fits_from_scratch(cohort):
    x, y = logit(cohort["q"].to_numpy()), cohort["y"].to_numpy(dtype=float)
    smooth = fit_smooth(x, y, np.ones(200), 5)
    counts = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200)).astype(float)
    kept = counts > 0
    expected = fit_logistic(spline_design(x[kept], smooth.knots), y[kept], counts[kept])
    found = refits_of(smooth, x, np.ones(200)).probabilities(counts, counts * y)
    assert found == pytest.approx(expit(expected.linear(spline_design(x, smooth.knots))), abs=1e-9)


def test_cells_hardly_move_the_limits(monkeypatch):
    rng = np.random.default_rng(3)
    p = expit(rng.normal(0, 1.3, 12_000))
    y = rng.binomial(1, expit(0.2 + 0.8 * logit(p)))
    tables = []
    for cells in (_curve_refits.CELLS, 10**6):
        monkeypatch.setattr(_curve_refits, "CELLS", cells)
        options = {"n_resamples": 10, "n_simulations": 0, "interval": "percentile"}
        tables.append(integrated_calibration_index(y, p, **options).to_frame())
    assert tables[0]["value"].equals(tables[1]["value"])
    assert tables[0]["upper"].to_numpy() == pytest.approx(tables[1]["upper"].to_numpy(), abs=5e-5)


def test_errors_resample_whole_sites():
    rng = np.random.default_rng(9)
    site = np.repeat(np.arange(20), 50)
    p = expit(rng.normal(0, 1, 1000))
    y = rng.binomial(1, expit(logit(p) + rng.normal(0, 1, 20)[site]))
    options = {"n_resamples": 100, "n_simulations": 0, "interval": "percentile"}
    wide, narrow = (
        integrated_calibration_index(y, p, clusters=clusters, **options).estimates["ici"]
        for clusters in (site, None)
    )
    assert wide.upper - wide.lower > 1.3 * (narrow.upper - narrow.lower)
    assert wide.method == "percentile bootstrap of clusters, 100 resamples"


def test_loess_needs_four_predictions_and_whole_weights_are_for_lowess(cohort):
    p = np.tile([0.2, 0.4, 0.6], 20)
    y = np.tile([0, 1, 0, 1], 15)
    for smooth in ("loess", "lowess"):
        found = integrated_calibration_index(y, p, smooth=smooth)
        assert found.smoother == f"not estimable: too few distinct predictions for {smooth}"
        assert math.isnan(found.ici)
    half = np.full(200, 0.5)
    with pytest.raises(InputError, match="whole numbers only"):
        calibration_curve(cohort["y"], cohort["p"], smooth="lowess", sample_weight=half)
    options = {"smooth": "loess", "at": [0.3, 0.5, 0.7]}
    found = calibration_curve(cohort["y"], cohort["p"], sample_weight=half, **options).to_frame()
    plain = calibration_curve(cohort["y"], cohort["p"], **options).to_frame()
    assert found["observed"].to_numpy() == pytest.approx(plain["observed"].to_numpy())


def test_band_of_loess_hardly_changes_where_its_formula_does():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 3400)
    y = rng.binomial(1, p)
    width = {}
    for n in (3000, 3400):  # beyond 3,000 rows the standard error is that of the exact local fit
        table = calibration_curve(
            y[:n], p[:n], at=[0.3, 0.5, 0.7], smooth="loess", smooth_on="probability"
        ).to_frame()
        width[n] = (table["upper"] - table["lower"]).to_numpy() * np.sqrt(n)
    assert width[3400] == pytest.approx(width[3000], rel=0.08)


def test_local_curves_outside_the_data(cohort):
    for smooth, exact, ends in (("loess", False, True), ("lowess", False, True), ("loess", True, False)):
        table = calibration_curve(
            cohort["y"], cohort["p"].clip(0.2, 0.8), at=[0.1, 0.5, 0.9], smooth=smooth, exact=exact
        ).to_frame()
        assert table["observed"].isna().tolist() == [ends, False, ends]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration_slope([0, 1], [0.2, 1.2]), "y_prob holds 1 value outside 0 to 1"),
        (
            lambda: calibration_curve([0, 1], [0.2, 0.3], n_knots=9),
            "n_knots is 9; it must be 3, 4, 5, 6 or 7",
        ),
        (lambda: calibration_curve([0, 1], [0.2, 0.3], at=[20]), "at holds 1 value outside 0 to 1"),
        (
            lambda: calibration_curve([0, 1], [0.2, 0.3], received=["a"]),
            "Lengths differ: y_true 2, received 1",
        ),
        (lambda: calibration_groups([0, 1], [0.2, 0.3], n_bins=0), "n_bins is 0"),
        (lambda: integrated_calibration_index([0, 1], [0.2, 0.3], smooth_on="log"), "Did you mean 'logit'"),
        (lambda: observed_expected_ratio([0, 1], [0.2, 0.3], interval="raw"), "interval is 'raw'"),
        (lambda: calibration_slope([0, 1], [0.2, 0.3], interval="exact"), "interval is 'exact'"),
        (lambda: calibration_curve([0, 1], [0.2, 0.3], smooth="los"), "smooth is 'los'"),
        (lambda: integrated_calibration_index([0, 1], [0.2, 0.3], n_resamples=-1), "n_resamples is -1"),
        (lambda: integrated_calibration_index([0, 1], [0.2, 0.3], clusters=["a"]), "Lengths differ"),
        (lambda: calibration_slope([0, 1], [0.2, 0.3], clusters=["a"]), "Lengths differ"),
    ],
)
def test_bad_input_is_refused_with_problem_and_remedy(call, message):
    with pytest.raises(InputError, match=message):
        call()
