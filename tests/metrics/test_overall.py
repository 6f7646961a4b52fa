import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import brier_score, log_loss, nagelkerke_r2, scaled_brier_score

METRICS = [brier_score, scaled_brier_score, log_loss, nagelkerke_r2]
PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 3)), min_size=4, max_size=25
)


@pytest.mark.parametrize("metric", METRICS)
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


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input(metric):
    with pytest.raises(InputError, match="y_prob holds 1 values outside 0 to 1"):
        metric([0, 1], [50, 0.5])
    with pytest.raises(InputError, match="y_true holds 1 missing values"):
        metric([0, np.nan], [0.5, 0.5])
