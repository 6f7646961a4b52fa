"""What users of scikit-learn expect of a selector and its models: weights, names, routing, warnings."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB

import treatsel as ts
from treatsel.errors import InputError, TreatselWarning
from treatsel.model_selection import cross_predict
from treatsel.models import PooledClassifier

POOLED = PooledClassifier(LogisticRegression())
FIELDS = [
    {"name": "age", "type": "number", "role": "covariate"},
    {"name": "arm", "role": "arm"},
    {"name": "site", "role": "site"},
    {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
]
BOOK = ts.Codebook.from_dict({"fields": FIELDS})


@pytest.fixture(scope="module")
def data():
    rng, n = np.random.default_rng(0), 700
    X = pd.DataFrame({"age": rng.normal(40, 9, n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, np.where(X["age"] > 40, 0.7, 0.3)), X.index, name="remission")
    return X, y, rng.choice(list("abcdefghijkl"), n)


def selector(**options):
    return ts.TreatmentSelector(**{"estimator": POOLED, "random_state": 0} | options)


def test_sites_named_in_the_codebook_are_used_or_their_absence_is_said(data):
    X, y, site = data
    with_site = X.assign(site=site)
    named, stated = selector(codebook=BOOK), selector(codebook=BOOK, groups="site")
    for one in (named, stated):
        one.fit(with_site, y)
    whole = selector().fit(ts.Cohort(with_site.assign(remission=y), BOOK))
    for other in (stated, whole):
        pd.testing.assert_frame_equal(named.arm_means_, other.arm_means_)
    with pytest.warns(TreatselWarning, match="names the site column 'site', which X does not have"):
        selector(codebook=BOOK).fit(X, y)


def test_therapists_named_in_the_codebook_are_used_or_their_absence_is_said(data):
    X, y, site = data
    book = ts.Codebook.from_dict({"fields": [*FIELDS, {"name": "helper", "role": "therapist"}]})
    whole = X.assign(site=site, helper=[f"{where}{n % 4}" for n, where in enumerate(site)])
    options = {"codebook": book, "estimator": "hierarchical"}
    assert "therapist" in selector(**options).fit(whole, y).models_["remission"].prior_
    lost = "names the therapist column 'helper', which X does not have: therapists are ignored"
    with pytest.warns(TreatselWarning, match=lost) as found:
        without = selector(**options).fit(whole.drop(columns="helper"), y)
    assert "therapist" not in without.models_["remission"].prior_
    assert [each.filename for each in found] == [__file__]
    with pytest.warns(TreatselWarning, match="'helper', which X and extra do not have"):
        selector(codebook=book).fit(X, y, extra=whole[["site"]])
    # a cohort may lack the column: its codebook may be that of other cohorts as well
    cohort = ts.Cohort(whole.drop(columns="helper").assign(remission=y), book)
    pd.testing.assert_frame_equal(selector(**options).fit(cohort).arm_means_, without.arm_means_)


def test_warnings_point_at_the_line_of_the_caller(data):
    X, y, _ = data
    calls = [
        lambda: selector(codebook=BOOK).fit(X, y),  # no site
        lambda: selector(event_is_good=True).fit(X.head(200), y.head(200)),  # few patients
        lambda: selector(event_is_good=True).fit(X, y.mask(X["age"] > 55)),  # missing outcomes
        lambda: PooledClassifier(GaussianNB()).fit(X, y),
        lambda: GridSearchCV(PooledClassifier(GaussianNB()), {"arm": ["arm"]}, cv=2).fit(X, y),
        lambda: cross_predict(PooledClassifier(GaussianNB()), X, y),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        ours = [each for each in found if issubclass(each.category, TreatselWarning)]
        assert ours
        assert {each.filename for each in ours} == {__file__}


def test_weights_reach_a_model_also_through_searches_and_routing(data):
    X, y, _ = data
    weights = np.where(y == 1, 3.0, 1.0)
    plain = POOLED.fit(X, y).predict_by_arm(X).to_numpy().mean()
    search = GridSearchCV(POOLED, {"interaction_scale": [0.5]}, cv=2).fit(X, y, sample_weight=weights)
    assert search.best_estimator_.predict_by_arm(X).to_numpy().mean() > plain + 0.1
    with sklearn.config_context(enable_metadata_routing=True):
        routed = PooledClassifier(LogisticRegression()).set_fit_request(sample_weight=True)
        routed.set_score_request(sample_weight=True)
        scores = cross_validate(routed, X, y, params={"sample_weight": weights}, cv=2)["test_score"]
    assert (scores > 0.5).all()
    with pytest.raises(InputError, match=r"TreatmentSelector\.fit does not accept sample_weight"):
        selector(event_is_good=True).fit(X, y, sample_weight=weights)


def test_names_and_number_of_covariates(data):
    X, y, site = data
    fitted = selector(groups="site", event_is_good=True).fit(X.assign(site=site), y)
    for model in (fitted, fitted.models_["remission"]):
        assert list(model.feature_names_in_) == ["age"]
        assert model.n_features_in_ == 1
    assert not hasattr(selector(), "feature_names_in_")
    with sklearn.config_context(transform_output="pandas"):
        expected = fitted.predict_by_arm(X)
    pd.testing.assert_frame_equal(fitted.predict_by_arm(X), expected)


def test_a_cohort_is_refused_by_a_model_with_the_remedy(data):
    X, y, site = data
    cohort = ts.Cohort(X.assign(site=site, remission=y), BOOK)
    with pytest.raises(InputError, match=r"give cohort\.X and cohort\.y"):
        PooledClassifier(LogisticRegression()).fit(cohort, y)
    with pytest.raises(InputError, match="cross_predict_cohort"):
        cross_predict(POOLED, cohort, y)
