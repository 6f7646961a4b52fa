"""Lost outcomes that a selector imputes from interim scores."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.datasets import make_cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.models import ImputedClassifier, PooledClassifier
from treatsel.selector._lost import Missing

pytestmark = pytest.mark.one_version

WEEKS = [f"phq9_w{week}" for week in range(1, 13)]
INTERIM = ["phq9_w4", "phq9_w8"]
BOOK = {
    "fields": [
        {"name": "x", "type": "number", "role": "covariate"},
        {"name": "z", "type": "number", "role": "covariate"},
        {"name": "arm", "type": "string", "role": "arm"},
        *({"name": name, "type": "number", "role": "session_score"} for name in (*INTERIM, "phq9_end")),
        {
            "name": "remission",
            "type": "integer",
            "role": "outcome",
            "event_is_good": True,
            "score": "phq9_end",
            "target": "< 10",
        },
    ]
}


def cohort(n, seed):
    """Return a cohort and the remission of all patients; who is not better in the middle is mostly lost."""
    rng = np.random.default_rng([seed, 61])
    X = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.standard_normal(n)})
    X["arm"] = rng.choice(["A", "B", "C"], n)
    better = 0.8 * X["x"] + 0.5 * X["z"] * (X["arm"] == "A")
    level = rng.standard_normal(n)  # of a patient, beside the covariates
    fourth = 12 - 2 * (better + level) + rng.normal(0, 1, n)
    eighth = 11 - 3 * (better + level) + rng.normal(0, 1, n)
    end = 9.5 - 3 * (better + level + rng.logistic(scale=0.7, size=n))
    left = rng.random(n) < expit(0.5 * (fourth - 13.5))  # before week 8
    lost = (rng.random(n) < expit(0.6 * (eighth - 14))) | (left & (rng.random(n) < 0.8))
    frame = X.assign(
        phq9_w4=fourth.round(2), phq9_w8=eighth.mask(left).round(2), phq9_end=end.mask(lost).round(2)
    )
    return ts.Cohort(frame, Codebook.from_dict(BOOK)), (end < 10).astype(float), lost.to_numpy()


def fitted(data, missing, **options):
    options = {"estimator": "hierarchical", "random_state": 0, "assignment": "randomised", **options}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", TreatselWarning)
        selector = ts.TreatmentSelector(missing=missing, **options).fit(data)
    return selector, [str(w.message) for w in said]


def test_levels_and_means_of_arms_are_right():
    bias = {"interim": [], "covariates": []}
    means = {"interim": [], "covariates": []}
    for seed in range(6):
        data, _, lost = cohort(1200, seed)
        assert 0.2 < lost.mean() < 0.5
        large, remission, _ = cohort(20_000, 100 + seed)
        truth = remission.groupby(large.X["arm"]).mean()
        for name, missing in (("interim", {"interim": INTERIM}), ("covariates", None)):
            selector, _ = fitted(data, missing)
            own = selector.predict_by_arm(large.X.head(5000)).mean()
            bias[name].append(100 * (own - truth).mean())
            means[name].append(100 * (selector.arm_means_["value"] - truth).mean())
    for found in (bias, means):
        se = np.std(found["interim"], ddof=1) / np.sqrt(6)
        assert abs(np.mean(found["interim"])) < 1 + 2 * se
        assert np.mean(found["covariates"]) > 5


def test_it_says_what_it_does_and_the_file_predicts_the_same(tmp_path):
    data, _, _ = cohort(900, 0)
    selector, said = fitted(data, {"interim": INTERIM})
    (first,) = [text for text in said if "was not observed" in text]
    assert "and imputes the lost outcomes; means of arms" in first
    assert "'last of phq9_w4 to phq9_w8'" in first
    model = selector.models_["remission"]
    assert isinstance(model, ImputedClassifier)
    assert list(model.auxiliary) == ["last of phq9_w4 to phq9_w8", "number of the last of phq9_w4 to phq9_w8"]
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
    loaded, X = ts.load_model(tmp_path / "m.treatsel"), data.X.head(20)
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), selector.predict_by_arm(X))
    np.testing.assert_array_equal(loaded.predict_draws(X), selector.predict_draws(X))
    # scores are expected for everyone
    assert selector.predict_score_by_arm(X).shape == (20, 3)


def test_a_shift_applies_to_imputed_outcomes():
    data, _, lost = cohort(900, 1)
    plain, _ = fitted(data, {"interim": INTERIM})
    worse, _ = fitted(data, {"interim": INTERIM, "shift": 1.0})
    moved = worse.predict_by_arm(data.X) - plain.predict_by_arm(data.X)
    assert -0.25 * lost.mean() - 0.02 < moved.to_numpy().mean() < -0.02
    change = worse.arm_means_["value"] - plain.arm_means_["value"]
    np.testing.assert_allclose(change, moved.mean()[change.index], atol=1e-9)


def test_the_stack_keeps_its_cross_fitted_predictions():
    data, _, _ = cohort(500, 2)
    selector, _ = fitted(data, {"interim": INTERIM}, estimator="stacked")
    assert all(hasattr(model, "cross_fitted_") for model in selector.models_["remission"].completed_)
    performance = selector.performance_["remission"].set_index(["predictor", "metric"])["value"]
    assert performance["model", "within_arm_auc"] > 0.55


def test_weekly_scores_of_two_instruments_serve_a_synthetic_cohort():
    data = make_cohort(400, random_state=3, assignment="randomised", weekly_scores=True).cohort
    selector, _ = fitted(data, {"interim": [WEEKS]})
    assert isinstance(selector.models_["recovery"], ImputedClassifier)
    assert set(selector.models_["recovery"].auxiliary) >= {"dropout", "sessions_attended"}
    assert not isinstance(selector.models_["dropout"], ImputedClassifier)  # observed in everyone
    pair = Missing.of({"interim": [WEEKS[:6], WEEKS[6:]]}, ["recovery"]).last_scores(data.frame[WEEKS])
    assert list(pair)[::2] == ["last of phq9_w1 to phq9_w6", "last of phq9_w7 to phq9_w12"]
    known = data.frame[WEEKS[6:]].notna().any(axis=1)
    assert (pair["number of the last of phq9_w7 to phq9_w12"] > 0).eq(known).all()


def test_an_auxiliary_column_without_values_is_left_out():
    data, _, lost = cohort(500, 3)
    frame = data.frame.assign(phq9_w8=data.frame["phq9_w8"].where(lost))  # known of lost patients alone
    selector, _ = fitted(ts.Cohort(frame, data.codebook), {"interim": [["phq9_w8"], ["phq9_w4"]]})
    assert selector.predict_by_arm(data.X).notna().all(axis=None)


@pytest.mark.parametrize(
    ("interim", "said"),
    [
        ("phq9_w4", "must list the columns of interim scores in the order of time"),
        ([1], "must list the columns"),
        ([[]], "must list the columns"),
        ([["phq9_w4"], "phq9_w8"], "must list the columns"),
        (["phq9_w4", "phq9_w4"], "names a column twice"),
        (["phq9_w5"], r"names \['phq9_w5'\].*those are \['phq9_w4', 'phq9_w8'\]"),
        (["phq9_end"], "on which no outcome rests"),
        (["x"], "role session_score"),
    ],
    ids=str,
)
def test_other_columns_are_refused(interim, said):
    with pytest.raises(InputError, match=said):
        fitted(cohort(300, 4)[0], {"interim": interim})


def test_a_table_has_no_interim_scores():
    data, _, _ = cohort(300, 5)
    selector = ts.TreatmentSelector(missing={"interim": INTERIM}, event_is_good=True, random_state=0)
    with pytest.raises(InputError, match="columns of a Cohort"):
        selector.fit(data.X, data.y.rename("y"))


def test_it_contradicts_covariates_alone_and_other_learners():
    data, _, _ = cohort(300, 6)
    with pytest.raises(InputError, match="uses covariates and arm alone"):
        fitted(data, {"interim": INTERIM, "method": "covariates"})
    linear_model = pytest.importorskip("sklearn.linear_model")
    with pytest.raises(InputError, match="leave interim out"):
        fitted(data, {"interim": INTERIM}, estimator=PooledClassifier(linear_model.LogisticRegression()))
