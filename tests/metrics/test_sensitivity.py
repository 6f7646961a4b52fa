import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from treatsel.errors import InputError
from treatsel.metrics.policy import policy_value
from treatsel.metrics.sensitivity import e_value, e_value_of_difference, policy_sensitivity

FEW = {"n_resamples": 2}


def simulate(n, *, seed=0, effect=0.2):
    """Three arms; b is better by `effect` where x > 0, and that is what the rule recommends."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    chance = np.exp(np.outer(x, [0.0, 0.5, -0.5]))
    chance /= chance.sum(axis=1, keepdims=True)
    received = np.array([rng.choice(3, p=row) for row in chance]) if n < 5000 else rng.integers(0, 3, n)
    y = rng.random(n) < 0.4 + effect * ((x > 0) & (received == 1))
    names = np.array(list("abc"))
    rule = np.where(x > 0, "b", "a")
    return y.astype(float), names[received], rule, chance[np.arange(n), received]


def rows_of(found, measure):
    return found.table.query("measure == @measure").set_index("Lambda")


def test_published_e_values():
    found = e_value(10.73, lower=8.02, upper=14.36)  # VanderWeele & Ding 2017
    assert (round(found.value, 1), round(found.e_value_ci, 1)) == (20.9, 15.5)
    found = e_value(0.80, lower=0.71, upper=0.91)  # the same paper, preventive
    assert (round(found.value, 2), round(found.e_value_ci, 2)) == (1.81, 1.43)
    y = [1] * 92 + [0] * 53 + [1] * 140 + [0] * 179  # R's EValue: evalues.RD(92, 53, 140, 179)
    found = e_value_of_difference(y, ["a"] * 145 + ["b"] * 319, arms=("b", "a"))
    assert (round(found.value, 2), round(found.e_value_ci, 2)) == (2.25, 1.72)


@given(st.floats(0.01, 100))
def test_confounder_of_e_value_strength_explains_the_ratio(ratio):
    found = e_value(ratio)
    assert found.value >= 1
    bias = found.value**2 / (2 * found.value - 1)  # by a confounder with both associations of this strength
    assert bias == pytest.approx(max(ratio, 1 / ratio))
    assert found.value == pytest.approx(e_value(1 / ratio).value)
    assert math.isnan(found.e_value_ci)


def test_e_value_limits():
    assert e_value(1.3, lower=0.9).e_value_ci == 1
    assert e_value(0.8, upper=1.1).e_value_ci == 1
    assert e_value(1.0).value == 1
    assert len(e_value(2).to_frame()) == 1
    for bad in ({"ratio": 0}, {"ratio": 2, "lower": 3}, {"ratio": 2, "upper": 1}):
        with pytest.raises(InputError):
            e_value(**bad)


def test_e_value_of_a_difference_at_the_ends():
    arm = ["a"] * 50 + ["b"] * 50
    none = e_value_of_difference([1] * 25 + [0] * 25 + [1] * 25 + [0] * 25, arm, arms=("a", "b"))
    assert (none.value, none.e_value_ci) == (1, 1)
    unclear = e_value_of_difference([1] * 27 + [0] * 23 + [1] * 25 + [0] * 25, arm, arms=("a", "b"))
    assert unclear.e_value_ci == 1 < unclear.value
    zero = e_value_of_difference([1] * 30 + [0] * 70, arm, arms=("a", "b"))
    assert zero.value == math.inf
    weight = np.arange(100) % 3
    y = np.arange(100) % 7 % 2 * (np.arange(100) < 70)
    one = e_value_of_difference(y, arm, arms=("a", "b"), sample_weight=weight)
    other = e_value_of_difference(np.repeat(y, weight), np.repeat(arm, weight), arms=("a", "b"))
    assert one == other


@pytest.mark.parametrize("factor", [1.0, 1.5, 3.0])
def test_bounds_are_those_of_the_linear_program(factor):
    y, received, rule, e = simulate(60)
    mine = received == rule
    low, high = (1 + (1 / e[mine] - 1) * f for f in (1 / factor, factor))
    # Charnes-Cooper: weights w = v / t with sum of v = 1 and t low <= v <= t high
    n = mine.sum()
    constraints = np.vstack([np.c_[np.eye(n), -high], np.c_[-np.eye(n), low]])
    total = np.r_[np.ones(n), 0][None]
    extremes = []
    for sign in (1, -1):
        cost = sign * np.r_[y[mine], 0]
        solved = linprog(cost, constraints, np.zeros(2 * n), total, [1.0], bounds=(0, None))
        extremes.append(sign * solved.fun)
    row = rows_of(policy_sensitivity(y, received, rule, propensity=e, lambdas=[factor], **FEW), "value")
    assert row[["lowest", "highest"]].iloc[0].tolist() == pytest.approx(extremes, abs=1e-9)


@pytest.mark.parametrize("method", ["hajek", "ipw"])
def test_without_confounding_it_is_the_estimate(method):
    y, received, rule, e = simulate(400)
    found = policy_sensitivity(y, received, rule, propensity=e, method=method, comparator="a", **FEW)
    expected = policy_value(y, received, rule, propensity=e, method=method).value
    start = rows_of(found, "value").loc[1.0]
    assert (start["lowest"], start["highest"]) == pytest.approx((expected, expected))
    gain = rows_of(found, "gain").loc[1.0]
    differs = rule != "a"
    parts = [(received == arm)[differs] / e[differs] for arm in "ba"]
    if method == "ipw":
        plain = (parts[0] - parts[1]) @ y[differs] / len(y)
    else:
        plain = differs.mean() * (
            np.average(y[differs], weights=parts[0]) - np.average(y[differs], weights=parts[1])
        )
    assert (gain["lowest"], gain["highest"]) == pytest.approx((plain, plain))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["hajek", "ipw"]))
def test_bounds_widen_weights_repeat_rows_and_order_does_not_matter(seed, method):
    y, received, rule, e = simulate(80, seed=seed)
    options = {"method": method, "comparator": "a", **FEW}
    found = policy_sensitivity(y, received, rule, propensity=e, **options)
    for measure in ("value", "gain"):
        table = rows_of(found, measure)
        assert table["lowest"].is_monotonic_decreasing
        assert table["highest"].is_monotonic_increasing
    weight = np.random.default_rng(seed).integers(0, 3, 80)
    again = np.random.default_rng(seed).permutation(np.repeat(np.arange(80), weight))
    one = policy_sensitivity(y, received, rule, propensity=e, sample_weight=weight, **options)
    other = policy_sensitivity(y[again], received[again], rule[again], propensity=e[again], **options)
    bounds = ["lowest", "highest"]
    pd.testing.assert_frame_equal(one.table[bounds], other.table[bounds])
    assert one.lambda_estimate == pytest.approx(other.lambda_estimate, nan_ok=True)


@pytest.mark.parametrize("effect", [0.5, -0.35])
def test_at_lambda_the_sign_is_lost(effect):
    y, received, rule, e = simulate(900, effect=effect)
    found = policy_sensitivity(y, received, rule, propensity=e, comparator="a", n_resamples=200)
    assert 1 < found.lambda_interval < found.lambda_estimate < math.inf
    at = policy_sensitivity(
        *(y, received, rule),
        propensity=e,
        comparator="a",
        lambdas=[found.lambda_estimate, found.lambda_interval],
        n_resamples=200,
    )
    table = rows_of(at, "gain")
    bound, limit = ("lowest", "lower") if effect > 0 else ("highest", "upper")
    assert table[bound].iloc[0] == pytest.approx(0, abs=1e-8)
    assert table[limit].iloc[1] == pytest.approx(0, abs=1e-6)


def test_interval_covers_the_value_under_confounding():
    """An unmeasured confounder doubles the odds of the recommended arm: the interval at Lambda 2 covers."""
    hits, naive = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        u = rng.integers(0, 2, 400)
        given = np.where(rng.random(400) < np.where(u == 1, 2 / 3, 1 / 2), "a", "b")
        y = (rng.random(400) < 0.3 + 0.4 * u).astype(float)
        e = np.where(given == "a", 7 / 12, 5 / 12)
        options = {"lambdas": [1.0, 2.0], "comparator": "b", "n_resamples": 100}
        found = policy_sensitivity(y, given, ["a"] * 400, propensity=e, **options)
        table = rows_of(found, "gain")
        hits += table.loc[2.0, "lower"] <= 0 <= table.loc[2.0, "upper"]
        naive += table.loc[1.0, "lower"] <= 0 <= table.loc[1.0, "upper"]
    assert hits / 60 >= 0.95
    assert naive / 60 < 0.9


def test_one_arm_for_all_and_no_concordant_patient():
    y, received, e = [1, 0, 1, 0], list("aabb"), [0.5] * 4
    same = policy_sensitivity(y, received, ["a"] * 4, propensity=e, comparator="a", **FEW)
    gain = rows_of(same, "gain")
    assert (gain[["lowest", "highest", "lower", "upper"]] == 0).all().all()
    assert same.lambda_estimate == 1
    none = policy_sensitivity(y, received, ["c"] * 4, propensity=e, comparator="a", **FEW)
    assert none.table[["lowest", "upper"]].isna().all().all()
    assert math.isnan(none.lambda_estimate)


def test_whole_clusters_are_resampled_and_seeds_repeat():
    y, received, rule, e = simulate(200)
    sites = np.repeat(np.arange(20), 10)
    options = {"propensity": e, "n_resamples": 50, "clusters": sites}
    one, other = (policy_sensitivity(y, received, rule, **options) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, other.table)
    plain = policy_sensitivity(y, received, rule, propensity=e, n_resamples=50)
    assert not one.table["lower"].equals(plain.table["lower"])
    assert "clusters" in one.method
    assert one.comparator_arm in "abc"


def test_plot_has_both_bounds():
    y, received, rule, e = simulate(100)
    ax = policy_sensitivity(y, received, rule, propensity=e, **FEW).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["lowest", "highest"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lambdas": [0.5]}, "1 or more"),
        ({"lambdas": []}, "1 or more"),
        ({"method": "dr"}, "method"),
        ({"comparator": "z"}, "comparator"),
        ({"propensity": [0.0, 0.5, 0.5, 0.5]}, "is 0 for the received arm"),
        ({"level": 95}, "level"),
    ],
)
def test_bad_input(options, words):
    given = {"propensity": [0.5] * 4, **options}
    with pytest.raises(InputError, match=words):
        policy_sensitivity([1, 0, 1, 0], list("aabb"), list("abab"), **given)
