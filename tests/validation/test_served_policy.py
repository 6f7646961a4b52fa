"""The policy that `validate` evaluates is the one that `recommend` serves by default."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.cli.main import build_parser
from treatsel.codebook import Codebook
from treatsel.fitted import FittedModel
from treatsel.models import ArmwiseClassifier
from treatsel.recommendation import DEFAULT_MARGIN, DEFAULT_RULE
from treatsel.validation._policies import policies_of
from treatsel.validation._task import ValidationTask

BOOK = Codebook.from_dict(
    {
        "fields": [
            {"name": "id", "role": "id"},
            {"name": "x", "type": "number", "role": "covariate"},
            {"name": "arm", "role": "arm"},
            {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
            {"name": "dropout", "type": "integer", "role": "outcome", "event_is_good": False},
        ]
    }
)


def cohort_of(n, seed, rate=0.6):
    """Patients in whom arms B and C have the same records, so that any model predicts the same."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, n)
    outcomes = {"remission": rng.random(n) < rate, "dropout": rng.random(n) < 0.3}
    flat = pd.DataFrame({"x": x, "arm": "A", **outcomes})
    steep = flat.assign(arm="B", remission=rng.random(n) < 1 / (1 + np.exp(-2 * x)))
    frame = pd.concat([flat, steep, steep.assign(arm="C")], ignore_index=True)
    frame = frame.astype({"remission": int, "dropout": int})
    return ts.Cohort(frame.assign(id=[f"p{seed}-{i}" for i in range(len(frame))]), BOOK)


@pytest.fixture(scope="module")
def selector():
    estimator = ArmwiseClassifier(LogisticRegression())
    found = ts.TreatmentSelector(estimator=estimator, assignment="randomised", random_state=0)
    with np.errstate(all="ignore"), pytest.warns(ts.errors.TreatselWarning):
        return found.fit(cohort_of(200, 1))


def task_of(selector, cohort, **options):
    given = {"outcome": None, "comparator": None, "event_is_good": None, "level": 0.95, "random_state": 0}
    return ValidationTask.of(selector, cohort, **given | options)


def shares_served(selector, cohort, **options):
    """The share of each arm in what `recommend` gives; several tied arms share a patient."""
    table = selector.recommend(cohort.X, **options).to_frame()
    shares = pd.DataFrame(0.0, index=table.index, columns=selector.arms_)
    for patient, row in table.iterrows():
        tied = [arm for code, arm in row["status_reasons"] if code == "tied"]
        for arm in tied if row["arm"] is None else [row["arm"]]:
            shares.loc[patient, arm] = 1 / max(len(tied), 1)
    return shares


@pytest.mark.parametrize("outcome", ["remission", "dropout"])
@pytest.mark.parametrize("comparator", [None, "C"])
def test_the_validated_shares_are_those_of_recommend(selector, outcome, comparator):
    new = cohort_of(150, 2)
    assert (selector.recommend(new.X).table["status"] != "out_of_scope").all()
    found = policies_of(task_of(selector, new, outcome=outcome, comparator=comparator), "randomised")
    options = {} if outcome == "remission" else {"preferences": {"dropout": 1.0}}
    expected = shares_served(selector, new, **options)
    pd.testing.assert_frame_equal(found.recommended, expected[found.recommended.columns])
    counts = ts.validate(selector, new, outcome=outcome, comparator=comparator, sections=()).flow
    assert counts.set_index("arm")["n_recommended"].tolist() == expected.sum().round().astype(int).tolist()


def test_the_cohort_has_ties_that_the_default_arm_does_not_take(selector):
    table = selector.recommend(cohort_of(150, 2).X).to_frame()
    assert selector.default_arm_ == "A"
    tied = table["arm"].isna()
    assert 0.2 < tied.mean() < 0.8
    assert set(table["best_set"][tied]) <= {("B", "C"), ("A", "B", "C")}


def test_ties_go_to_the_default_arm_whichever_arm_is_the_comparator():
    """A recommendation does not know with what it will be compared."""
    estimator = ArmwiseClassifier(LogisticRegression())
    selector = ts.TreatmentSelector(estimator=estimator, assignment="randomised", random_state=0)
    with pytest.warns(ts.errors.TreatselWarning):
        selector.fit(cohort_of(200, 3, rate=0.2))
    other = {"B": "C", "C": "B"}[selector.default_arm_]
    new = cohort_of(150, 5, rate=0.2)
    found = policies_of(task_of(selector, new, comparator=other), "randomised")
    assert (found.recommended[selector.default_arm_] > 0.5).mean() > 0.5
    assert not found.recommended[other].any()
    assert found.gain.comparator_arm == other


def test_out_of_scope_patients_are_counted(selector):
    new = cohort_of(60, 4)
    frame = new.frame.copy()
    frame.iloc[:7, frame.columns.get_loc("x")] = 50.0
    odd = ts.Cohort(frame, BOOK)
    assert (selector.recommend(odd.X).table["status"] == "out_of_scope").sum() == 7
    report = ts.validate(selector, odd, sections=())
    assert report.about["policy"]["n_out_of_scope"] == 7
    assert any("recommends no arm for 7 patients" in text for text in report.cautions)
    assert ts.validate(selector, new, sections=()).about["policy"] == {
        "rule": "expected",
        "p_switch": None,
        "margin": 0.05,
        "preferences": {"remission": 1.0},
        "eligibility": None,
        "ties_to": "A",
        "n_out_of_scope": 0,
        "n_without_arm": 0,
    }


def test_there_is_one_default_everywhere():
    for function in (ts.recommend, ts.TreatmentSelector.recommend, FittedModel.recommend):
        defaults = inspect.signature(function).parameters
        assert defaults["rule"].default == DEFAULT_RULE
        assert defaults["margin"].default == DEFAULT_MARGIN
    args = build_parser().parse_args(["recommend", "m.treatsel", "patients.csv"])
    assert (args.rule, args.margin) == (DEFAULT_RULE, DEFAULT_MARGIN)
