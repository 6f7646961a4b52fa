import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, ndtr, ndtri

from treatsel.errors import InputError
from treatsel.metrics import aipw_scores, calibration_slope, gain_over_best_arm, roc_auc
from treatsel.metrics.sample_size import (
    LinearPredictorDistribution,
    development_sample_size,
    gain_sample_size,
    validation_sample_size,
)

SHARE = st.floats(0.05, 0.95)
GAIN = {"differs": 0.3, "prevalence": 0.45, "allocation": 0.5}


def development(**options):
    return development_sample_size(**{"prevalence": 0.4, "parameters": 20, "cox_snell_r2": 0.15} | options)


def validation(**options):
    return validation_sample_size(**{"prevalence": 0.4, "auc": 0.7} | options)


# Riley et al. (2020), BMJ 368, m441, figure 3: a model of pre-eclampsia, prevalence 0.05, 30 parameters.
def test_development_as_in_the_paper():
    size = development_sample_size(prevalence=0.05, parameters=30, cox_snell_r2=0.05)
    assert size["overall risk"].n == 73
    assert size["prediction error"].n == 544
    assert size["shrinkage"].n == 5249
    assert size.binding_criterion == "shrinkage"


def test_shrinkage_at_n_is_the_requested_one():
    size = development(shrinkage=0.93)
    n, r2 = size["shrinkage"].n, 0.15
    apparent = r2 / 0.93  # shrunk by 0.93 it gives the adjusted R2
    assert 1 + 20 / (n * math.log(1 - apparent)) == pytest.approx(0.93, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(prevalence=SHARE, auc=st.floats(0.55, 0.95), parameters=st.integers(1, 60))
def test_development_laws(prevalence, auc, parameters):
    options = {"cox_snell_r2": None, "auc": auc, "parameters": parameters}
    size = development(prevalence=prevalence, **options)
    other = development(prevalence=1 - prevalence, **options)  # remission or not: the same information
    assert [c.n for c in other.criteria] == pytest.approx([c.n for c in size.criteria], abs=1)
    more = development(prevalence=prevalence, **options | {"parameters": parameters + 1})
    assert more["shrinkage"].n > size["shrinkage"].n
    assert size.n == max(c.n for c in size.criteria if c.n is not None)
    assert size[size.binding_criterion].n == size.n
    again = development(
        prevalence=prevalence,
        parameters=parameters,
        cox_snell_r2=None,
        nagelkerke_r2=size.assumptions["Nagelkerke R2"],
    )
    assert again.n == pytest.approx(size.n, abs=1)


def test_r2_from_auc_is_that_of_a_large_cohort():
    rng = np.random.default_rng(1)
    size = development(prevalence=0.3, cox_snell_r2=None, auc=0.75)
    y = rng.binomial(1, 0.3, 400_000)
    distance = math.sqrt(2) * ndtri(0.75)
    linear = logit(0.3) + distance * (rng.normal(distance * y) - distance / 2)
    null = y.mean() * np.log(0.3) + (1 - y.mean()) * np.log(0.7)
    gained = -np.logaddexp(0, np.where(y == 1, -linear, linear)).mean() - null
    assert size.assumptions["Cox-Snell R2"] == pytest.approx(1 - math.exp(-2 * gained), abs=0.003)


def test_numpy_scalars_are_accepted():
    assert development(parameters=np.int64(20), prevalence=np.float32(0.4)).n == development().n
    found = gain_sample_size(**GAIN | {"allocation": np.float32(0.5)}, half_width=0.03)
    assert found.n == gain_sample_size(**GAIN, half_width=0.03).n


def test_arms_and_interactions_are_parameters():
    assert development(parameters=8, arms=4, modifiers=3).assumptions["parameters"] == 8 + 3 + 9
    many = development(arms=3, modifiers=20)
    assert many["prediction error"].n is None
    assert "does not apply" in many["prediction error"].about
    assert many.n == many["shrinkage"].n


def test_simulated_slopes_and_aucs_have_the_requested_widths():
    predictor = LinearPredictorDistribution.binormal(0.4, 0.72)
    size = validation(auc=0.72, widths={"calibration slope": 0.5, "AUC": 0.1})
    rng = np.random.default_rng(2)
    for name, metric, width in (("calibration slope", calibration_slope, 0.5), ("AUC", roc_auc, 0.1)):
        found = []
        for _ in range(60):
            logits = rng.choice(predictor.points, size[name].n, p=predictor.weights)
            p = expit(logits)
            estimate = metric(rng.binomial(1, p), p)
            found.append(estimate.upper - estimate.lower)
        assert np.mean(found) == pytest.approx(width, rel=0.05)


def test_simulated_net_benefit_has_the_requested_width():
    size = validation(threshold=0.45, sensitivity=0.6, specificity=0.7, widths={"net benefit": 0.2})
    n = size["net benefit"].n
    rng = np.random.default_rng(3)
    y = rng.random((20_000, n)) < 0.4
    high = rng.random((20_000, n)) < np.where(y, 0.6, 0.3)
    odds = 0.45 / 0.55
    standardized = ((high & y).mean(1) - odds * (high & ~y).mean(1)) / y.mean(1)
    assert standardized.mean() == pytest.approx(size["net benefit"].expected, abs=0.005)
    assert 2 * ndtri(0.975) * standardized.std() == pytest.approx(0.2, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(prevalence=SHARE, auc=st.floats(0.55, 0.95), factor=st.floats(0.3, 0.9))
def test_validation_laws(prevalence, auc, factor):
    size = validation(prevalence=prevalence, auc=auc, threshold=prevalence)
    tighter = validation(
        prevalence=prevalence,
        auc=auc,
        threshold=prevalence,
        widths={c.name: c.target * factor for c in size.criteria},
    )
    for before, after in zip(size.criteria, tighter.criteria, strict=True):
        assert after.n >= before.n
    assert size.assumptions["mean prediction"] == pytest.approx(prevalence, abs=1e-6)
    slope, tight = size["calibration slope"].n, tighter["calibration slope"].n
    assert tight == pytest.approx(slope / factor**2, abs=2 / factor**2)
    n, se = size["AUC"].n, size["AUC"].se  # the smallest n whose Newcombe variance is small enough
    assert newcombe(auc, n, prevalence) <= se**2 * (1 + 1e-9)
    assert newcombe(auc, n - 1, prevalence) > se**2 * (1 - 1e-9)


def newcombe(auc, n, prevalence):
    pairs = (n / 2 - 1) * ((1 - auc) / (2 - auc) + auc / (1 + auc))
    return auc * (1 - auc) * (1 + pairs) / (n**2 * prevalence * (1 - prevalence))


def test_observed_over_expected_reaches_its_width():
    size = validation(oe=0.8, widths={"observed / expected": 0.3})["observed / expected"]
    z, se = ndtri(0.975), math.sqrt(0.6 / (0.4 * size.n))
    assert 0.8 * (math.exp(z * se) - math.exp(-z * se)) == pytest.approx(0.3, rel=2e-3)


@pytest.mark.parametrize(
    ("predictor", "draw"),
    [
        (LinearPredictorDistribution.normal(-1, 1.5), lambda rng: rng.normal(-1, 1.5, 300_000)),
        (LinearPredictorDistribution.beta(1.5, 3), lambda rng: logit(rng.beta(1.5, 3, 300_000))),
        (LinearPredictorDistribution.beta(80, 40), lambda rng: logit(rng.beta(80, 40, 300_000))),
    ],
)
def test_integrals_are_those_of_many_draws(predictor, draw):
    drawn = draw(np.random.default_rng(4))
    observed = LinearPredictorDistribution.observed(expit(drawn))
    assert predictor.mean_prediction == pytest.approx(observed.mean_prediction, abs=0.003)
    assert predictor.accuracy_at(0.3) == pytest.approx(observed.accuracy_at(0.3), abs=0.01)
    exact, sampled = (validation(predictor=p)["calibration slope"].n for p in (predictor, observed))
    assert exact == pytest.approx(sampled, rel=0.02)
    assert predictor.weights.sum() == pytest.approx(1)


def test_weights_of_observed_predictions_are_repeated_rows():
    p, weight = np.array([0.2, 0.3, 0.5, 0.8]), [1, 2, 0, 3]
    found = validation(predictor=LinearPredictorDistribution.observed(p, sample_weight=weight))
    assert found.n == validation(predictor=LinearPredictorDistribution.observed(np.repeat(p, weight))).n


def simulated_differences(rng, n, *, benefit, allocation):
    """Score differences under a rule that recommends another arm to 30 %, with benefits well predicted."""
    differs = rng.random(n) < 0.3
    center = rng.choice([-0.2, 0.2], n)  # prognosis
    table = pd.DataFrame({"CBT": 0.45 + center, "SSRI": 0.45 + center + np.where(differs, benefit, -0.1)})
    chances = pd.DataFrame({"CBT": np.full(n, allocation[1]), "SSRI": np.full(n, allocation[0])})
    other = rng.random(n) < allocation[0]
    y = rng.random(n) < np.where(other, table["SSRI"], table["CBT"])
    scores = aipw_scores(y, np.where(other, "SSRI", "CBT"), table, chances)
    return scores, np.where(differs, "SSRI", "CBT")


def test_simulated_gains_have_the_half_width_and_the_power():
    benefit, allocation = 0.12, (0.4, 0.6)
    size = gain_sample_size(
        differs=0.3,
        prevalence=0.45,
        allocation=allocation,
        r2=0.16,  # the prognosis: variance 0.04 of 0.45 x 0.55, and of 0.57 x 0.43
        gain=0.3 * benefit,
        half_width=0.03,
    )
    rng, n = np.random.default_rng(5), size["power"].n
    scores, recommended = simulated_differences(rng, 600 * n, benefit=benefit, allocation=allocation)
    pooled = gain_over_best_arm(scores, recommended, comparator="CBT")
    assert pooled.se * math.sqrt(pooled.n) == pytest.approx(
        size.assumptions["sd of the score difference"], rel=0.01
    )
    half = (pooled.upper - pooled.lower) / 2 * math.sqrt(pooled.n / size["half-width"].n)
    assert half == pytest.approx(0.03, rel=0.01)
    own = np.where(recommended == "SSRI", scores["SSRI"] - scores["CBT"], 0).reshape(600, n)
    shown = own.mean(1) - ndtri(0.975) * own.std(1, ddof=1) / math.sqrt(n) > 0
    assert shown.mean() == pytest.approx(0.8, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(differs=st.floats(0.05, 1), r2=st.floats(0, 0.8), share=st.floats(0.1, 0.5))
def test_gain_laws(differs, r2, share):
    options = {"differs": differs, "prevalence": 0.45, "allocation": share, "half_width": 0.01}
    size = gain_sample_size(**options, r2=r2)
    expected = (ndtri(0.975) / 0.01) ** 2 * differs * 2 * 0.45 * 0.55 * (1 - r2) / share
    assert size.n == pytest.approx(expected, abs=1)
    spread = gain_sample_size(**options, r2=r2, spread=0.1)
    assert spread.n >= size.n


def test_power_and_level_agree():
    sizes = [gain_sample_size(**GAIN, gain=0.03, power=power)["power"] for power in (0.8, 0.9)]
    expected = ((ndtri(0.975) + ndtri(0.9)) / (ndtri(0.975) + ndtri(0.8))) ** 2
    assert sizes[1].n / sizes[0].n == pytest.approx(expected, rel=1e-3)
    half = gain_sample_size(**GAIN, half_width=0.03, level=2 * ndtr(1) - 1)
    assert half.n == math.ceil(0.3 * 0.45 * 0.55 * 4 / 0.03**2)


def test_result_shows_the_deciding_criterion():
    size = validation(threshold=0.4)
    table = size.to_frame()
    assert table.index.name == "criterion"
    assert table.index[table["decides"]].tolist() == [size.binding_criterion]
    assert f"{size.n:,} patients" in str(size)
    assert size.expected_events == pytest.approx(0.4 * size.n)
    assert development(parameters=40).to_frame()["n"].isna().sum() == 1
    with pytest.raises(KeyError, match="No criterion 'slope'"):
        size["slope"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: development(cox_snell_r2=None), "Give exactly one"),
        (lambda: development(auc=0.7), "Give exactly one"),
        (lambda: development(prevalence=1.2), "prevalence is 1.2"),
        (lambda: development(prevalence=math.nan), "prevalence is nan"),
        (lambda: development(cox_snell_r2=0.74), "must be below 0.740"),
        (lambda: development(cox_snell_r2=0.5, shrinkage=0.4), "below the shrinkage"),
        (lambda: development(parameters=2.5), "parameters is 2.5"),
        (lambda: development(modifiers=21), "must not exceed the 20"),
        (lambda: development(arms=0), "arms is 0"),
        (lambda: validation(auc=0.5), "auc is 0.5"),
        (lambda: validation(widths={"auc": 0.1}), "Did you mean 'AUC'"),
        (lambda: validation(widths={"AUC": 0}), "The width of AUC is 0"),
        (lambda: validation(sensitivity=0.5), "belong to a threshold"),
        (lambda: validation(threshold=0.4, sensitivity=0.5), "both sensitivity and specificity"),
        (
            lambda: validation(predictor=LinearPredictorDistribution.observed([0.4, 0.4])),
            "All predictions are equal",
        ),
        (lambda: LinearPredictorDistribution.normal(0, 0), "sd is 0"),
        (lambda: gain_sample_size(**GAIN), "Give the gain"),
        (lambda: gain_sample_size(**GAIN, gain=0), "gain is 0"),
        (lambda: gain_sample_size(**GAIN, gain=0.2), "outcome rate under the recommended arm"),
        (lambda: gain_sample_size(**GAIN | {"differs": 0}, half_width=0.1), "there is no gain"),
        (lambda: gain_sample_size(**GAIN | {"allocation": (0.7, 0.5)}, half_width=0.1), "adds up to 1.2"),
        (lambda: gain_sample_size(**GAIN, gain=0.1, power=1), "power is 1"),
        (lambda: gain_sample_size(**GAIN, half_width=0.1, spread=-1), "a number of at least 0"),
        (lambda: gain_sample_size(**GAIN | {"differs": 1.2}, half_width=0.1), "a number from 0 to 1"),
        (lambda: gain_sample_size(**GAIN, half_width="wide"), "half_width is 'wide'"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
