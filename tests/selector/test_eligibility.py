"""Rules of eligibility in training: arms are contrasted among patients who may receive all of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel import TreatmentSelector
from treatsel.codebook import Codebook, Field
from treatsel.eligibility import Rules
from treatsel.errors import InputError, TreatselWarning

RULE = {
    "id": "severe",
    "arms": ["B"],
    "when": "severity > 10",
    "effect": "exclude",
    "reason": "Too severe.",
    "source": "A test",
    "version": "1",
    "date": "2026-01-01",
}
BOOK = Codebook(
    (
        Field(name="severity", type="number", role="covariate"),
        Field(name="arm", role="arm", enum=("A", "B")),
    )
)


def data(n=1500, seed=0):
    """B is better in mild patients; severe ones never receive it, and would do badly with it."""
    rng = np.random.default_rng(seed)
    severity = rng.uniform(0, 20, n)
    mild = severity <= 10
    arm = np.where(mild & (rng.random(n) < 0.5), "B", "A")
    logit = np.where(arm == "B", np.where(mild, 0.6, -3), np.where(mild, 0.0, -0.5))
    index = pd.Index([f"p{i}" for i in range(n)], name="patient")
    X = pd.DataFrame({"severity": severity, "arm": arm}, index=index)
    return X, pd.Series((rng.random(n) < expit(logit)).astype(float), index=index, name="remission")


def selector():
    return TreatmentSelector(
        estimator="hierarchical", codebook=BOOK, event_is_good=True, assignment="randomised", random_state=0
    )


def rules(**change):
    return Rules.from_dict({"rules": [RULE | change]})


def test_arm_means_are_those_of_patients_who_may_receive_every_arm():
    X, y = data()
    with pytest.warns(
        TreatselWarning, match=r"exclude an arm for 7\d\d of 1,500 patients.*0 received an arm"
    ):
        found = selector().fit(X, y, eligibility=rules())
    mild = X["severity"] <= 10
    means = found.arm_means_
    assert (means["n"] == mild.sum()).all()
    for arm, rate in (("A", 0.5), ("B", expit(0.6))):
        row = means.loc[arm]
        assert row["lower"] < rate < row["upper"]
        assert row["value"] == pytest.approx(y[mild & (X["arm"] == arm)].mean(), abs=0.02)
    assert found.default_arm_ == "B"
    alone = selector().fit(X[mild], y[mild]).arm_means_
    np.testing.assert_allclose(means["value"], alone["value"], atol=0.03)


def test_predictions_do_not_depend_on_rules():
    X, y = data()
    with pytest.warns(TreatselWarning):
        with_rules = selector().fit(X, y, eligibility=rules())
    pd.testing.assert_frame_equal(with_rules.predict_by_arm(X), selector().fit(X, y).predict_by_arm(X))


def test_received_against_a_rule_is_counted():
    X, y = data()
    X.loc[X["severity"].nlargest(7).index, "arm"] = "B"
    with pytest.warns(TreatselWarning, match="7 received an arm that the rules exclude for them"):
        found = selector().fit(X, y, eligibility=rules())
    assert "excluded_by_rules" in {check.code for check in found.data_checks_}


def test_rules_that_exclude_nobody_change_nothing():
    X, y = data(600)
    found = selector().fit(X, y, eligibility=rules(when="severity > 100"))
    pd.testing.assert_frame_equal(found.arm_means_, selector().fit(X, y).arm_means_)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rules(when="severity > .05"), r"fewer than 10 received \['A', 'B'\]"),
        (rules(arms=["C"]), "'C'"),
        ({"rules": []}, "Rules or the path of a file"),
    ],
)
def test_bad_rules_are_refused(given, message):
    X, y = data(300)
    with pytest.raises(InputError, match=message):
        selector().fit(X, y, eligibility=given)
