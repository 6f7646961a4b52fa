import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics.overall import (
    brier_decomposition,
    brier_score,
    log_loss,
    nagelkerke_r2,
    prevalence,
    scaled_brier_score,
    spiegelhalter_z,
)

METRICS = [brier_score, scaled_brier_score, log_loss, nagelkerke_r2]
PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 3)), min_size=4, max_size=25
)


@pytest.mark.parametrize(
    "metric", [*METRICS, partial(nagelkerke_r2, recalibrated=True), spiegelhalter_z, brier_decomposition]
)
@settings(max_examples=25, deadline=None)
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
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_perfect_predictions():
    y = [0, 1, 1, 0]
    assert brier_score(y, y).value == 0
    assert scaled_brier_score(y, y).value == 1
    with pytest.warns(TreatselWarning, match="4 of 4 predicted probabilities are 0 or 1"):
        assert log_loss(y, y).value == pytest.approx(0, abs=1e-7)
    with pytest.warns(TreatselWarning, match="4 of 4"):
        assert nagelkerke_r2(y, y).value == pytest.approx(1, abs=1e-6)


def test_the_prevalence_scores_zero():
    y = [0, 1, 1, 0, 0]
    assert scaled_brier_score(y, [0.4] * 5).value == pytest.approx(0)
    assert nagelkerke_r2(y, [0.4] * 5).value == pytest.approx(0)
    assert log_loss(y, [0.5] * 5).value == pytest.approx(np.log(2))
    assert brier_score(y, [0.5] * 5).value == 0.25


def test_one_class_is_not_estimable():
    for metric in (scaled_brier_score, nagelkerke_r2):
        found = metric([1, 1], [0.4, 0.6])
        assert math.isnan(found.value)
        assert "one class" in found.method
    assert brier_score([1, 1], [0.5, 0.5]).value == 0.25


def test_one_patient_has_no_interval():
    found = brier_score([1], [0.6])
    assert found.value == pytest.approx(0.16)
    assert math.isnan(found.lower)


def test_intervals_cover():
    """The truth is the value in a million patients of the same process."""
    rng = np.random.default_rng(3)

    def draw(n):
        probability = rng.beta(2, 3, n)
        return rng.binomial(1, probability), np.clip(probability**1.2, 0.001, 0.999)

    large = draw(1_000_000)
    truth = {metric: metric(*large).value for metric in METRICS}
    covered = dict.fromkeys(METRICS, 0)
    for _ in range(400):
        sample = draw(250)
        for metric in METRICS:
            found = metric(*sample)
            covered[metric] += found.lower <= truth[metric] <= found.upper
    for metric, times in covered.items():
        assert 0.91 < times / 400 < 0.985, metric.__name__


@pytest.mark.parametrize("metric", [*METRICS, partial(nagelkerke_r2, recalibrated=True)])
def test_duplicates_in_one_cluster_add_no_information(cohort, metric):
    again = cohort.loc[cohort.index.repeat(2)]
    once, twice = metric(cohort["y"], cohort["p"]), metric(again["y"], again["p"], clusters=again.index)
    assert (twice.value, twice.se) == pytest.approx((once.value, once.se))
    assert "200 clusters, t with 199 df" in twice.method
    base = prevalence(again["y"], clusters=again.index)
    assert base.se == pytest.approx(prevalence(cohort["y"]).se)


def test_clustered_brier_covers():
    rng, covered, alone = np.random.default_rng(4), 0, 0
    site, truth = np.repeat(np.arange(25), 12), 0.5 * 0.2**2 + 0.5 * 0.8**2
    for _ in range(400):
        y = rng.binomial(1, rng.beta(2, 2, 25)[site])
        found, naive = brier_score(y, np.full(300, 0.8), clusters=site), brier_score(y, np.full(300, 0.8))
        covered += found.lower <= truth <= found.upper
        alone += naive.lower <= truth <= naive.upper
    assert 0.92 < covered / 400 < 0.98
    assert alone / 400 < 0.85


def test_recalibrated_r2_ignores_linear_miscalibration_on_the_logit(cohort):
    y, p = cohort["y"], cohort["p"]
    bent = expit(1.7 * logit(p) - 0.6)
    found = nagelkerke_r2(y, p, recalibrated=True)
    assert nagelkerke_r2(y, bent, recalibrated=True).value == pytest.approx(found.value)
    assert found.value > nagelkerke_r2(y, p).value > nagelkerke_r2(y, bent).value
    assert nagelkerke_r2(y, [0.3] * len(y), recalibrated=True).value == pytest.approx(0, abs=1e-12)
    apart = nagelkerke_r2([0, 0, 1], [0.1, 0.2, 0.3], recalibrated=True)
    assert apart.value == 1
    assert "separate" in apart.method


def test_spiegelhalter_z_is_standard_normal_under_calibration():
    rng = np.random.default_rng(5)
    p = rng.beta(2, 4, 300)
    found = [spiegelhalter_z(rng.binomial(1, p), p) for _ in range(1000)]
    z, p_value = (np.array([getattr(one, name) for one in found]) for name in ("value", "p_value"))
    assert abs(z.mean()) < 0.12
    assert z.std() == pytest.approx(1, abs=0.08)
    assert 0.03 < (p_value < 0.05).mean() < 0.07
    extreme = expit(2 * logit(p))
    assert spiegelhalter_z(rng.binomial(1, p), extreme).value > 2
    assert math.isnan(spiegelhalter_z([0, 1], [0.5, 1]).value)


@settings(max_examples=40, deadline=None)
@given(rows=PATIENTS)
def test_decomposition_adds_up_and_is_that_of_isotonic_regression(rows):
    y, tenth, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if not weight.any():
        return
    found = brier_decomposition(y, tenth / 10, sample_weight=weight, n_resamples=0)
    total = found.miscalibration - found.discrimination + found.uncertainty
    assert total == pytest.approx(found.brier)
    assert min(found.miscalibration, found.discrimination) >= -1e-12
    kept = weight > 0
    fitted = IsotonicRegression().fit(tenth[kept], y[kept], weight[kept]).predict(tenth[kept])
    best = np.average((fitted - y[kept]) ** 2, weights=weight[kept])
    assert found.miscalibration == pytest.approx(found.brier - best, abs=1e-9)
    assert math.isnan(found.p_value)
    strange = brier_decomposition(y, (tenth / 10) ** 3, sample_weight=weight, n_resamples=0)
    assert strange.discrimination == pytest.approx(found.discrimination, abs=1e-9)


def test_miscalibration_is_compared_with_chance():
    rng, low = np.random.default_rng(6), 0
    p = rng.uniform(0.1, 0.9, 400)
    for seed in range(40):
        found = brier_decomposition(rng.binomial(1, p), p, n_resamples=99, random_state=seed)
        assert found.miscalibration > 0
        low += found.p_value <= 0.05
    assert low <= 6
    bad = brier_decomposition(rng.binomial(1, p), p**2)
    assert bad.p_value < 0.01
    assert bad.miscalibration > bad.highest_miscalibration > bad.expected_miscalibration


def test_prevalence():
    found = prevalence([0] * 10)
    assert (found.value, found.lower) == (0, 0)
    assert found.upper == pytest.approx(0.2775, abs=1e-4)
    exact = prevalence([0] * 10, interval="clopper-pearson")
    assert exact.upper == pytest.approx(1 - 0.025 ** (1 / 10))
    weighted = prevalence([0, 1], sample_weight=[7, 3])
    assert (weighted.value, weighted.lower) == (0.3, prevalence([0] * 7 + [1] * 3).lower)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input(metric):
    with pytest.raises(InputError, match="y_prob holds 1 value outside 0 to 1"):
        metric([0, 1], [50, 0.5])
    with pytest.raises(InputError, match="y_true holds 1 missing value"):
        metric([0, np.nan], [0.5, 0.5])


def test_unknown_options():
    with pytest.raises(InputError, match="interval is 'wald'"):
        prevalence([0, 1], interval="wald")
    with pytest.raises(InputError, match="n_resamples is -1"):
        brier_decomposition([0, 1], [0.2, 0.3], n_resamples=-1)
    with pytest.raises(InputError, match="clusters 1"):
        brier_score([0, 1], [0.2, 0.3], clusters=["a"])
