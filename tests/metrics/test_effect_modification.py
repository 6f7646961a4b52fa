"""Effect modification: the omnibus test and effects by risk, against known truth and other packages."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from treatsel.errors import InputError
from treatsel.metrics import effect_by_risk, effect_modification_test

ARMS = ["CBT", "IPT", "SSRI"]


def drawn(seed, n, slope, arms=ARMS):
    """Predictions, and scores whose means differ from them by the slope of the modification alone."""
    rng = np.random.default_rng(seed)
    prognosis, own = rng.normal(0.4, 0.1, (n, 1)), rng.normal(0, 0.05, (n, len(arms)))
    own -= own.mean(axis=1, keepdims=True)
    average = np.linspace(0, 0.1, len(arms))
    noise = rng.normal(size=(n, len(arms))) * rng.uniform(0.2, 1.5, (n, 1))  # as after inverse weighting
    predicted = pd.DataFrame(prognosis + average[::-1] + own, columns=arms)
    return pd.DataFrame(2 * prognosis + average + slope * own + noise, columns=arms), predicted


def test_the_test_has_its_size_and_its_power_whatever_prognosis_and_average_effects_are():
    found = [effect_modification_test(*drawn(seed, 300, 0.0)) for seed in range(600)]
    assert np.mean([each.p_value < 0.05 for each in found]) == pytest.approx(0.05, abs=3 * 0.0089)
    slopes = np.array([each.slope.value for each in found])
    assert abs(slopes.mean()) < 3 * slopes.std() / np.sqrt(len(slopes))
    found = [effect_modification_test(*drawn(seed, 300, 1.0)) for seed in range(600, 1000)]
    slopes = np.array([each.slope.value for each in found])
    assert slopes.mean() == pytest.approx(1, abs=3 * slopes.std() / 20)
    covered = np.mean([each.slope.lower < 1 < each.slope.upper for each in found])
    assert covered == pytest.approx(0.95, abs=3 * 0.011)
    stated = np.mean([each.power for each in found])
    assert 0.2 < stated < 0.9
    assert np.mean([each.p_value < 0.05 for each in found]) == pytest.approx(stated, abs=3 * 0.025)


def test_two_arms_give_the_slope_of_a_regression_of_differences():
    scores, predicted = drawn(1, 200, 0.5, ["CBT", "SSRI"])
    found = effect_modification_test(scores, predicted)
    line = sm.OLS(scores["CBT"] - scores["SSRI"], sm.add_constant(predicted["CBT"] - predicted["SSRI"])).fit()
    robust = line.get_robustcov_results("HC1")
    assert found.slope.value == pytest.approx(line.params.iloc[1], rel=1e-10)
    assert found.slope.se == pytest.approx(robust.bse[1], rel=0.01)


def test_the_detectable_slope_is_found_in_four_of_five():
    found = effect_modification_test(*drawn(2, 300, 0.0))
    times = [
        effect_modification_test(*drawn(seed, 300, found.detectable)).p_value < 0.05 for seed in range(300)
    ]
    assert np.mean(times) == pytest.approx(0.8, abs=3 * 0.023 + 0.03)  # its own standard error varies


def test_weights_are_repeated_rows_and_order_does_not_matter():
    scores, predicted = drawn(3, 90, 1.0)
    weight = np.random.default_rng(3).integers(0, 4, 90)
    again = np.repeat(np.arange(90), weight)
    one = effect_modification_test(scores, predicted, sample_weight=weight)
    two = effect_modification_test(scores.iloc[again[::-1]], predicted.iloc[again[::-1]][ARMS[::-1]])
    assert one.slope.value == pytest.approx(two.slope.value)
    assert (one.slope.se, one.slope.n) == (pytest.approx(two.slope.se), two.slope.n)
    risk = predicted.mean(axis=1)
    arms = {"control": "CBT", "treated": "SSRI"}
    one = effect_by_risk(scores, risk, **arms, sample_weight=weight).to_frame()
    two = effect_by_risk(scores.iloc[again], risk.iloc[again], **arms).to_frame()
    pd.testing.assert_frame_equal(one, two)


def test_clusters_widen_the_interval_of_copies():
    scores, predicted = drawn(4, 50, 1.0)
    site = np.tile(np.arange(50), 4)
    copies = pd.concat([scores] * 4, ignore_index=True), pd.concat([predicted] * 4, ignore_index=True)
    assert effect_modification_test(*copies, clusters=site).slope.se == pytest.approx(
        effect_modification_test(scores, predicted).slope.se, rel=0.02
    )


def test_predictions_without_modification_cannot_be_tested():
    scores, predicted = drawn(5, 60, 1.0)
    flat = pd.DataFrame({arm: predicted["CBT"] + 0.1 * k for k, arm in enumerate(ARMS)})
    found = effect_modification_test(scores, flat)
    assert np.isnan([found.p_value, found.power, found.slope.value]).all()
    assert "same predicted differences" in found.slope.method
    with pytest.raises(InputError, match="same arms"):
        effect_modification_test(scores, predicted[["CBT", "IPT"]])


def test_effects_by_risk_are_means_of_differences_and_ratios_of_rates():
    rng = np.random.default_rng(6)
    risk = rng.uniform(0.1, 0.6, 8000)
    scores = pd.DataFrame({"CBT": 1.25 * risk, "SSRI": risk}) + rng.normal(0, 0.3, (8000, 2))
    found = effect_by_risk(scores, risk, control="SSRI", treated="CBT")
    table = found.to_frame()
    low = risk <= np.quantile(risk, 0.25, method="inverted_cdf")
    first = (scores["CBT"] - scores["SSRI"])[low]
    assert table["difference"][0] == pytest.approx(first.mean())
    assert table["n"].tolist() == [2000] * 4
    assert table["ratio"][0] == pytest.approx(scores["CBT"][low].mean() / scores["SSRI"][low].mean())
    assert ((table["ratio_lower"] < 1.25) & (table["ratio_upper"] > 1.25)).all()
    away = (table["difference"] - 0.25 * table["risk"]) / (
        (table["difference_upper"] - table["difference_lower"]) / 3.92
    )
    assert (away.abs() < 3).all()
    # a constant ratio is a trend of the difference: .25 for one unit of risk
    assert found.trend.value == pytest.approx(0.25 * risk.std(), abs=3 * found.trend.se)
    assert found.trend.p_value < 0.001
    assert found.plot().get_xlabel().startswith("Difference")
    assert found.plot(scale="ratio").get_xlabel().startswith("Ratio")


def test_effects_by_risk_refuse_what_they_cannot_do():
    scores, predicted = drawn(7, 40, 1.0)
    risk = predicted.mean(axis=1)
    with pytest.raises(InputError, match="n_bins"):
        effect_by_risk(scores, risk, control="CBT", treated="IPT", n_bins=0)
    with pytest.raises(InputError, match="treated"):
        effect_by_risk(scores, risk, control="CBT", treated="EMDR")
    with pytest.raises(InputError, match="scale"):
        effect_by_risk(scores, risk, control="CBT", treated="IPT").plot(scale="odds")
    one = effect_by_risk(scores, np.full(40, 0.3), control="CBT", treated="IPT")
    assert len(one.to_frame()) == 1
    assert np.isnan(one.trend.value)


def test_an_exact_fit_has_a_slope_and_no_power():
    predicted = pd.DataFrame({"CBT": [0.5, 0.25, 0.75, 0.5], "SSRI": [0.25, 0.5, 0.5, 0.75]})
    found = effect_modification_test(predicted, predicted)
    assert found.slope.value == pytest.approx(1)
    assert found.slope.se == pytest.approx(0, abs=1e-12)
    assert not found.power < 1
