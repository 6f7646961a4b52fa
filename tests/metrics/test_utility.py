import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from treatsel._stats.by_arm_tables import recommended_shares
from treatsel.errors import InputError
from treatsel.metrics import gain_over_best_arm
from treatsel.metrics.utility import (
    decision_curve,
    net_benefit,
    treatment_choice_net_benefit,
    value_of_information,
)
from treatsel.metrics.utility._value_of_information import expected_maximum

GRID = np.arange(20) * 0.05  # 0.15000000000000002 and the like
PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 20), st.integers(0, 3)),
    min_size=3,
    max_size=25,
).filter(lambda rows: any(row[3] for row in rows))
NUMBERS = ["value", "lower", "upper"]


def vectors(rows):
    y, p, q, weight = (np.array(column) for column in zip(*rows, strict=True))
    return y, p / 20, q / 20, weight


def again(y, weight, random):
    order = list(np.repeat(np.arange(len(y)), weight))
    random.shuffle(order)
    return order


def by_strategy(frame, column="value"):
    return frame.pivot_table(index="threshold", columns="strategy", values=column)


# net benefit


@settings(max_examples=40, deadline=None)
@given(rows=PATIENTS, random=st.randoms(use_true_random=False), known=st.sampled_from([None, 0.3]))
def test_weights_are_repeated_rows_and_order_does_not_matter(rows, random, known):
    y, p, q, weight = vectors(rows)
    order = again(y, weight, random)
    options = {"prevalence": known, "harm": 0.01}
    found = net_benefit(y, p, 0.35, sample_weight=weight, **options).to_dict()
    expected = net_benefit(y[order], p[order], 0.35, **options).to_dict()
    assert found.pop("method") == expected.pop("method")
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    options |= {"thresholds": GRID, "n_resamples": 0}
    found = decision_curve(y, {"p": p, "q": q}, sample_weight=weight, **options)
    expected = decision_curve(y[order], {"p": p[order], "q": q[order]}, **options)
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.differences, expected.differences)


@settings(max_examples=40, deadline=None)
@given(rows=PATIENTS)
def test_the_curve_is_the_definition(rows):
    y, p, _, _ = vectors(rows)
    table = by_strategy(decision_curve(y, p, thresholds=GRID, n_resamples=0).to_frame())
    for step, threshold in enumerate(GRID):
        positive, odds = p * 20 > step - 0.5, step / (20 - step)
        expected = (positive & (y == 1)).mean() - odds * (positive & (y == 0)).mean()
        assert table["model"].iloc[step] == pytest.approx(expected, abs=1e-12)
        assert net_benefit(y, p, threshold).value == pytest.approx(expected, abs=1e-12)
        assert table["treat all"].iloc[step] == pytest.approx(y.mean() - odds * (1 - y.mean()), abs=1e-12)
    assert table["model"].iloc[0] == pytest.approx(y.mean())
    assert (table["treat none"] == 0).all()


@pytest.mark.parametrize("tenths", range(1, 10))
def test_ties_reach_the_threshold_in_spite_of_binary_rounding(tenths):
    for prediction in (tenths / 10, 1 - (10 - tenths) / 10, sum([0.1] * tenths)):
        for threshold in (tenths / 10, 0.1 * tenths, sum([0.1] * tenths)):
            assert net_benefit([1, 0], [prediction, 0], threshold).value == 0.5
    assert net_benefit([1, 0], [tenths / 10 - 1e-9, 0], tenths / 10).value == 0


def test_perfect_predictions_reach_the_prevalence_everywhere():
    y = np.array([0, 1, 1, 0, 0])
    curve = decision_curve(y, y, n_resamples=0)
    table = curve.to_frame().query("strategy == 'model'")
    assert table["value"].tolist() == pytest.approx([0.4] * 99)
    saved = table["avoided"].to_numpy()
    assert saved == pytest.approx(np.full(99, 0.6))  # all three without the outcome remain untreated
    assert net_benefit(y, y, 0.5, prevalence=0.1).value == pytest.approx(0.1)


def test_constant_predictions_are_treat_all_and_then_treat_none(cohort):
    curve = decision_curve(cohort["y"], np.full(200, 0.4), thresholds=[0.3, 0.4, 0.5], n_resamples=20)
    table = by_strategy(curve.to_frame())
    assert table["model"].tolist() == [*table["treat all"].iloc[:2], 0]
    same = curve.differences.query("comparator == 'treat all' and threshold < 0.45")
    assert (same[NUMBERS] == 0).all(axis=None)


def test_known_prevalence(cohort):
    """Half of the patients with the outcome were sampled: the curve of the whole population is recovered."""
    y, p = cohort["y"].to_numpy(), cohort["p"].to_numpy()
    weight = np.where(y == 1, 2, 1)
    full = decision_curve(y, p, sample_weight=weight, n_resamples=0).to_frame()
    known = float(np.average(y, weights=weight))
    sampled = decision_curve(y, p, prevalence=known, n_resamples=0).to_frame()
    pd.testing.assert_frame_equal(full, sampled)
    single = net_benefit(y, p, 0.3, prevalence=known)
    assert single.value == pytest.approx(net_benefit(y, p, 0.3, sample_weight=weight).value)
    own = net_benefit(y, p, 0.3, prevalence=y.mean())
    assert own.value == pytest.approx(net_benefit(y, p, 0.3).value)
    assert 0 < own.se < net_benefit(y, p, 0.3).se  # the prevalence is known without error


def test_one_class():
    assert net_benefit([0, 0], [0.6, 0.2], 0.5).value == -0.5
    found = net_benefit([0, 0], [0.6, 0.2], 0.5, prevalence=0.3)
    assert math.isnan(found.value)
    assert "both outcomes" in found.method
    rare = decision_curve([1, *[0] * 9], np.arange(10) / 10, prevalence=0.3)
    assert rare.method.startswith("no interval: more than one resample in ten")
    assert rare.to_frame()["value"].notna().all()
    assert rare.to_frame()["lower"].isna().all()
    curve = decision_curve([0, 0], [0.6, 0.2], prevalence=0.3, n_resamples=5)
    assert "both outcomes" in curve.method
    assert curve.to_frame().query("strategy == 'model'")["value"].isna().all()


def test_harm_is_taken_from_its_model(cohort):
    models = cohort[["p", "q"]]
    options = {"thresholds": [0.3, 0.5], "n_resamples": 0}
    free = by_strategy(decision_curve(cohort["y"], models, **options).to_frame())
    costly = by_strategy(decision_curve(cohort["y"], models, harm={"q": 0.02}, **options).to_frame())
    taken = {name: (free - costly)[name].tolist() for name in free}
    none = [0.0, 0.0]
    assert taken.pop("q") == pytest.approx([0.02, 0.02])
    assert taken == {"p": none, "treat all": none, "treat none": none}
    assert net_benefit(cohort["y"], cohort["q"], 0.3, harm=0.02).value == pytest.approx(costly["q"].iloc[0])


def test_differences_are_those_of_the_values(cohort):
    curve = decision_curve(cohort["y"], cohort[["p", "q"]], thresholds=[0, 0.3, 0.6], n_resamples=50)
    value = by_strategy(curve.to_frame())
    pairs = []
    for (first, second), rows in curve.differences.groupby(["strategy", "comparator"], sort=False):
        pairs.append((first, second))
        assert rows["value"].tolist() == pytest.approx((value[first] - value[second]).tolist())
    against = {"p": ["q", "treat all", "treat none"], "q": ["treat all", "treat none"]}
    assert pairs == [(first, second) for first in against for second in against[first]]
    at = curve.differences.query("strategy == 'p' and comparator == 'q' and threshold == 0.3").iloc[0]
    differ = (cohort["p"] >= 0.3) != (cohort["q"] >= 0.3)
    assert [at["n_discordant"], at["n_events_differ"]] == [differ.sum(), (differ & (cohort["y"] == 1)).sum()]
    against_none = curve.differences.query("comparator == 'treat none' and threshold == 0.6")
    treated = [(cohort[name] >= 0.6).sum() for name in ("p", "q")]
    assert against_none["n_discordant"].tolist() == treated
    table = curve.to_frame()
    none = curve.differences.query("strategy == 'p' and comparator == 'treat none'")
    own = table.query("strategy == 'p'")
    assert none[NUMBERS].to_numpy() == pytest.approx(own[NUMBERS].to_numpy())
    against_all = curve.differences.query(
        "strategy == 'p' and comparator == 'treat all' and threshold == 0.3"
    )
    spared = own.query("threshold == 0.3")[["avoided", "avoided_lower", "avoided_upper"]].to_numpy()
    assert spared == pytest.approx(against_all[NUMBERS].to_numpy() * 0.7 / 0.3)
    assert own["avoided"].isna().tolist() == [True, False, False]


# intervals of the curve


def test_resamples_are_the_same_for_the_same_seed_whatever_the_order_of_rows(cohort):
    options = {"thresholds": [0.2, 0.4, 0.6], "n_resamples": 40}
    for clusters in (None, "site"):
        tables = []
        for part in (cohort, cohort.sample(frac=1, random_state=1)):
            labels = None if clusters is None else part[clusters]
            weighted = options | {"clusters": labels, "sample_weight": part["weight"]}
            tables.append(decision_curve(part["y"], part[["p", "q"]], **weighted).to_frame())
        pd.testing.assert_frame_equal(*tables)
    other = decision_curve(cohort["y"], cohort["p"], random_state=1, **options).to_frame()
    assert not other.equals(decision_curve(cohort["y"], cohort["p"], **options).to_frame())


def test_the_bootstrap_agrees_with_the_standard_error():
    """With thousands of patients the percentile interval equals the Wald interval, also for clusters."""
    rng = np.random.default_rng(7)
    p = rng.beta(2, 2, 4000)
    site = rng.integers(0, 80, 4000)
    y = rng.binomial(1, np.clip(p + rng.normal(0, 0.1, 80)[site], 0, 1))
    for clusters in (None, site):
        for known in (None, 0.3):
            options = {"clusters": clusters, "prevalence": known}
            row = decision_curve(y, p, thresholds=[0.4], n_resamples=2000, **options).to_frame().iloc[0]
            found = net_benefit(y, p, 0.4, **options)
            assert row["value"] == pytest.approx(found.value)
            width = found.upper - found.lower
            assert row["lower"] == pytest.approx(found.lower, abs=0.06 * width)
            assert row["upper"] == pytest.approx(found.upper, abs=0.06 * width)


def test_intervals_cover():
    rng = np.random.default_rng(3)

    def draw(n):
        p = rng.beta(2, 3, n)
        return rng.binomial(1, p**1.2), {"p": p, "blurred": np.clip(p + rng.normal(0, 0.1, n), 0, 1)}

    y, models = draw(200_000)
    options = {"thresholds": [0.2, 0.5]}
    large = decision_curve(y, models, n_resamples=0, **options)
    curve_hits, difference_hits, wald_hits = [], [], []
    for seed in range(80):
        y, models = draw(300)
        found = decision_curve(y, models, n_resamples=99, random_state=seed, **options)
        for hits, ours, truth in (
            (curve_hits, found.table[:4], large.table[:4]),
            (difference_hits, found.differences, large.differences),
        ):
            hits.append((ours["lower"] <= truth["value"]) & (truth["value"] <= ours["upper"]))
        single = net_benefit(y, models["p"], 0.5)
        wald_hits.append(single.lower <= large.table["value"].iloc[1] <= single.upper)
    for hits in (curve_hits, difference_hits, wald_hits):
        assert 0.89 < np.mean(hits) < 0.985
        assert np.mean(hits, axis=0).min() > 0.84


def test_method_of_a_curve_without_intervals(cohort):
    curve = decision_curve(cohort["y"], cohort["p"], n_resamples=0)
    assert curve.method == "no intervals requested"
    assert curve.to_frame()[["lower", "upper"]].isna().all(axis=None)
    with_clusters = decision_curve(cohort["y"], cohort["p"], n_resamples=9, clusters=cohort["site"])
    assert with_clusters.method == "percentiles of 9 resamples of 8 clusters"


def test_plots_label_the_meaning_of_treat(cohort):
    curve = decision_curve(cohort["y"], cohort["p"], n_resamples=20)
    ax = curve.plot()
    words = " ".join(ax.get_xlabel().split())
    assert "rely on the arm when the predicted probability of the good outcome is at least" in words
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["model", "treat all", "treat none"]
    lost = decision_curve(1 - cohort["y"], 1 - cohort["p"], n_resamples=0)
    assert "step up" in lost.plot(treat="step up").get_xlabel()
    assert value_of_information(cohort["y"], cohort["p"]).plot().get_xlabel() == "Threshold"


@pytest.mark.parametrize(
    "metric", [lambda y, p: net_benefit(y, p, 0.5), decision_curve, value_of_information]
)
def test_bad_vectors(metric):
    with pytest.raises(InputError, match="holds 1 value outside 0 to 1"):
        metric([0, 1], [50, 0.5])
    with pytest.raises(InputError, match="y_true holds 1 missing value"):
        metric([0, np.nan], [0.5, 0.5])
    with pytest.raises(InputError, match="Lengths differ"):
        metric([0, 1, 1], [0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": [0.5, 1]}, r"thresholds must lie in \[0, 1\)"),
        ({"thresholds": []}, "at least one"),
        ({"thresholds": [0.5, 0.2]}, "thresholds must increase"),
        ({"prevalence": 30}, "prevalence is 30"),
        ({"harm": -0.1}, "harm must not be negative"),
        ({"harm": {"other": 0.1}}, r"harm names \['other'\]"),
        ({"n_resamples": 1}, "n_resamples is 1"),
        ({"random_state": -1}, "random_state is -1"),
        ({"level": 95}, "level is 95"),
        ({"clusters": ["a", "a"]}, "fewer than 2 clusters"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        decision_curve([0, 1], [0.2, 0.7], **options)


def test_bad_models():
    with pytest.raises(InputError, match="'treat none' are reserved"):
        decision_curve([0, 1], {"treat none": [0.2, 0.7]})
    with pytest.raises(InputError, match=r"y_prob\['b'\] holds 1 value outside"):
        decision_curve([0, 1], {"a": [0.2, 0.7], "b": [2, 0.1]})
    with pytest.raises(InputError, match="hold 1 duplicate"):
        decision_curve([0, 1], pd.DataFrame([[0.1, 0.2], [0.3, 0.4]], columns=["a", "a"]))


# choice between arms


@pytest.fixture
def choice():
    """Scores and predictions of 300 patients under three arms; the predictions lie on a grid."""
    rng = np.random.default_rng(5)
    predicted = pd.DataFrame(rng.integers(1, 20, (300, 3)) / 20, columns=["CBT", "IPT", "SSRI"])
    return predicted + rng.normal(0, 0.4, (300, 3)), predicted


def test_choice_is_the_mean_net_benefit_of_the_rule(choice):
    scores, predicted = choice
    curve = treatment_choice_net_benefit(
        scores, predicted, comparator="IPT", thresholds=[0.02, 0.07], costs={"SSRI": 3}
    )
    assert curve.costs == {"IPT": 0.0, "CBT": 1.0, "SSRI": 3.0}
    table = curve.to_frame().set_index(["strategy", "threshold"])
    for threshold in (0.02, 0.07):
        cost = pd.Series({"CBT": threshold, "IPT": 0, "SSRI": 3 * threshold})
        rule = (predicted - cost).idxmax(axis=1)
        earned = [scores.loc[i, arm] - cost[arm] - scores.loc[i, "IPT"] for i, arm in rule.items()]
        row = table.loc["model", threshold]
        assert row["value"] == pytest.approx(np.mean(earned))
        assert row["se"] == pytest.approx(np.std(earned, ddof=1) / np.sqrt(300))
        half = norm.ppf(0.975) * row["se"]
        assert [row["lower"], row["upper"]] == pytest.approx([row["value"] - half, row["value"] + half])
        shares = curve.shares[curve.shares["threshold"] == threshold].set_index("arm")["share"]
        assert shares.to_dict() == pytest.approx(rule.value_counts(normalize=True).to_dict())


def test_choice_is_the_gain_of_the_rule_also_for_clusters(choice):
    scores, predicted = choice
    site, weight = np.arange(300) % 14, np.arange(300) % 3 * (np.arange(300) % 14 > 0)
    options = {"clusters": site, "sample_weight": weight}
    row = treatment_choice_net_benefit(scores, predicted, thresholds=[0], **options).to_frame().iloc[0]
    shares = recommended_shares(predicted, "CBT")  # some patients have two equally good arms besides CBT
    gain = gain_over_best_arm(scores, shares, comparator="CBT", **options)
    for name in [*NUMBERS, "se"]:
        assert row[name] == pytest.approx(getattr(gain, name))


def test_choice_differences_and_the_reference(choice):
    curve = treatment_choice_net_benefit(*choice)
    table = by_strategy(curve.to_frame())
    assert curve.comparator == "CBT"
    assert (table["CBT for all patients"] == 0).all()
    for name, rows in curve.differences.groupby("comparator"):
        assert rows["value"].to_numpy() == pytest.approx((table["model"] - table[name]).to_numpy())
    assert "over CBT" in curve.plot().get_xlabel()
    kept = treatment_choice_net_benefit(*choice, thresholds=[5])
    assert kept.shares["share"].tolist() == [1, 0, 0]
    assert by_strategy(kept.to_frame())["model"].item() == 0


@pytest.mark.parametrize("grouped", [False, True])
def test_choice_weights_are_repeated_rows_and_columns_are_matched_by_name(choice, grouped):
    scores, predicted = choice
    weight = np.random.default_rng(1).integers(0, 4, 300)
    order = np.random.default_rng(2).permutation(np.repeat(np.arange(300), weight))
    site = np.arange(300) % 12
    clusters, again = (site, site[order]) if grouped else (None, None)
    found = treatment_choice_net_benefit(scores, predicted, sample_weight=weight, clusters=clusters)
    mixed = scores[["SSRI", "CBT", "IPT"]].iloc[order].reset_index(drop=True)
    same = predicted.iloc[order].reset_index(drop=True)
    expected = treatment_choice_net_benefit(mixed, same, clusters=again)
    pd.testing.assert_frame_equal(found.table, expected.table)
    pd.testing.assert_frame_equal(found.differences, expected.differences)
    pd.testing.assert_frame_equal(found.shares, expected.shares)
    assert found.method == expected.method
    assert ("12 clusters" in found.method) is grouped


def test_choice_refuses(choice):
    scores, predicted = choice
    with pytest.raises(InputError, match="same arms, two or more"):
        treatment_choice_net_benefit(scores, predicted[["CBT", "IPT"]])
    with pytest.raises(InputError, match="comparator is 'TAU'"):
        treatment_choice_net_benefit(scores, predicted, comparator="TAU")
    with pytest.raises(InputError, match=r"costs names the arms \['TAU'\]"):
        treatment_choice_net_benefit(scores, predicted, costs={"TAU": 1})
    with pytest.raises(InputError, match="comparator 'CBT' a cost"):
        treatment_choice_net_benefit(scores, predicted, costs={"CBT": 1})
    with pytest.raises(InputError, match="another order"):
        treatment_choice_net_benefit(scores, predicted[::-1])


# value of information


def test_expected_maximum_of_normal_variables():
    rng = np.random.default_rng(4)
    for _ in range(3):
        root, mean = rng.normal(size=(3, 3)), rng.normal(size=3)
        draws = rng.standard_normal((400_000, 3)) @ root.T + mean
        found = expected_maximum(mean[:, None], (root @ root.T)[:, :, None]).item()
        assert found == pytest.approx(draws.max(axis=1).mean(), abs=0.02)


def test_expected_maximum_of_degenerate_variables():
    mean, truncated = np.array([[0.1], [0.1], [0.0]]), 0.1 * norm.cdf(0.5) + 0.2 * norm.pdf(0.5)
    twins = np.zeros((3, 3, 1))
    twins[:2, :2] = 0.04
    assert expected_maximum(mean, twins).item() == pytest.approx(truncated, abs=1e-9)
    one = np.zeros((3, 3, 1))
    one[0, 0] = 0.04
    assert expected_maximum(np.array([[0.1], [0.0], [0.0]]), one).item() == pytest.approx(truncated, abs=1e-9)
    assert expected_maximum(mean, np.zeros((3, 3, 1))).item() == pytest.approx(0.1)


def test_the_two_values_of_information_agree(cohort):
    options = {"thresholds": [0.2, 0.35, 0.5, 0.7]}
    close = value_of_information(cohort["y"], cohort["p"], **options).to_frame()
    drawn = value_of_information(cohort["y"], cohort["p"], method="bootstrap", n_resamples=8000, **options)
    assert close["value"].to_numpy() == pytest.approx(drawn.to_frame()["value"].to_numpy(), abs=1e-3)
    assert close["best"].tolist() == drawn.to_frame()["best"].tolist()
    assert (close["value"] >= 0).all()
    assert close["perfect"].to_numpy() == pytest.approx((close["current"] + close["value"]).to_numpy())


def test_value_of_information_is_the_expected_loss_of_a_choice_from_the_data():
    """With truths resampled from the data, the best strategy exceeds the chosen one by the EVPI."""
    rng = np.random.default_rng(9)
    p = np.repeat([0.2, 0.5, 0.8], 20)
    y = np.tile([0, 1], 30)
    cells = pd.DataFrame({"p": p, "y": y}).value_counts().sort_index()
    rates = rng.multinomial(60, cells / 60, size=40_000) / 60
    odds, chosen = 0.4 / 0.6, 1.0 * (cells.index.get_level_values("p") >= 0.4)
    worth = np.where(cells.index.get_level_values("y") == 1, 1, -odds)
    strategies = rates @ np.column_stack([chosen * worth, worth, 0 * worth])
    expected = strategies.max(axis=1).mean() - strategies.mean(axis=0).max()
    found = value_of_information(y, p, thresholds=[0.4])
    assert found.to_frame()["value"].item() == pytest.approx(expected, abs=1e-3)


def test_information_is_worth_less_with_more_patients(cohort):
    few = value_of_information(cohort["y"], cohort["p"])
    many = value_of_information(cohort["y"], cohort["p"], sample_weight=np.full(200, 100))
    assert (many.to_frame()["value"] <= few.to_frame()["value"] + 1e-12).all()
    assert many.to_frame()["value"].max() < few.to_frame()["value"].max() / 5
    assert many.n == 20_000
    order = np.repeat(np.arange(200), cohort["weight"])
    repeated = value_of_information(cohort["y"].to_numpy()[order], cohort["p"].to_numpy()[order])
    weighted = value_of_information(cohort["y"], cohort["p"], sample_weight=cohort["weight"])
    pd.testing.assert_frame_equal(repeated.to_frame(), weighted.to_frame())


def test_value_of_information_refuses_and_accepts_several(cohort):
    several = cohort[["p", "q"]]
    with pytest.raises(InputError, match="takes one model"):
        value_of_information(cohort["y"], several)
    with pytest.raises(InputError, match="method is 'bayes'"):
        value_of_information(cohort["y"], cohort["p"], method="bayes")
    found = value_of_information(
        cohort["y"], several, method="bootstrap", n_resamples=50, clusters=cohort["site"]
    )
    assert found.method == "bootstrap, 50 resamples of 8 clusters"
    assert set(found.to_frame()["best"]) <= {"p", "q", "treat all", "treat none"}
    assert (found.to_frame()["value"] >= 0).all()
