import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from treatsel._stats.vectors import check_predicted
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import FUNCTIONS, bootstrap, calibration, discrimination, overall
from treatsel.metrics.resampled._fast_metrics import METRICS, Sorted, evaluate

ALL = list(METRICS)
PREDICTED = [name for name in ALL if name not in ("within_arm_auc", "base_rate", "ici", "e50", "e90", "emax")]


def public(name, y, p, **options):
    return FUNCTIONS[name](y, p, **options).value


def number(found):
    return getattr(found, "value", found)


def expected_values(rows, weight=None):
    y, p = rows["y"], rows["p"]
    errors = calibration.integrated_calibration_index(y, p, sample_weight=weight)
    found = {name: public(name, y, p, sample_weight=weight) for name in PREDICTED}
    found |= {name: number(getattr(errors, name)) for name in ("ici", "e50", "e90", "emax")}
    found["base_rate"] = overall.prevalence(y, sample_weight=weight).value
    found["within_arm_auc"] = discrimination.within_arm_auc(y, p, rows["arm"], sample_weight=weight).value
    return found


def test_intervals_of_the_curve_are_those_of_its_function(cohort):
    options = {"n_resamples": 20, "random_state": 3, "level": 0.9}
    table = bootstrap(cohort["y"], cohort["q"], ["auc", "ici", "emax"], **options).to_frame()
    errors = calibration.integrated_calibration_index(cohort["y"], cohort["q"], **options).to_frame()
    for name in ("ici", "emax"):
        assert table.loc[name, ["lower", "upper"]].tolist() == errors.loc[name, ["lower", "upper"]].tolist()
        assert "inversion" in table.loc[name, "method"]
    assert "percentile" in table.loc["auc", "method"]
    by_site = bootstrap(cohort["y"], cohort["q"], ["ici"], clusters=cohort["site"], n_resamples=20)
    assert "percentile" in by_site.to_frame().loc["ici", "method"]


@pytest.mark.parametrize("weight", [None, "weight"])
def test_values_are_those_of_the_functions(cohort, weight):
    weight = None if weight is None else cohort[weight]
    found = bootstrap(
        cohort["y"], cohort["p"], ALL, received=cohort["arm"], sample_weight=weight, n_resamples=2
    )
    values = found.to_frame()["value"].to_dict()
    assert values == pytest.approx(expected_values(cohort, weight), abs=1e-6)


def test_a_resample_gives_the_values_of_its_rows(cohort):
    """The functions on rows drawn with replacement agree, except for the spline, whose knots are fixed."""
    rng = np.random.default_rng(0)
    data = check_predicted(cohort["y"], cohort["p"], None)
    patients = Sorted.of(data, cohort["arm"].to_numpy(dtype=object), None)
    for _ in range(5):
        drawn = rng.integers(len(cohort), size=len(cohort))
        weight = np.bincount(drawn, minlength=len(cohort)).astype(float)
        draw = patients.draw(weight[patients.data.rows])
        rows = cohort.iloc[drawn]
        for name in PREDICTED:
            assert METRICS[name](draw) == pytest.approx(public(name, rows["y"], rows["p"]), abs=1e-8), name
        within = discrimination.within_arm_auc(rows["y"], rows["p"], rows["arm"]).value
        assert METRICS["within_arm_auc"](draw) == pytest.approx(within)


def test_shared_places_hardly_change_the_values():
    rng = np.random.default_rng(4)
    p = rng.beta(2, 3, 12_000)
    patients = Sorted.of(check_predicted(rng.binomial(1, p), p, None), None, None)
    assert patients.shared
    exact = dataclasses.replace(patients, shared=False)
    names = ["calibration_in_the_large", "calibration_slope", "ici", "e50", "e90", "emax"]
    for _ in range(3):
        weight = rng.multinomial(len(p), np.full(len(p), 1 / len(p))).astype(float)
        found, expected = (evaluate(one.draw(weight), names) for one in (patients, exact))
        np.testing.assert_allclose(found[:3], expected[:3], atol=2e-5)
        np.testing.assert_allclose(found, expected, atol=2e-4)


def test_neither_row_order_nor_threads_matter(cohort):
    moved = cohort.sample(frac=1, random_state=1)
    names = ["auc", "calibration_slope", "ici"]
    for clusters in (None, "site"):
        own = [None if clusters is None else rows[clusters] for rows in (cohort, moved)]
        first = bootstrap(cohort["y"], cohort["p"], names, clusters=own[0], n_resamples=20)
        second = bootstrap(moved["y"], moved["p"], names, clusters=own[1], n_resamples=20, n_jobs=2)
        pd.testing.assert_frame_equal(first.draws, second.draws)
        pd.testing.assert_frame_equal(first.to_frame(), second.to_frame())


def test_metrics_share_their_resamples(cohort):
    both = bootstrap(cohort["y"], cohort["p"], ["auc", "brier_score"], n_resamples=30)
    alone = bootstrap(cohort["y"], cohort["p"], ["brier_score"], n_resamples=30)
    pd.testing.assert_series_equal(both.draws["brier_score"], alone.draws["brier_score"])
    scaled = bootstrap(
        cohort["y"], cohort["p"], ["brier_score", "scaled_brier_score", "base_rate"], n_resamples=30
    ).draws
    null = scaled["base_rate"] * (1 - scaled["base_rate"])
    np.testing.assert_allclose(scaled["scaled_brier_score"], 1 - scaled["brier_score"] / null)
    other = bootstrap(cohort["y"], cohort["p"], ["brier_score"], n_resamples=30, random_state=1)
    assert not other.draws.equals(alone.draws)


def test_spread_is_that_of_the_formulas():
    rng = np.random.default_rng(1)
    p = rng.beta(2, 3, 1500)
    y = rng.binomial(1, p)
    names = ["auc", "brier_score", "scaled_brier_score", "log_loss", "nagelkerke_r2", "average_precision"]
    names += ["calibration_in_the_large", "calibration_slope"]
    table = bootstrap(y, p, names, n_resamples=400).to_frame()
    for name in names:
        found = FUNCTIONS[name](y, p)
        se = found.se * (found.value * (1 - found.value) if name == "average_precision" else 1)
        assert table.loc[name, "se"] == pytest.approx(se, rel=0.15), name
        assert table.loc[name, "lower"] == pytest.approx(found.lower, abs=0.4 * se), name


def test_whole_clusters_are_drawn():
    site = np.repeat(np.arange(20), 30)
    y = (site % 2).astype(int)  # a site has one outcome only
    p = np.where(y, 0.6, 0.5)
    grouped = bootstrap(y, p, ["base_rate"], clusters=site, n_resamples=300).estimate("base_rate")
    alone = bootstrap(y, p, ["base_rate"], n_resamples=300).estimate("base_rate")
    assert grouped.se == pytest.approx(math.sqrt(0.25 / 20), rel=0.15)
    assert alone.se == pytest.approx(math.sqrt(0.25 / 600), rel=0.15)
    assert "resamples of 20 clusters" in grouped.method


def test_weights_are_drawn_as_patients(cohort):
    again = cohort.loc[cohort.index.repeat(cohort["weight"])]
    found = bootstrap(cohort["y"], cohort["p"], sample_weight=cohort["weight"], n_resamples=400).to_frame()
    expected = bootstrap(again["y"], again["p"], n_resamples=400).to_frame()
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-5)
    np.testing.assert_allclose(found["se"], expected["se"], rtol=0.2)
    assert (found["n"] == expected["n"]).all()


def test_intervals_cover():
    rng, times, covered = np.random.default_rng(2), 120, np.zeros(3)
    names = ["auc", "brier_score", "base_rate"]
    large = rng.beta(2, 3, 400_000)
    outcome = rng.binomial(1, large)
    truth = [discrimination.roc_auc(outcome, large).value, overall.brier_score(outcome, large).value, 0.4]
    for seed in range(times):
        p = rng.beta(2, 3, 250)
        table = bootstrap(rng.binomial(1, p), p, names, n_resamples=99, random_state=seed).to_frame()
        covered += (table["lower"] <= truth) & (table["upper"] >= truth)
    assert (covered / times > 0.88).all()
    assert (covered / times < 0.99).all()


def test_perfect_predictions_and_one_class():
    y = [0, 1] * 10
    with pytest.warns(TreatselWarning, match="0 or 1"):
        found = bootstrap(y, y, ["auc", "brier_score", "calibration_slope", "log_loss"], n_resamples=20)
    table = found.to_frame()
    assert table.loc["auc", ["value", "lower", "upper"]].tolist() == [1, 1, 1]
    assert table.loc["brier_score", "upper"] == 0
    assert math.isnan(table.loc["calibration_slope", "value"])
    one = bootstrap([1, 1, 1], [0.2, 0.5, 0.8], n_resamples=10).to_frame()
    assert one["value"].notna().tolist() == [False, True, False, False, False]


def test_a_rare_outcome_has_no_interval():
    y = [1] + [0] * 30
    table = bootstrap(y, np.linspace(0.1, 0.5, 31), ["auc", "brier_score"], n_resamples=100).to_frame()
    assert math.isnan(table.loc["auc", "lower"])
    assert math.isfinite(table.loc["brier_score", "lower"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["roc_auc"]}, "metrics is 'roc_auc'"),
        ({"metrics": []}, "metrics holds 0 names"),
        ({"metrics": ["ici", "ici"]}, "without duplicates"),
        ({"metrics": ["within_arm_auc"]}, "needs the received arms"),
        ({"received": ["a"]}, "received 1"),
        ({"clusters": ["a", "a", "a"]}, "fewer than 2 clusters"),
        ({"n_resamples": 1}, "n_resamples is 1"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_bad_input_is_refused_with_problem_and_remedy(options, message):
    with pytest.raises(InputError, match=message):
        bootstrap([0, 1, 1], [0.2, 0.5, 0.8], **options)


def test_a_metric_that_was_not_requested(cohort):
    found = bootstrap(cohort["y"], cohort["p"], ["auc"], n_resamples=5)
    assert found.estimate("auc").n == 200
    with pytest.raises(InputError, match="metric is 'ici'"):
        found.estimate("ici")
