"""Learners inside wrappers: products with the arm, exact additive form or none, weights, warnings."""

import warnings

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import treatsel as ts
from treatsel.errors import InputError, TreatselWarning, UnsupportedModelError
from treatsel.models import ArmwiseClassifier, PooledClassifier

RIDGE = LogisticRegression()
BOOSTED = LGBMClassifier(n_estimators=5, num_leaves=4)
GRID = {"C": [0.1, 1.0]}
EXACT = {
    "pipeline": make_pipeline(MinMaxScaler(), "passthrough", RIDGE),
    "selection and components": make_pipeline(StandardScaler(), VarianceThreshold(), PCA(), RIDGE),
    "search": GridSearchCV(RIDGE, GRID, cv=2),
    "search in a pipeline": make_pipeline(StandardScaler(), RandomizedSearchCV(RIDGE, GRID, n_iter=2, cv=2)),
    "search over a pipeline": GridSearchCV(
        make_pipeline(StandardScaler(), RIDGE), {"logisticregression__C": [0.1, 1.0]}, cv=2
    ),
    "fixed threshold": FixedThresholdClassifier(RIDGE, threshold=0.4),
    "tuned threshold": TunedThresholdClassifierCV(RIDGE, cv=2),
    "one versus rest": OneVsRestClassifier(RIDGE),
    "Platt scaling": CalibratedClassifierCV(RIDGE, cv=2, ensemble=False),
    "Platt scaling of ridge": CalibratedClassifierCV(
        make_pipeline(StandardScaler(), RidgeClassifier()), cv=2, ensemble=False
    ),
    "stochastic gradient": make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)),
    "discriminant analysis": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1),
    "search of LightGBM": GridSearchCV(BOOSTED, {"num_leaves": [3, 4]}, cv=2),
    "threshold of LightGBM": FixedThresholdClassifier(BOOSTED),
}
OPAQUE = {
    "power transformation": make_pipeline(PowerTransformer(), RIDGE),
    "clipped": make_pipeline(MinMaxScaler(clip=True), RIDGE),
    "mean of sigmoids": CalibratedClassifierCV(RIDGE, cv=2),
    "isotonic": CalibratedClassifierCV(RIDGE, cv=2, method="isotonic", ensemble=False),
    "modified Huber": make_pipeline(
        StandardScaler(), SGDClassifier(loss="modified_huber", random_state=0, alpha=1.0)
    ),
    "voting": VotingClassifier([("a", RIDGE), ("b", LogisticRegression(C=0.1))], voting="soft"),
    "mixed voting": VotingClassifier(
        [("a", RIDGE), ("b", DecisionTreeClassifier(max_depth=2, random_state=0))], voting="soft"
    ),
    "stack": StackingClassifier([("a", RIDGE), ("b", LogisticRegression(C=0.1))], cv=2),
    "bagging": BaggingClassifier(RIDGE, n_estimators=2, random_state=0),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    X = pd.DataFrame({"age": rng.normal(40, 9, 400).round(), "score": rng.normal(15, 4, 400).round()})
    X["sex"] = rng.choice(["f", "m"], 400)
    X["arm"] = rng.choice(["CBT", "SSRI"], 400)
    lift = np.where(X["arm"] == "CBT", 1, -1) * (X["score"] - 15) / 3
    return X, pd.Series((rng.random(400) < expit(lift)).astype(int), X.index, name="remission")


@pytest.mark.parametrize("kind", [PooledClassifier, ArmwiseClassifier])
@pytest.mark.parametrize("name", EXACT)
def test_the_additive_form_of_a_wrapped_learner_has_its_probabilities(kind, name, data):
    X, y = data
    fitted = kind(EXACT[name]).fit(X, y)
    found = fitted.additive().predict_by_arm(X.drop(columns="arm"))
    np.testing.assert_allclose(found, fitted.predict_by_arm(X), atol=1e-12)


@pytest.mark.parametrize("name", OPAQUE)
def test_a_learner_without_an_additive_form_is_refused(name, data):
    fitted = PooledClassifier(OPAQUE[name]).fit(*data)
    with pytest.raises(UnsupportedModelError, match="cannot be written as a sum of terms"):
        fitted.additive()


@pytest.mark.parametrize("name", [*EXACT, *OPAQUE])
def test_wrapped_linear_learners_have_products_with_the_arm(name, data):
    X, y = data
    if "LightGBM" in name:
        pytest.skip("trees find interactions themselves")
    table = PooledClassifier({**EXACT, **OPAQUE}[name]).fit(X, y).predict_by_arm(X)
    difference = table["CBT"] - table["SSRI"]  # rises with the score, from below 0 to above 0
    assert np.corrcoef(difference, X["score"])[0, 1] > 0.5
    assert difference.min() < 0 < difference.max()


@pytest.mark.parametrize("name", ["search", "Platt scaling", "one versus rest", "threshold of LightGBM"])
def test_a_wrapped_learner_survives_its_file(name, data, tmp_path):
    X, y = data
    estimator = PooledClassifier(EXACT[name])
    selector = ts.TreatmentSelector(estimator=estimator, event_is_good=True, random_state=0).fit(X, y)
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="test")
    loaded = ts.load_model(tmp_path / "m.treatsel")
    np.testing.assert_allclose(loaded.predict_by_arm(X), selector.predict_by_arm(X), rtol=0, atol=1e-12)


class Own(ClassifierMixin, BaseEstimator):
    """A user's linear learner, which nothing marks as one."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.model_ = LogisticRegression().fit(X, y)
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


@pytest.mark.parametrize("learner", [Own(), GaussianNB()])
def test_a_learner_that_cannot_find_interactions_gets_a_warning(learner, data):
    X, y = data
    with pytest.warns(TreatselWarning, match="found no effect modification.*ArmwiseClassifier"):
        PooledClassifier(learner).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ArmwiseClassifier(learner).fit(X, y)
        PooledClassifier(RandomForestClassifier(10, random_state=0)).fit(X, y)


@pytest.mark.parametrize("kind", [PooledClassifier, ArmwiseClassifier])
def test_weights_reach_the_learner_or_are_refused(kind, data):
    X, y = data
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    for learner in (RIDGE, make_pipeline("passthrough", RIDGE), OPAQUE["voting"], EXACT["search"]):
        weighted = kind(learner).fit(X, y, sample_weight=weights).predict_by_arm(X)
        plain = kind(learner).fit(X, y).predict_by_arm(X)
        assert np.abs(weighted - plain).to_numpy().max() > 0.01
    for learner in (KNeighborsClassifier(), FixedThresholdClassifier(RIDGE), OneVsRestClassifier(RIDGE)):
        with pytest.raises(InputError, match="does not accept sample_weight"):
            kind(learner).fit(X, y, sample_weight=weights)
