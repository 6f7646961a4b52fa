"""The gain over the truly best arm: interval, simulated bias, smallest detectable gain, simulations."""

import math

import numpy as np
import pandas as pd
import pytest
from benchmarks.validation.headline import draw, repeated
from scipy.special import ndtri

from treatsel._stats.clustered_means import check_units, mean_of
from treatsel._stats.weights import covariance_of_sums
from treatsel.errors import InputError
from treatsel.metrics import best_arm_gain, gain_over_best_arm, gain_over_received
from treatsel.metrics.policy import CROSS_FITTED, SMALLEST, patients_for
from treatsel.metrics.policy._selection import covariance_of

ARMS = ["CBT", "IPT", "SSRI"]


def patients(n=300, *, seed=0, means=(0.5, 0.45, 0.4)):
    """Scores with different variances and correlated errors, recommendations, and sites of unequal size."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.3, (n, 1))
    scores = pd.DataFrame(rng.normal(means, [0.8, 1.0, 1.2], (n, 3)) + common, columns=ARMS)
    return scores, rng.choice(ARMS, n), np.sort(rng.choice(14, n, p=np.arange(1, 15) / 105)), rng


@pytest.mark.parametrize("options", ["plain", "sites", "counts", "sampling"])
def test_the_interval_is_the_selection_adjusted_one(options):
    scores, rule, sites, rng = patients()
    weight = rng.integers(1, 4, len(scores))
    given = {
        "plain": {},
        "sites": {"clusters": sites},
        "counts": {"sample_weight": weight},
        "sampling": {"sample_weight": weight, "weights_are": "sampling", "clusters": sites},
    }[options]
    found = best_arm_gain(scores, rule, **given)
    assert found.interval == gain_over_best_arm(scores, rule, selection="adjusted", **given)
    single = [gain_over_best_arm(scores, rule, comparator=arm, **given) for arm in ARMS]
    assert found.interval.value == min(gain.value for gain in single)
    assert found.interval.lower == min(gain.lower for gain in single)
    assert found.interval.value <= found.cross_fitted.value <= max(gain.value for gain in single)


def test_the_covariance_is_that_of_the_means():
    scores, _, sites, _ = patients()
    values = scores.to_numpy()
    for clusters in (None, sites):
        units = check_units(None, clusters, 0.95, scores=scores)
        means = [mean_of(column, units) for column in values.T]
        between = [[mean_of(one - two, units).se for two in values.T] for one in values.T]
        centered = values - values.mean(axis=0)
        codes = np.arange(len(values)) if clusters is None else clusters
        expected = covariance_of_sums(centered, codes.astype(float)) / len(values) ** 2
        assert covariance_of(means, np.array(between)) == pytest.approx(expected, rel=1e-9)


def test_the_bias_is_that_of_the_smaller_of_two_normal_means():
    """E min(X, Y) = -sd(X - Y) / sqrt(2 pi) for means of 0 (Clark 1961, doi:10.1287/opre.9.2.145)."""
    scores, rule, *_ = patients(means=(0.5, 0.5, 0.5))
    found = best_arm_gain(scores[ARMS[:2]], np.where(rule == "CBT", "CBT", "IPT"))
    se = gain_over_best_arm(scores[ARMS[:2]], ["CBT"] * len(scores), comparator="IPT").se
    bias = found.bias.set_index(["figure", "arms_are"])
    row = bias.loc[(SMALLEST, "equal")]
    assert row["bias"] == pytest.approx(-se / math.sqrt(2 * math.pi), abs=4 * row["error"])
    assert 0 < row["error"] < 0.002
    none = bias.loc[(CROSS_FITTED, "equal")]
    assert none["bias"] == pytest.approx(0, abs=4 * none["error"])
    assert bias.loc[(SMALLEST, "estimated"), "bias"] < 0 < bias.loc[(CROSS_FITTED, "estimated"), "bias"]


def test_an_arm_that_is_far_better_leaves_no_bias():
    scores, rule, *_ = patients(means=(0.5, -1.5, -1.5))
    found = best_arm_gain(scores, rule)
    bias = found.bias[found.bias["arms_are"] == "estimated"]
    assert (bias["bias"].abs() <= 4 * bias["error"]).all()
    assert found.cross_fitted.value == pytest.approx(found.interval.value)
    assert found.cross_fitted.comparator_arm == "CBT"


@pytest.mark.parametrize("sites", [False, True])
def test_the_detectable_gain_over_one_arm_has_the_power_of_a_z_test(sites):
    scores, rule, site, _ = patients(4000)
    found = best_arm_gain(scores, rule, arms=["IPT"], clusters=site if sites else None)
    plain = gain_over_best_arm(scores, rule, comparator="IPT", clusters=site if sites else None)
    expected = plain.value - plain.lower + ndtri(0.8) * plain.se
    assert found.detectable == pytest.approx(expected, rel=0.03)
    assert found.left_out == ("CBT", "SSRI")
    assert found.interval.lower == plain.lower
    assert (found.bias["bias"].abs() <= 4 * found.bias["error"]).all()


def test_equal_arms_make_a_gain_harder_to_detect_than_any_one_of_them():
    scores, rule, *_ = patients()
    equal = scores - scores.mean()
    alone = [best_arm_gain(equal, rule, arms=[arm]).detectable for arm in ARMS]
    assert best_arm_gain(equal, rule).detectable > 1.05 * max(alone)


def test_the_number_of_patients_needed_grows_with_the_square():
    assert patients_for(0.05, detectable=0.1, n=300) == 1200
    assert patients_for(0.1, detectable=0.1, n=300) == 300


def test_one_arm_for_all_patients_cannot_gain():
    scores, *_ = patients()
    found = best_arm_gain(scores, ["CBT"] * len(scores))
    assert found.interval.upper == 0
    assert found.interval.lower < 0
    assert math.isnan(found.detectable)
    assert np.isnan(best_arm_gain(scores[["CBT"]], ["CBT"] * len(scores)).detectable)


def test_policies_are_compared_with_the_best():
    """Comparisons with the best (Hsu): no single arm is above it, and the best in the data may be it."""
    scores, rule, _, rng = patients()
    y = rng.integers(0, 2, len(scores))
    found = best_arm_gain(scores, rule, y_true=y).policies().set_index("policy")
    assert list(found.index)[:2] == ["recommended arm", "received arm (current practice)"]
    single = found[found.index.str.startswith("all patients receive")]
    assert (single["upper"] <= 0).all()
    assert (single["lower"] <= single["value"]).all()
    best = f"all patients receive {scores.mean().idxmax()}"
    assert single.loc[best, ["value", "upper"]].tolist() == [0, 0]
    for arm in ARMS:
        given = gain_over_best_arm(scores, [arm] * len(scores), selection="adjusted")
        row = single.loc[f"all patients receive {arm}"]
        assert row["lower"] == pytest.approx(given.lower, abs=1e-12)
        assert row["rate"] == pytest.approx(scores[arm].mean())
    practice, arm = found.iloc[1], scores.mean().idxmax()
    plain = gain_over_received(y, rule, scores, [arm] * len(scores))
    assert practice["value"] == pytest.approx(-plain.value)
    assert practice["rate"] == pytest.approx(y.mean())


@pytest.mark.parametrize("clusters", [False, True])
def test_neither_rows_nor_names_nor_arms_matter(clusters):
    scores, rule, sites, rng = patients()
    scores = scores.round(1)  # many ties
    order = rng.permutation(len(scores))
    new = {"CBT": "z", "IPT": "y", "SSRI": "x"}
    moved = scores.iloc[order, ::-1].rename(columns=new)
    groups = [sites, sites[order]] if clusters else [None, None]
    found = best_arm_gain(scores, rule, clusters=groups[0])
    again = best_arm_gain(moved, pd.Series(rule).map(new).to_numpy()[order], clusters=groups[1])
    numbers = ["value", "lower", "upper", "bias_estimated", "bias_equal", "bias_estimated_error"]
    pd.testing.assert_frame_equal(found.to_frame()[numbers], again.to_frame()[numbers])
    assert again.cross_fitted.comparator_arm == new[found.cross_fitted.comparator_arm]


def test_the_seed_changes_the_cross_fitted_gain_but_little():
    scores, rule, *_ = patients(means=(0.5, 0.5, 0.5))
    found = [best_arm_gain(scores, rule, random_state=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0].to_frame().equals(found[1].to_frame())
    values = np.array([one.cross_fitted.value for one in found])
    assert np.ptp(values[1:]) > 0
    assert np.ptp(values) < found[0].cross_fitted.se


def test_odd_input_gives_no_number_or_an_error():
    scores, rule, *_ = patients(60)
    alone = best_arm_gain(scores, rule, clusters=["a"] * 60)
    assert alone.to_frame()[["lower", "bias_equal"]].isna().all(axis=None)
    assert "cross-fitting needs at least two patients or clusters" in alone.cross_fitted.method
    assert best_arm_gain(scores, rule, clusters=["a"] * 30 + ["b"] * 30).interval.lower < 0
    with pytest.raises(InputError, match="arms is empty"):
        best_arm_gain(scores, rule, arms=[])
    with pytest.raises(InputError, match="arms"):
        best_arm_gain(scores, rule, arms=["yoga"])
    with pytest.raises(InputError, match="y_true"):
        best_arm_gain(scores, rule, y_true=[1, 0])


def test_the_table_and_the_summary_name_bias_and_power():
    scores, rule, *_ = patients()
    found = best_arm_gain(scores, rule)
    frame = found.to_frame().set_index("figure")
    assert list(frame.index) == [
        *("gain over the best single arm", SMALLEST, CROSS_FITTED, "smallest detectable gain")
    ]
    assert math.isnan(frame.loc["gain over the best single arm", "value"])
    assert frame.loc[SMALLEST, "bias_equal"] < frame.loc[SMALLEST, "bias_estimated"]
    assert frame.loc["smallest detectable gain", "value"] == found.detectable
    assert "95% interval of the gain over the best of 3 single arms, whichever it is" in repr(found)
    assert "(80% power)" in found._repr_html_()


def test_folds_are_independent_although_rows_are_equal():
    """Folds with equal shares of the few kinds of rows would give nearly the smallest gain, -2.7 points."""
    trial = draw(np.random.default_rng(0), 2, 200, 0.0, 0.0)
    assert len(trial.scores.drop_duplicates()) <= 16
    values = repeated(2, 200, 0.0, 0.0, times=160, draws=20)["cross-fitted"]
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean()) < 3 * error < 0.02


# k arms, n, gain, spread of the arms, sites; intervals are expected to cover .97 to .99
SIMULATED = [(6, 300, 0.0, 0.0, 0), (2, 300, 0.03, 0.05, 0), (2, 600, 0.0, 0.0, 9)]


@pytest.mark.slow
@pytest.mark.parametrize(("k", "n", "gain", "spread", "sites"), SIMULATED)
def test_the_interval_covers_and_the_estimates_enclose_the_gain(k, n, gain, spread, sites):
    times = 200
    trials = repeated(k, n, gain, spread, times=times, sites=sites, draws=100)
    covered = ((trials["lower"] <= gain) & (gain <= trials["upper"])).mean()
    assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / times)
    if gain == 0:
        assert (trials["lower"] > 0).mean() <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / times)
    means, error = trials.mean(), trials.std() / math.sqrt(times)
    assert means["smallest"] < gain + 3 * error["smallest"]
    assert means["cross-fitted"] > gain - 3 * error["cross-fitted"]
    if spread == 0:  # the bias for equal arms is then the true one
        bias = means["smallest"] - gain
        assert bias == pytest.approx(means["smallest, equal"], abs=3 * error["smallest"])
        assert abs(means["cross-fitted"] - gain) < 3 * error["cross-fitted"]
    else:  # it is the largest
        assert means["smallest, equal"] < means["smallest"] - gain + 3 * error["smallest"]


@pytest.mark.slow
def test_the_detectable_gain_is_shown_in_four_of_five_trials():
    times = 200
    detectable = repeated(2, 1000, 0.0, 0.05, times=20)["detectable"].mean()
    shown = (repeated(2, 1000, detectable, 0.05, times=times)["lower"] > 0).mean()
    assert shown == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / times))
