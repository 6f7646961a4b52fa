"""Cohorts on which a bare model was fitted, or any model updated, are not external to it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.models import (
    ArmwiseClassifier,
    HierarchicalClassifier,
    PooledClassifier,
    RecalibratedClassifier,
)
from treatsel.validation import update_closed_test

BOOK = ts.Codebook.from_dict(
    {
        "fields": [
            {"name": "pid", "role": "id"},
            {"name": "x", "type": "number", "role": "covariate"},
            {"name": "age", "type": "number", "role": "covariate"},
            {"name": "sex", "role": "covariate"},
            {"name": "arm", "role": "arm"},
            {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
        ]
    }
)
OPTIONS = {"sections": (), "random_state": 0}


def make_cohort(seed, n=400):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"pid": [f"{seed}-{i}" for i in range(n)], "x": rng.normal(size=n).round(3)})
    frame = frame.assign(age=rng.integers(18, 80, n), sex=rng.choice(["f", "m"], n))
    frame["arm"] = rng.choice(["A", "B"], n)
    p = 1 / (1 + np.exp(-frame["x"] * np.where(frame["arm"] == "A", 1, -1)))
    return ts.Cohort(frame.assign(remission=(rng.random(n) < p).astype(int)), BOOK)


@pytest.fixture(scope="module")
def cohorts():
    return make_cohort(1), make_cohort(2), make_cohort(3)


@pytest.mark.parametrize(
    "model",
    [
        PooledClassifier(LogisticRegression()),
        ArmwiseClassifier(LogisticRegression()),
        HierarchicalClassifier(),
    ],
)
def test_a_bare_model_recognizes_the_patients_to_whom_it_was_fitted(model, cohorts):
    old, new, _ = cohorts
    fitted = model.fit(old.X, old.y)
    report = ts.validate(fitted, old, **OPTIONS)
    assert report.kind == "apparent"
    assert np.isnan(report.gain.value)
    shuffled = old.take(np.random.default_rng(0).permutation(len(old))[:-7])
    assert ts.validate(fitted, shuffled, **OPTIONS).kind == "apparent"
    assert ts.validate(fitted, new, **OPTIONS).kind == "external"


def test_a_few_known_patients_are_left_out(cohorts):
    old, new, _ = cohorts
    fitted = PooledClassifier(LogisticRegression()).fit(old.X, old.y)
    mixed = new.with_frame(pd.concat([new.frame, old.frame.head(12)]))
    report = ts.validate(fitted, mixed, **OPTIONS)
    assert (report.kind, report.about["n"]) == ("external", len(new))
    assert any("12 patients of the cohort on which the model was fitted" in text for text in report.cautions)


def test_an_updated_model_is_not_external_to_the_cohort_of_its_update(cohorts):
    old, new, third = cohorts
    original = PooledClassifier(LogisticRegression()).fit(old.X, old.y)
    by_hand = RecalibratedClassifier(original, method="slope").fit(new.X, new.y)
    tested = update_closed_test(original, new.X, new.y).classifier or by_hand
    for updated in (by_hand, tested):
        assert ts.validate(updated, new, **OPTIONS).kind == "apparent"
        assert ts.validate(updated, old, **OPTIONS).kind == "apparent"
        assert ts.validate(updated, third, **OPTIONS).kind == "external"


def test_a_selector_with_an_updated_model_knows_it_also_from_a_file(cohorts, tmp_path):
    old, new, third = cohorts
    selector = ts.TreatmentSelector(estimator=PooledClassifier(LogisticRegression()), random_state=0).fit(old)
    assert ts.validate(selector, new, **OPTIONS).kind == "external"
    ts.save_model(selector, tmp_path / "a.treatsel", intended_use="Tests.")
    for given in (selector, ts.load_model(tmp_path / "a.treatsel")):
        model = RecalibratedClassifier(given.models_["remission"], method="per_arm").fit(new.X, new.y)
        updated = given.with_models({"remission": model})
        report = ts.validate(updated, new, **OPTIONS)
        assert report.kind == "apparent"
        assert any("in the cohort on which the model was updated" in text for text in report.cautions)
        assert ts.validate(updated, third, **OPTIONS).kind == "external"
        ts.save_model(updated, tmp_path / "b.treatsel", intended_use="Tests.")
        report = ts.validate(ts.load_model(tmp_path / "b.treatsel"), new, **OPTIONS)
        assert any("could not be checked" in text for text in report.cautions)
        whole = ts.validate(ts.load_model(tmp_path / "b.treatsel"), old, **OPTIONS)
        assert whole.kind == "apparent"
