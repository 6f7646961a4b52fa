"""Outcomes that were not observed: what was observed after the start says who was lost."""

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import TreatselWarning
from treatsel.models import DropoutMixture
from treatsel.selector._lost import FEWEST_KNOWN, dropout_column

pytestmark = pytest.mark.one_version


def process_of(n=400, seed=0):
    """Return process columns, an outcome that is lost after dropout, and arms."""
    rng = np.random.default_rng(seed)
    dropout = (rng.random(n) < 0.4).astype(float)
    y = pd.Series((rng.random(n) < 0.5).astype(float), name="recovery")
    y[(dropout == 1) & (rng.random(n) < 0.6)] = np.nan
    frame = pd.DataFrame({"coin": (rng.random(n) < 0.5).astype(float), "dropout": dropout})
    return frame, y, pd.Series(rng.choice(["a", "b"], n))


class TestTheColumnOverWhichPredictionsAreAveraged:
    def test_it_is_the_one_that_is_associated_with_observation(self):
        process, y, received = process_of()
        assert dropout_column(process, y, received) == "dropout"
        assert dropout_column(process[["coin"]], y, received) == "coin"

    def test_there_is_none_where_all_outcomes_were_observed(self):
        process, y, received = process_of()
        assert dropout_column(process, y.fillna(0.0), received) is None

    @pytest.mark.parametrize(
        "change",
        {
            "sessions": lambda d: d * 3.0,
            "missing": lambda d: d.where(np.arange(len(d)) > 0),
            "one arm only": None,
        }.items(),
        ids=lambda item: item[0],
    )
    def test_it_is_0_or_1_in_all_patients_and_both_in_every_arm(self, change):
        process, y, received = process_of()
        name, function = change
        column = (
            process["dropout"].where(received == "a", 0.0)
            if function is None
            else function(process["dropout"])
        )
        assert dropout_column(pd.DataFrame({name: column}), y, received) is None

    def test_enough_dropouts_must_have_been_observed(self):
        process, y, received = process_of()
        known = np.flatnonzero((process["dropout"] == 1) & y.notna())
        y.iloc[known[FEWEST_KNOWN:]] = np.nan
        assert dropout_column(process[["dropout"]], y, received) == "dropout"
        y.iloc[known[:1]] = np.nan
        assert dropout_column(process[["dropout"]], y, received) is None


@pytest.fixture(scope="module")
def synthetic():
    return make_cohort(800, random_state=3, assignment="randomised")


def fitted(cohort, **options):
    selector = ts.TreatmentSelector(
        assignment="randomised", estimator="hierarchical", random_state=0, **options
    )
    with pytest.warns(TreatselWarning) as said:
        selector.fit(cohort)
    return selector, next(str(w.message) for w in said if "was not observed" in str(w.message))


def test_a_selector_averages_over_dropout_and_says_so(synthetic):
    selector, said = fitted(synthetic.cohort)
    assert "with and without 'dropout', and averages over it" in said
    assert "arm, covariates and 'sessions_attended', 'dropout' alone" in said
    assert isinstance(selector.models_["recovery"], DropoutMixture)
    assert not isinstance(selector.models_["dropout"], DropoutMixture)
    plain, said = fitted(synthetic.cohort, missing="covariates")
    assert "averages" not in said
    assert "arm and covariates alone" in said
    truth = synthetic.truth["recovery"]
    bias = [
        100 * (s.predict_by_arm(synthetic.cohort.X)[truth.columns] - truth).to_numpy().mean()
        for s in (selector, plain)
    ]
    assert bias[0] < bias[1] - 1.5  # complete cases are too favorable; a slow test measures the bias
    means = [100 * (s.arm_means_["value"] - truth.mean()).mean() for s in (selector, plain)]
    assert means[0] < means[1] - 1.5


def test_the_model_file_predicts_the_same(synthetic, tmp_path):
    selector, _ = fitted(synthetic.cohort)
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    X = synthetic.cohort.X.head(20)
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), selector.predict_by_arm(X))
    np.testing.assert_array_equal(loaded.predict_draws(X), selector.predict_draws(X))


def test_another_outcome_of_a_table_serves_as_process_column(synthetic):
    cohort = synthetic.cohort
    with pytest.warns(TreatselWarning):
        selector = ts.TreatmentSelector(
            estimator="hierarchical", random_state=0, event_is_good={"recovery": True, "dropout": False}
        ).fit(cohort.X, cohort.y)
    assert isinstance(selector.models_["recovery"], DropoutMixture)


@pytest.mark.slow
def test_means_of_arms_and_levels_are_right_on_informative_dropout():
    bias, covered, ratio = [], [], []
    for seed in range(12):
        cohort = make_cohort(1500, random_state=seed, assignment="randomised")
        selector, _ = fitted(cohort.cohort)
        truth = cohort.truth["recovery"][selector.arms_].mean()
        means = selector.arm_means_.loc[truth.index]
        covered.append(((means["lower"] <= truth) & (truth <= means["upper"])).mean())
        new = make_cohort(4000, random_state=500 + seed, assignment="randomised")
        predicted = selector.predict_by_arm(new.cohort.X)[selector.arms_].to_numpy()
        expected = new.truth["recovery"][selector.arms_].to_numpy()
        bias.append(100 * (predicted - expected).mean())
        ratio.append(expected.mean() / predicted.mean())
    # complete cases are 3.5 to 4.5 points too favorable
    se = np.std(bias, ddof=1) / np.sqrt(len(bias))
    assert se < 0.8
    assert abs(np.mean(bias)) < 1 + 1.5 * se
    assert np.mean(covered) > 0.9  # of 72 means, 95 % intervals; complete cases: .7 to .8
    assert 0.94 < np.mean(ratio) < 1.06
