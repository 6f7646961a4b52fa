"""How well a model applies to a patient: distance to the development cohort, missing values, sentences."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.fitted._distance import DevelopmentDistance, farthest
from treatsel.models import PooledClassifier

CODES = ("many_missing", "far_from_development", "low_propensity")
CORRELATION = 0.7


def numbers(n, seed, *, skewed=False):
    """Six equally correlated normal numbers, or their exponentials."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1)) * CORRELATION**0.5
    z = common + rng.normal(size=(n, 6)) * (1 - CORRELATION) ** 0.5
    values = np.exp(z) if skewed else 20 + 4 * z
    return pd.DataFrame(values, columns=[f"x{k}" for k in range(6)])


def fitted_on(X, seed=0, **options):
    rng = np.random.default_rng(seed)
    n = len(X)
    arm = np.where(rng.random(n) < 0.5, "CBT", "SSRI")
    arm[X["x0"].rank() <= 15] = "IPT"  # an arm for the lowest values only
    roles = [{"name": name, "type": "number", "role": "covariate"} for name in X]
    roles[0]["title"] = "Severity"
    fields = [*roles, {"name": "arm", "role": "arm"}]
    fields.append({"name": "y", "type": "integer", "role": "outcome", "event_is_good": True})
    frame = X.assign(arm=arm, y=(rng.random(n) < 0.4).astype(int))
    model = PooledClassifier(LogisticRegression(solver="newton-cholesky"))
    cohort = ts.Cohort(frame, Codebook.from_dict({"fields": fields}))
    return ts.TreatmentSelector(estimator=model, random_state=0, **options).fit(cohort)


@pytest.fixture(scope="module")
def selector():
    with pytest.warns(ts.errors.DataQualityWarning):
        return fitted_on(numbers(1500, 0))


def share_with(selector, X, code):
    found = selector.predict(X, on_invalid="flag").warnings
    return found.loc[found["code"] == code, "patient"].nunique() / len(X)


@pytest.mark.parametrize("n", range(1, 41))
def test_the_quantile_is_that_of_the_chi_squared_distribution(n):
    assert farthest(n) == pytest.approx(chi2.ppf(0.999, n), rel=0.031 if n == 1 else 0.025)
    assert farthest(n) > chi2.ppf(0.999, n)  # rather fewer flags than more


def test_the_distance_is_that_of_mahalanobis():
    rng = np.random.default_rng(0)
    background = {name: rng.normal(size=50) for name in "abc"}
    distance = DevelopmentDistance.of("abc", np.array([1.0, 2, 3]), np.array([1.0, 2, 4]), background)
    x = np.array([[1.5, 1.0, 3.0], [1.5, np.nan, 3.0], [np.nan] * 3, [1.0, 2.0, 1e9]])
    squared, n_known = distance.squared(x)
    z = np.array([0.5, -0.5, 0.0])
    np.testing.assert_allclose(squared[0], z @ np.linalg.solve(distance.covariance, z))
    kept = distance.covariance[np.ix_([0, 2], [0, 2])]
    np.testing.assert_allclose(squared[1], z[[0, 2]] @ np.linalg.solve(kept, z[[0, 2]]))
    most = np.array([0, 0, 3.0])
    np.testing.assert_allclose(squared[3], most @ np.linalg.solve(distance.covariance, most))
    assert n_known.tolist() == [3, 2, 0, 3]
    assert not distance.is_far(x[2:3])[0]
    many = rng.normal(0, 8, (200, 3))
    many[::5, 1] = np.nan
    far = distance.is_far(many)
    assert 0 < far.sum() < 200
    assert [distance.is_far_one(row) for row in many] == far.tolist()


def test_no_numbers_no_distance():
    none = DevelopmentDistance.of((), np.array([]), np.array([]), {})
    assert not none.is_far(np.zeros((2, 0))).any()


def test_correlations_are_close_to_those_of_patients_and_never_too_large(selector):
    found = selector.model_.development_distance.covariance
    apart = found[np.triu_indices(6, 1)]
    assert (apart > 0.55).all()
    assert (apart < CORRELATION + 0.05).all()
    np.testing.assert_allclose(found.diagonal(), 1.0)


def test_of_new_patients_from_the_same_population_few_are_far(selector):
    assert share_with(selector, numbers(20_000, 1), "far_from_development") <= 0.002


def test_of_patients_with_skewed_covariates_few_are_far(monkeypatch):
    with pytest.warns(ts.errors.DataQualityWarning):
        skewed = fitted_on(numbers(1500, 2, skewed=True))
    x, distance = numbers(20_000, 3, skewed=True).to_numpy(), skewed.model_.development_distance
    share = distance.is_far(x).mean()
    assert share <= 0.02
    monkeypatch.setattr("treatsel.fitted._distance.MOST_SDS", np.inf)
    assert distance.is_far(x).mean() > 3 * share


def test_an_unusual_combination_of_usual_values_is_far(selector):
    usual = dict.fromkeys([f"x{k}" for k in range(6)], 20.0)
    odd = usual | {"x0": 28.0, "x1": 12.0, "x2": 28.0, "x3": 12.0}  # 2 SDs each, against the correlation
    high = dict.fromkeys(usual, 28.0)  # 2 SDs each, along the correlation
    for X, expected in ((usual, False), (odd, True), (high, False)):
        for given in (X, pd.DataFrame([X])):
            for found in (selector.predict(given), selector.recommend(given)):
                assert ("far_from_development" in set(found.warnings["code"])) is expected
                assert found.to_frame()["in_scope"].all()


@pytest.mark.parametrize("n_missing", range(7))
def test_more_than_half_missing_is_said(selector, n_missing):
    record = {f"x{k}": None if k < n_missing else 20.0 for k in range(6)}
    for X in (record, pd.DataFrame([record], dtype="object")):
        codes = set(selector.recommend(X).warnings["code"])
        assert ("many_missing" in codes) is (n_missing > 3)


def test_records_and_tables_have_the_same_warnings(selector):
    rng = np.random.default_rng(4)
    X = numbers(60, 5) + rng.normal(0, 6, (60, 6))
    X = X.mask(rng.random(X.shape) < 0.3)
    for way in ("predict", "recommend"):
        table = getattr(selector, way)(X, on_invalid="flag").warnings
        assert set(CODES) <= set(table["code"])
        for patient, row in enumerate(X.to_dict("records")):
            record = {name: None if value != value else value for name, value in row.items()}
            one = getattr(selector, way)(record, on_invalid="flag").warnings
            rows = table[table["patient"] == patient]
            for column in ("code", "column"):
                assert one[column].tolist() == rows[column].tolist()


def test_an_arm_hardly_ever_given_is_a_warning_of_recommendations_unless_arms_were_randomised(selector):
    record = dict.fromkeys([f"x{k}" for k in range(6)], 24.0)
    assert selector.recommend(record).applicability() == [
        (
            0,
            "Patients like this one hardly ever received IPT: what the model says of it is extrapolated.",
        )
    ]
    with pytest.warns(ts.errors.DataQualityWarning):
        randomised = fitted_on(numbers(1500, 0), assignment="randomised")
    assert randomised.recommend(record).applicability() == []


def test_sentences_of_a_patient(selector):
    X = pd.DataFrame({f"x{k}": [20.0, 20.0] for k in range(6)}, index=["a", "b"])
    X.loc["b", "x0"] = 987.0
    X.loc["b", ["x1", "x2", "x3", "x4"]] = np.nan
    found = selector.predict(X).applicability()
    texts = [text for patient, text in found if patient == "b"]
    assert texts[0] == "The model was not developed for such a patient: do not use its probabilities."
    assert texts[1] == (
        "The value of Severity is well outside the range of the patients from whom the model was learned."
    )
    assert texts[2].startswith("This combination of values was hardly ever seen")
    assert texts[3].startswith("More than half of what the model asks for is not known")
    assert texts[-1] == "Not known: x1, x2, x3, x4."
    assert "987" not in str(found)
    assert selector.recommend(X).applicability() == found


def test_without_a_model_nothing_is_said():
    assert ts.recommend(pd.DataFrame({"A": [0.5], "B": [0.4]})).applicability() == []
