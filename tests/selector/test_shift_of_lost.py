"""Delta-adjustment in a selector: lost patients fare worse by logits, or by points of a score."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.errors import InputError, TreatselWarning
from treatsel.models import DeltaAdjustedClassifier, DropoutMixture

pytestmark = pytest.mark.one_version

ARMS = np.array(["A", "B", "C"])
POINTS = 4.0
BOOK = {
    "fields": [
        {"name": "x", "type": "number", "role": "covariate"},
        {"name": "z", "type": "number", "role": "covariate"},
        {"name": "arm", "type": "string", "role": "arm"},
        {"name": "phq9_end", "type": "number", "role": "session_score"},
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


def table(n, seed):
    """Return X, scores of all patients, and whether they were lost; the lost score 4 points worse."""
    rng = np.random.default_rng([seed, 53])
    X = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.standard_normal(n), "arm": rng.choice(ARMS, n)})
    lost = rng.random(n) < expit(-0.8 + 0.5 * X["x"] + 0.6 * (X["arm"] == "A"))
    better = 0.7 * X["x"] + 0.4 * X["z"] * (X["arm"] == "A") + rng.logistic(size=n)
    return X, 9.5 - 3 * better + POINTS * lost, lost.to_numpy()


def quietly(selector, *given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        return selector.fit(*given)


def fitted(missing, *, seed=0, n=1500, good=True, name="y"):
    """Return a selector of a 0/1 outcome, good or its opposite, and its table."""
    X, score, lost = table(n, seed)
    y = pd.Series(np.where(lost, np.nan, (score < 10) == good), name=name)
    selector = ts.TreatmentSelector(
        estimator="hierarchical", event_is_good=good, missing=missing, random_state=0, assignment="randomised"
    )
    return quietly(selector, X, y), X


def of_scores(missing, *, seed=0, n=1500):
    X, score, lost = table(n, seed)
    cohort = ts.Cohort(X.assign(phq9_end=score.round(3).mask(lost)), Codebook.from_dict(BOOK))
    selector = ts.TreatmentSelector(
        estimator="hierarchical", missing=missing, random_state=0, assignment="randomised"
    )
    return quietly(selector, cohort), X


def test_lost_patients_fare_worse_whether_1_is_good_or_bad():
    good, X = fitted({"shift": 1.0})
    bad, _ = fitted({"shift": 1.0}, good=False)
    plain, _ = fitted(None)
    assert isinstance(good.models_["y"], DeltaAdjustedClassifier)
    change = good.predict_by_arm(X) - plain.predict_by_arm(X)
    assert (change.mean() < -0.03).all()
    assert change.mean()["A"] < change.mean()["B"]  # more are lost
    np.testing.assert_allclose(1 - bad.predict_by_arm(X), good.predict_by_arm(X), atol=0.004)
    better, _ = fitted({"shift": -1.0})
    assert (better.predict_by_arm(X).mean() > plain.predict_by_arm(X).mean()).all()


def test_means_of_arms_move_by_the_same():
    shifted, X = fitted({"shift": 1.0})
    plain, _ = fitted(None)
    moved = shifted.arm_means_["value"] - plain.arm_means_["value"]
    predicted = (shifted.predict_by_arm(X) - plain.predict_by_arm(X)).mean()
    np.testing.assert_allclose(moved, predicted[moved.index], atol=1e-9)
    for name in plain.performance_:  # compared with observed outcomes alone
        pd.testing.assert_frame_equal(shifted.performance_[name], plain.performance_[name])


def test_a_planted_shift_in_points_of_a_score_is_accounted_for():
    levels, means = {"points": [], "none": []}, []
    for seed in range(6):
        X, score, _ = table(4000, 100 + seed)
        truth = (score < 10).groupby(X["arm"]).mean()
        for key, missing in (("points", {"shift": POINTS, "unit": "points"}), ("none", None)):
            selector, _ = of_scores(missing, seed=seed)
            predicted = selector.predict_by_arm(X)
            own = pd.Series({arm: predicted.loc[X["arm"] == arm, arm].mean() for arm in ARMS})
            levels[key].append((own - truth).mean())
            if missing:
                means.append((selector.arm_means_["value"] - truth).mean())
    se = np.std(levels["points"], ddof=1) / np.sqrt(6)
    assert abs(np.mean(levels["points"])) < 2.5 * se + 0.004
    assert abs(np.mean(means)) < 2.5 * se + 0.004
    assert se < 0.01
    assert np.mean(levels["none"]) > 0.05


def test_points_are_logits_of_the_score():
    # the scores have logistic errors with a scale of 3 points
    points, X = of_scores({"shift": 3.0, "unit": "points"})
    logits, _ = of_scores({"shift": 1.0})
    assert points.models_["remission"].shift == pytest.approx(-1.0, abs=0.12)
    difference = points.predict_by_arm(X) - logits.predict_by_arm(X)
    assert np.abs(difference.to_numpy()).mean() < 0.006


def test_the_assumption_is_a_finding_that_the_model_file_keeps(tmp_path):
    selector, X = fitted({"shift": {"y": 0.5}})
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A test.")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X.head()), selector.predict_by_arm(X.head()))
    np.testing.assert_array_equal(loaded.predict_draws(X.head()), selector.predict_draws(X.head()))
    (found,) = [check for check in loaded.data_checks_ if check.code == "lost_outcomes_shifted"]
    assert "patients in whom it was lost fare worse by 0.5 logits than others" in found.message


def test_nothing_changes_without_loss_or_with_a_shift_of_0():
    X, score, _ = table(400, 0)
    y = pd.Series((score < 10).astype(float), name="y")
    options = {"estimator": "hierarchical", "event_is_good": True, "random_state": 0}
    plain, shifted = (
        quietly(ts.TreatmentSelector(missing=missing, **options), X, y) for missing in (None, {"shift": 1})
    )
    pd.testing.assert_frame_equal(shifted.predict_by_arm(X), plain.predict_by_arm(X))
    assert not [check for check in shifted.data_checks_ if check.code == "lost_outcomes_shifted"]
    zero, _ = fitted({"method": "covariates", "shift": 0})
    assert not isinstance(zero.models_["y"], DeltaAdjustedClassifier)


def test_the_stack_and_dropout_are_kept():
    X, score, lost = table(900, 1)
    rng = np.random.default_rng(0)
    y = pd.DataFrame(
        {
            "y": np.where(lost, np.nan, score < 10),
            "dropout": np.where(lost, rng.random(900) < 0.8, rng.random(900) < 0.2).astype(float),
        }
    )
    good = {"y": True, "dropout": False}
    selector = quietly(ts.TreatmentSelector(event_is_good=good, missing={"shift": 1.0}, random_state=0), X, y)
    assert isinstance(selector.models_["y"].model, DropoutMixture)
    assert not isinstance(selector.models_["dropout"], DeltaAdjustedClassifier)
    assert selector.recommend(X.head(3), rule="expected").to_frame().shape[0] >= 3


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("everything", "missing is 'everything'; it must be None or 'covariates'"),
        ({"method": "all"}, "method in missing is 'all'"),
        ({"delta": 1.0}, "missing has the unknown key 'delta'; allowed: .*shift"),
        ({"shift": True}, "shift in missing must be a number; it is a bool"),
        ({"shift": "1"}, "shift in missing must be a number; it is a str"),
        ({"shift": float("nan")}, "it must be from -5 to 5 logits"),
        ({"shift": 5.5}, "it must be from -5 to 5 logits"),
        ({"shift": float("inf"), "unit": "points"}, "it must be finite"),
        ({"shift": {"other": 1.0}}, "shift in missing has the unknown key 'other'; allowed: .*y"),
        ({"shift": 1.0, "unit": "percent"}, "unit in missing is 'percent'"),
        ({"shift": 1.0, "unit": "points"}, "does not rest on one score .* State it in logits"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused(missing, said):
    with pytest.raises(InputError, match=said):
        fitted(missing, n=300)


def test_a_shift_beyond_the_scores_is_refused():
    with pytest.raises(InputError, match="leaves fewer than 20 patients on one side of the threshold"):
        of_scores({"shift": 60.0, "unit": "points"}, n=400)


def test_a_model_of_trees_alone_is_refused():
    lightgbm = pytest.importorskip("lightgbm")
    X, score, lost = table(400, 0)
    y = pd.Series(np.where(lost, np.nan, score < 10), name="y")
    learner = ts.models.PooledClassifier(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1))
    selector = ts.TreatmentSelector(estimator=learner, event_is_good=True, missing={"shift": 1.0})
    with pytest.raises(InputError, match="leave the shift out"):
        quietly(selector, X, y)
