"""Subgroups: the figures equal those of the metrics; the interaction test keeps its level."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from treatsel._measures import MEASURES
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import (
    aipw_scores,
    brier_score,
    calibration_in_the_large,
    calibration_slope,
    gain_over_best_arm,
    observed_expected_ratio,
    within_arm_auc,
)
from treatsel.validation.studies._subgroups import subgroup_performance

pytestmark = pytest.mark.one_version

mpl.use("Agg")
ARMS = ["CBT", "IPT", "SSRI"]
GAIN = MEASURES["gain"].label


def simulate(n, seed=0, *, groups=("f", "m"), share=None):
    rng = np.random.default_rng(seed)
    by_arm = pd.DataFrame(rng.uniform(0.2, 0.8, (n, 3)), columns=ARMS)
    table = pd.DataFrame({"arm": rng.choice(ARMS, n), "sex": rng.choice(list(groups), n, p=share)})
    table["p"] = by_arm.to_numpy()[np.arange(n), by_arm.columns.get_indexer(table["arm"])]
    table["y"] = rng.binomial(1, table["p"])
    table["rec"] = by_arm.idxmax(axis=1)
    chances = pd.DataFrame(1 / 3, index=by_arm.index, columns=ARMS)
    return table, aipw_scores(table["y"], table["arm"], by_arm, chances)


def found_of(table, scores=None, **options):
    if scores is not None:
        options |= {"scores": scores, "recommended": table["rec"]}
    return subgroup_performance(table["y"], table["p"], table["arm"], table["sex"], **options)


def cell(found, measure, group, column="value"):
    rows = found.table[(found.table["measure"] == measure) & (found.table["group"] == group)]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_figures_are_those_of_the_metrics():
    table, scores = simulate(900)
    found = found_of(table, scores, comparator="IPT")
    women = table["sex"] == "f"
    y, p, arm = table.loc[women, "y"], table.loc[women, "p"], table.loc[women, "arm"]
    expected = {
        "within-arm AUC": within_arm_auc(y, p, arm, interval="logit"),
        "calibration in the large": calibration_in_the_large(y, p),
        "calibration slope": calibration_slope(y, p),
        "observed / expected": observed_expected_ratio(y, p),
        "Brier score": brier_score(y, p),
        GAIN: gain_over_best_arm(scores[women], table.loc[women, "rec"], comparator="IPT"),
    }
    for measure, estimate in expected.items():
        for column in ("value", "lower", "upper", "method"):
            assert cell(found, measure, "f", column) == getattr(estimate, column)
    assert cell(found, "base rate", "f") == pytest.approx(y.mean())
    assert cell(found, "mean prediction", "f") == pytest.approx(p.mean())
    assert cell(found, "base rate", "overall", "n") == 900
    assert cell(found, GAIN, "f", "n_events") == y.sum()


def test_the_comparator_may_differ_between_patients():
    table, scores = simulate(600)
    own = pd.Series(np.resize(["IPT", "CBT", "IPT"], len(table)), table.index)
    found, women = found_of(table, scores, comparator=own), table["sex"] == "f"
    expected = gain_over_best_arm(scores[women], table.loc[women, "rec"], comparator=own[women])
    assert cell(found, GAIN, "f") == pytest.approx(expected.value)
    assert cell(found, GAIN, "f", "upper") == pytest.approx(expected.upper)


def test_recommended_arms_by_subgroup():
    table, scores = simulate(600)
    shares = found_of(table, scores).recommended()
    expected = pd.crosstab(table["sex"], table["rec"], normalize="index")
    np.testing.assert_allclose(shares.loc["sex"].to_numpy(), expected.to_numpy())
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    with pytest.raises(InputError, match="no recommended arms"):
        found_of(table).recommended()


def test_cochran_by_hand():
    table, _ = simulate(900, groups="abc")
    test = found_of(table).tests.set_index("measure").loc["calibration slope"]
    parts = [calibration_slope(rows["y"], rows["p"]) for _, rows in table.groupby("sex") if len(rows)]
    weight = np.array([1 / part.se**2 for part in parts])
    value = np.array([part.value for part in parts])
    assert test["q"] == pytest.approx(weight @ value**2 - (weight @ value) ** 2 / weight.sum())
    assert test["df"] == 2
    assert test["p_value"] == pytest.approx(np.exp(-test["q"] / 2))  # chi-squared with two df


@pytest.mark.slow
def test_the_interaction_test_keeps_its_level():
    measures = ["within-arm AUC", "calibration in the large", "Brier score"]
    found = []
    for seed in range(60):
        tests = found_of(simulate(300, seed)[0], measures=measures).tests
        found.append(tests["p_value"].to_numpy() < 0.05)
    rates = np.mean(found, axis=0)
    assert rates.max() <= 0.135  # 0.05 and three standard errors
    assert rates.mean() == pytest.approx(0.05, abs=0.04)


def test_a_true_difference_is_found_on_its_own_measure():
    table, _ = simulate(4000, 3)
    men = table["sex"] == "m"
    table.loc[men, "p"] = expit(logit(table.loc[men, "p"]) - 0.6)
    tests = found_of(table).tests.set_index("measure")
    assert tests.loc["calibration in the large", "p_value_holm"] < 1e-6
    assert tests.loc["observed / expected", "p_value_holm"] < 1e-6
    assert tests.loc["base rate", "p_value"] > 0.01
    assert tests.loc["calibration slope", "p_value"] > 0.01


def test_small_groups_are_not_estimable_with_a_reason():
    table, scores = simulate(400, groups="fmx", share=[0.5, 0.46, 0.04])
    found = found_of(table, scores)
    small = table[table["sex"] == "x"]
    assert min(small["y"].sum(), (1 - small["y"]).sum()) < 10
    events, others = small["y"].sum(), len(small) - small["y"].sum()
    for measure in ("within-arm AUC", "calibration slope", "Brier score", GAIN, "observed / expected"):
        assert np.isnan(cell(found, measure, "x"))
        assert not cell(found, measure, "x", "estimable")
        reason = f"not estimable: {events} events and {others} non-events; at least 10 of each are needed"
        assert cell(found, measure, "x", "method") == reason
    assert cell(found, "base rate", "x") == pytest.approx(small["y"].mean())
    assert cell(found, "recommended CBT", "x") == pytest.approx((small["rec"] == "CBT").mean())
    test = found.tests.set_index("measure").loc["within-arm AUC"]
    assert (test["n_groups"], test["left_out"], test["df"]) == (2, "x", 1)


def test_nothing_to_compare():
    table, _ = simulate(60, groups="fm", share=[0.8, 0.2])
    test = found_of(table).tests.set_index("measure").loc["calibration slope"]
    assert test["n_groups"] < 2
    assert np.isnan(test["p_value"])
    assert np.isnan(test["p_value_holm"])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), random=st.randoms(use_true_random=False))
def test_weights_are_repeated_rows_and_order_does_not_matter(seed, random):
    table, scores = simulate(150, seed)
    weight = np.random.default_rng(seed).integers(0, 4, 150)
    again = list(np.repeat(np.arange(150), weight))
    random.shuffle(again)
    repeated = table.iloc[again].reset_index(drop=True)
    found = found_of(table, scores, sample_weight=weight, comparator="CBT")
    expected = found_of(repeated, scores.iloc[again].reset_index(drop=True), comparator="CBT")
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-7)
    pd.testing.assert_frame_equal(found.tests, expected.tests, rtol=1e-6, atol=1e-8)


def test_several_variables_and_missing_labels():
    table, _ = simulate(500)
    labels = pd.DataFrame({"sex": table["sex"].where(table.index % 5 > 0), "old": table.index % 2 == 0})
    found = subgroup_performance(table["y"], table["p"], table["arm"], labels, measures=["base rate"])
    assert found.table["variable"].tolist() == ["overall"] + ["sex"] * 3 + ["old"] * 2
    assert found.table["group"].tolist() == ["overall", "f", "m", "not stated", "False", "True"]
    assert found.table["n"].iloc[3] == 100
    merged = found.to_frame()
    assert len(merged) == len(found.table)
    assert merged["p_value"].isna().tolist() == [True] + [False] * 5


def test_holm_corrects_for_all_tests():
    table, _ = simulate(800)
    tests = found_of(table).tests
    order = tests["p_value"].to_numpy().argsort()
    first = tests.iloc[order[0]]
    assert first["p_value_holm"] == pytest.approx(min(1, len(tests) * first["p_value"]))
    assert (tests["p_value_holm"] >= tests["p_value"]).all()
    assert (np.diff(tests["p_value_holm"].to_numpy()[order]) >= 0).all()


def test_extreme_predictions_give_one_warning_for_each_measure_that_clips_them():
    table, _ = simulate(300)
    table.loc[:2, "p"] = [0.0, 1.0, 0.0]
    with pytest.warns(TreatselWarning, match="3 of 300") as reported:
        found_of(table, measures=["calibration slope"])
    assert len(reported) == 1


def test_a_group_recommended_only_the_best_arm_gains_nothing():
    table, scores = simulate(400)
    table.loc[table["sex"] == "f", "rec"] = "CBT"
    found = found_of(table, scores, comparator="CBT", measures=[GAIN, "recommended"])
    assert cell(found, GAIN, "f") == 0
    assert found.tests.set_index("measure").loc[GAIN, "left_out"] == "f"
    assert cell(found, "recommended IPT", "f") == 0
    assert np.isfinite(found.tests.set_index("measure").loc["recommended IPT", "p_value"])


def test_plot_shows_every_group():
    table, _ = simulate(300, groups="fmx", share=[0.5, 0.46, 0.04])
    found = found_of(table)
    ax = found.plot("calibration slope")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == 3
    assert any("not estimable" in label for label in labels)
    assert "calibration slope" in found.plot("calibration slope", variable="sex").get_xlabel()
    with pytest.raises(InputError, match="Did you mean 'Brier score'"):
        found.plot("brier score")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"measures": ["AUC"]}, "A measure is 'AUC'"),
        ({"measures": [GAIN]}, "needs scores and recommended"),
        ({"measures": ["recommended"]}, "needs recommended"),
        ({"recommended": [None] * 60}, "60 missing labels"),
        ({"recommended": ["CBT"]}, "Lengths differ"),
        ({"level": 95}, "level is 95"),
        ({"sample_weight": [-1] * 60}, "must not be negative"),
    ],
)
def test_bad_options(options, words):
    table, _ = simulate(60)
    with pytest.raises(InputError, match=words):
        found_of(table, **options)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["f"] * 60, "holds 1 group;"),
        (list(range(60)), "Cut numbers into intervals"),
        (["f", "m"], "Lengths differ"),
        (pd.DataFrame(index=range(60)), "no columns"),
        (pd.Series(["f", "m"] * 30, index=range(59, -1, -1)), "another order"),
    ],
)
def test_bad_labels(labels, words):
    table, _ = simulate(60)
    with pytest.raises(InputError, match=words):
        subgroup_performance(table["y"], table["p"], table["arm"], labels)
