import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from treatsel.errors import InputError
from treatsel.metrics.policy import Gain
from treatsel.metrics.pooling import pool_gains, pool_rubin, random_effects_meta_analysis
from treatsel.metrics.pooling._prediction import draws_of_tau2

SITES = st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 2)), min_size=3, max_size=12)


def columns(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


def restricted_likelihood(tau2, y, se):
    """-2 log restricted likelihood, by the projection matrix instead of sums of weights."""
    variance, ones = np.diag(se**2 + tau2), np.ones((len(y), 1))
    inverse = np.linalg.inv(variance)
    information = (ones.T @ inverse @ ones).item()
    projection = inverse - inverse @ ones @ ones.T @ inverse / information
    return np.log(np.diag(variance)).sum() + np.log(information) + y @ projection @ y


@settings(max_examples=30, deadline=None)
@given(SITES)
def test_reml_is_the_highest_point_of_the_restricted_likelihood(rows):
    y, se = columns(rows)
    found = restricted_likelihood(random_effects_meta_analysis(y, se, prediction="k-2").tau2, y, se)
    for end in (0.01, 0.1, 1, 20):
        other = minimize_scalar(restricted_likelihood, bounds=(0, end), args=(y, se), method="bounded")
        assert found <= other.fun + 1e-7
    assert found <= restricted_likelihood(0.0, y, se) + 1e-9


@settings(max_examples=40, deadline=None)
@given(SITES, st.randoms(use_true_random=False), st.floats(-5, 5), st.floats(0.1, 10))
def test_order_shift_and_unit_do_not_matter(rows, random, shift, factor):
    y, se = columns(rows)
    order = list(range(len(y)))
    random.shuffle(order)
    one, other = (
        random_effects_meta_analysis(y, se),
        random_effects_meta_analysis(y[order] * factor + shift, se[order] * factor),
    )
    assert other.value == pytest.approx(one.value * factor + shift, abs=1e-5)
    assert other.tau2 == pytest.approx(one.tau2 * factor**2, rel=1e-4, abs=1e-6)
    assert other.upper == pytest.approx(one.upper * factor + shift, rel=1e-4, abs=1e-4)
    assert other.p_value_q == pytest.approx(one.p_value_q, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.05, 2), st.integers(2, 9), st.sampled_from(["identity", "logit", "log"]))
def test_identical_sites_pool_to_the_site(value, se, k, scale):
    found = random_effects_meta_analysis([value] * k, [se] * k, scale=scale, interval="z")
    back = {"identity": value, "logit": expit(value), "log": math.exp(value)}[scale]
    assert found.value == pytest.approx(back)
    assert (found.tau2, found.i2) == (0, 0)
    assert found.q == pytest.approx(0, abs=1e-12)
    assert found.se == pytest.approx(se / math.sqrt(k))
    assert random_effects_meta_analysis([value] * k, [se] * k, interval="hk_adhoc").se == pytest.approx(
        se / math.sqrt(k)
    )
    assert random_effects_meta_analysis([value] * k, [se] * k, interval="hk").se == pytest.approx(
        0, abs=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(SITES)
def test_the_adhoc_correction_never_narrows(rows):
    y, se = columns(rows)
    plain, adhoc, normal = (
        random_effects_meta_analysis(y, se, interval=kind, prediction="k-2")
        for kind in ("hk", "hk_adhoc", "z")
    )
    assert adhoc.se >= max(plain.se, normal.se) - 1e-12
    assert adhoc.upper - adhoc.lower >= plain.upper - plain.lower - 1e-12
    assert adhoc.tau2 == plain.tau2 == normal.tau2


def test_equal_precision_has_a_closed_form():
    y, se = np.array([0.1, 0.5, 0.9, 1.4, 0.2]), 0.2
    found = random_effects_meta_analysis(y, [se] * 5)
    assert found.value == pytest.approx(y.mean())
    assert found.tau2 == pytest.approx(y.var(ddof=1) - se**2)
    assert found.se == pytest.approx(y.std(ddof=1) / math.sqrt(5))
    assert found.i2 == pytest.approx(found.tau2 / (found.tau2 + se**2))
    assert random_effects_meta_analysis(y, [se] * 5, estimator="dl").tau2 == pytest.approx(found.tau2)


def test_a_site_without_estimate_is_shown_and_left_out():
    y, se = [0.2, math.nan, 0.4, math.inf, 0.7, 0.0], [0.1, 0.1, 0.2, 0.1, 0.1, 0.0]
    found, without = (
        random_effects_meta_analysis(y, se, sites=list("abcdef")),
        random_effects_meta_analysis([0.2, 0.4, 0.7], [0.1, 0.2, 0.1]),
    )
    assert (found.n_sites, found.n_left_out) == (3, 3)
    assert (found.value, found.lower, found.tau2) == (without.value, without.lower, without.tau2)
    sites = found.sites.set_index("site")
    assert sites.index[~sites["pooled"]].tolist() == ["b", "d", "f"]
    assert sites["weight"].sum() == pytest.approx(1)
    assert (sites.loc[["b", "d", "f"], "weight"] == 0).all()


def test_one_site_no_site_two_sites():
    one = random_effects_meta_analysis([0.3, math.nan], [0.1, 0.1])
    assert (one.value, one.n_sites) == (0.3, 1)
    assert math.isnan(one.lower)
    assert "two sites" in one.method
    assert random_effects_meta_analysis([0.3], [0.1], interval="z").upper == pytest.approx(
        0.3 + 1.959964 * 0.1
    )
    none = random_effects_meta_analysis([math.nan], [0.1])
    assert math.isnan(none.value)
    assert "not estimable" in none.method
    two = random_effects_meta_analysis([0.3, 0.5], [0.1, 0.1])
    assert math.isfinite(two.upper)
    assert math.isnan(two.prediction_lower)
    assert math.isnan(two.probability_above(0))
    assert math.isfinite(
        random_effects_meta_analysis([0.3, 0.5], [0.1, 0.1], prediction="k-1").prediction_lower
    )


@pytest.mark.parametrize("prediction", ["bootstrap", "k-2", "k-1"])
def test_probability_above_belongs_to_the_prediction_interval(prediction):
    y, se = logit([0.6, 0.7, 0.75, 0.66, 0.8]), [0.1, 0.12, 0.1, 0.2, 0.1]
    found = random_effects_meta_analysis(y, se, scale="logit", prediction=prediction)
    assert found.probability_above(found.prediction_lower) == pytest.approx(0.975, abs=1e-4)
    assert found.probability_above(found.prediction_upper) == pytest.approx(0.025, abs=1e-4)
    assert found.probability_above(found.value) == pytest.approx(0.5, abs=0.02)
    assert (found.probability_above(0), found.probability_above(1)) == (1, 0)
    with pytest.raises(InputError, match="must be 0 to 1"):
        found.probability_above(1.2)


def cisapride():
    """Log odds ratios and standard errors of 13 trials: Hartung & Knapp (2001), doi:10.1002/sim.1009."""
    events = np.array(
        [
            [15, 12, 29, 42, 14, 44, 14, 29, 10, 17, 38, 19, 21],
            [9, 1, 18, 31, 6, 17, 7, 23, 3, 6, 12, 22, 19],
        ]
    )
    n = np.array(
        [
            [16, 16, 34, 56, 22, 54, 17, 58, 14, 26, 44, 29, 38],
            [16, 16, 34, 56, 22, 55, 15, 58, 15, 27, 45, 30, 38],
        ]
    )
    yes, no = events + 0.5, n - events + 0.5
    return np.subtract(*np.log(yes / no)), np.sqrt((1 / yes + 1 / no).sum(axis=0))


def test_prediction_interval_matches_pimeta():
    """Vignette of R's pimeta 1.1.4, 25,000 draws with seed 2236067: 4.141 [0.533, 33.692], tau2 0.718.

    Limits of two sets of 25,000 draws differ by chance: the tolerance of 0.09 on the log scale is three
    standard deviations, 2 % of the width of the interval.
    """
    y, se = cisapride()
    assert y[:3] == pytest.approx([2.098986, 3.357026, 1.565232], abs=1e-6)
    assert se[:3] == pytest.approx([0.9847737, 1.0165653, 0.5747840], abs=1e-6)
    found = random_effects_meta_analysis(y, se, scale="log", estimator="dl")
    assert found.value == pytest.approx(4.141, abs=5e-4)
    assert (found.tau2, found.prediction_df) == (pytest.approx(0.718, abs=5e-4), 12)
    assert math.log(found.prediction_lower) == pytest.approx(math.log(0.533), abs=0.09)
    assert math.log(found.prediction_upper) == pytest.approx(math.log(33.692), abs=0.09)
    assert found.probability_above(1) == pytest.approx(1 - 0.075, abs=0.004)
    assert "Nagashima" in found.prediction_method


def q_below(q, tau2, v, times=20_000):
    """P(Q <= q) given tau2, from simulated estimates."""
    y = np.random.default_rng(5).normal(0, np.sqrt(v + tau2), (times, len(v)))
    mean = y @ (1 / v) / (1 / v).sum()
    return (((y - mean[:, None]) ** 2 / v).sum(axis=1) <= q).mean()


def test_draws_of_tau2_have_the_distribution_of_q():
    """By definition P(tau2 <= t) = P(Q > q) given t: compared with simulated estimates of unequal sites."""
    v = np.array([0.01, 0.02, 0.05, 0.1, 0.01, 0.04, 0.3, 0.02])
    y = np.array([0.1, 0.4, -0.2, 0.5, 0.3, -0.3, 0.9, 0.0])
    q = random_effects_meta_analysis(y, np.sqrt(v)).q
    t = np.array([0, 0.01, 0.03, 0.1, 0.3, 1])
    below = np.array([q_below(q, one, v) for one in t])
    draws = draws_of_tau2(y, v)
    assert (draws <= 1e-12).mean() == pytest.approx(1 - below[0], abs=0.01)
    for one, share in zip(t, below, strict=True):
        assert (draws > one).mean() == pytest.approx(share, abs=0.015)


@pytest.mark.slow
def test_prediction_intervals_cover_new_sites():
    """Sites of unequal size that differ little (I2 10 %): limits are 3 standard errors beyond 93 and 98 %."""
    rng, times = np.random.default_rng(1), 250
    hits, new_hits = 0, {"bootstrap": 0, "k-2": 0}
    for _ in range(times):
        se = rng.uniform(0.1, 0.4, 8)
        y, new = rng.normal(rng.normal(0.4, 0.08, 8), se), rng.normal(0.4, 0.08)
        for kind in new_hits:
            found = random_effects_meta_analysis(y, se, prediction=kind)
            new_hits[kind] += found.prediction_lower < new < found.prediction_upper
        hits += found.lower < 0.4 < found.upper
    assert 0.89 < hits / times < 0.99
    assert 0.88 < new_hits["bootstrap"] / times < 1
    assert new_hits["k-2"] / times < 0.93


def test_frame_and_forest_show_every_site():
    found = random_effects_meta_analysis([0.2, math.nan, 0.4], [0.1, 0.1, 0.2], sites=["x", "y", "z"])
    table = found.to_frame()
    assert table["kind"].tolist() == ["site"] * 3 + ["pooled", "new site"]
    assert table.set_index("kind").loc["pooled", "value"] == found.value
    labels = [text.get_text() for text in found.plot(reference=0).get_yticklabels()]
    assert labels[::-1][:3] == ["x", "y (not estimable)", "z"]
    assert "2 sites" in labels[1]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([1, 2], [0.1]), {}, "Lengths differ"),
        (([1, 2], [0.1, -0.1]), {}, "1 negative"),
        (([1, "a"], [0.1, 0.1]), {}, "numbers only"),
        (([[1]], [[1]]), {}, "one-dimensional"),
        (([1, 2], [0.1, 0.1]), {"scale": "probit"}, "scale is"),
        (([1, 2], [0.1, 0.1]), {"sites": ["a", "a"]}, "duplicate"),
        (([1, 2], [0.1, 0.1]), {"prediction": "k"}, "prediction is"),
        (([1, 2], [0.1, 0.1]), {"level": 95}, "level"),
    ],
)
def test_bad_input(arguments, options, words):
    with pytest.raises(InputError, match=words):
        random_effects_meta_analysis(*arguments, **options)


def gain_of(value, se, comparator="best single arm"):
    return Gain(
        value=value,
        lower=value - 2 * se,
        upper=value + 2 * se,
        se=se,
        p_value=0.5,
        comparator=comparator,
        comparator_arm="CBT",
        comparator_source="named in advance",
        n=400,
        n_discordant=200,
        n_clusters=None,
        level=0.95,
        method="Wald",
    )


def test_pooled_gains_are_a_meta_analysis_of_the_estimable_ones():
    gains = {"a": gain_of(0.02, 0.03), "b": gain_of(math.nan, math.nan), "c": gain_of(0.06, 0.02)}
    gains |= {"d": gain_of(-0.01, 0.04), "e": gain_of(0.0, 0.0)}
    found = pool_gains(gains, level=0.9)
    expected = random_effects_meta_analysis([0.02, 0.06, -0.01], [0.03, 0.02, 0.04], level=0.9)
    for name in ("value", "lower", "upper", "prediction_lower", "prediction_upper", "tau2"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.n_sites, found.n_left_out) == (3, 2)
    assert found.sites["site"].tolist() == list("abcde")


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ({}, "at least one label"),
        ([0.1, 0.2], "gains is list"),
        ({"a": 0.1}, "float"),
        ({"a": gain_of(0.1, 0.1), "b": gain_of(0.1, 0.1, "received arm")}, "different comparators"),
    ],
)
def test_gains_that_cannot_be_pooled(gains, words):
    with pytest.raises(InputError, match=words):
        pool_gains(gains)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=10), st.floats(0.05, 1), st.integers(30, 5000))
def test_rubins_rules(values, se, n):
    small, large = (
        pool_rubin(values, [se] * len(values), n=n),
        pool_rubin(values, [se] * len(values)),
    )
    m, between = len(values), np.var(values, ddof=1)
    assert small.total == pytest.approx(se**2 + (1 + 1 / m) * between)
    assert small.df <= min(n - 1, large.df) * (1 + 1e-9)
    assert small.upper >= large.upper - 1e-12
    assert 0 <= small.fmi < 1
    back = pool_rubin(values, [se] * m, n=n, scale="logit")
    assert (back.value, back.upper) == pytest.approx((expit(small.value), expit(small.upper)))


def test_identical_imputations_equal_complete_data():
    found = pool_rubin([0.5] * 5, [0.1] * 5, n=200)
    assert (found.value, found.se, found.between) == pytest.approx((0.5, 0.1, 0))
    assert found.df == pytest.approx(199 * 200 / 202, rel=1e-3)


def test_an_imputation_without_estimate_makes_the_pool_not_estimable():
    for bad in (math.nan, math.inf):
        found = pool_rubin([0.5, bad], [0.1, 0.1], n=100)
        assert math.isnan(found.value)
        assert "not estimable" in found.method
    assert len(found.to_frame()) == 1
    with pytest.raises(InputError, match="at least 2"):
        pool_rubin([0.5], [0.1])
    with pytest.raises(InputError, match="n is 1"):
        pool_rubin([0.5, 0.6], [0.1, 0.1], n=1)
