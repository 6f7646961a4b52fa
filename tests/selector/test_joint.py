"""Joint draws of the outcomes of a selector: correlation of residuals, pairing, records, files."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.models import ArmwiseClassifier, PooledClassifier, RecalibratedClassifier
from treatsel.preference import Valuation
from treatsel.selector._joint import residuals_of, shrunken_correlation, target_of

pytestmark = pytest.mark.one_version

GOOD = {"remission": True, "stays": True}


def make(n=500, rho=0.9, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"age": rng.integers(18, 80, n).astype(float), "score": rng.normal(15, 4, n).round(1)})
    X["arm"] = np.array(["CBT", "IPT", "TAU"])[rng.permutation(np.arange(n) % 3)]
    white = rng.normal(size=(n, 2))
    white[:, 1] = rho * white[:, 0] + np.sqrt(1 - rho**2) * white[:, 1]
    return X, pd.DataFrame((norm.cdf(white) < chance_of(X)[:, None]).astype(float), X.index, list(GOOD))


def chance_of(X):
    return expit((X["score"] - 15) / 8 + 0.3 * (X["arm"] == "CBT")).to_numpy()


def fitted(X, y, **options):
    estimator = options.pop("estimator", PooledClassifier(LogisticRegression(C=1.0), interaction_scale=0.5))
    return ts.TreatmentSelector(
        estimator=estimator, event_is_good=dict.fromkeys(y, True), random_state=0
    ).fit(X, y)


@pytest.fixture(scope="module")
def selector():
    return fitted(*make())


def correlation(selector, X):
    one, two = (selector.predict_draws(X.head(5), name)[..., 0] for name in GOOD)
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, two.T, strict=True)])


# --- the correlation of residuals


def plain_design(X):
    return X[["age", "score"]].to_numpy(), pd.get_dummies(X["arm"]).to_numpy(dtype=float)


@pytest.mark.parametrize("rho", [0.0, 0.8, -0.8])
def test_a_planted_correlation_is_found(rho):
    X, y = make(8000, rho, 1)
    found = shrunken_correlation(residuals_of(y.to_numpy(), *plain_design(X)))[0, 1]
    true = np.corrcoef(y.to_numpy().T - chance_of(X))[0, 1]  # of deviations from the true probabilities
    assert found == pytest.approx(true, abs=0.01 if rho else 0.03)  # small correlations are shrunken
    assert abs(found) > 0.45 if rho else abs(found) < 0.03


def test_outcomes_in_common_predictors_alone_are_not_correlated():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=6000), "score": rng.normal(size=6000), "arm": "CBT"})
    y = (rng.random((6000, 2)) < expit(2 * X[["age"]].to_numpy())).astype(float)
    raw = np.corrcoef(y.T)[0, 1]
    found = shrunken_correlation(residuals_of(y, *plain_design(X)))[0, 1]
    assert raw > 0.3
    assert abs(found) < 0.06  # what is left is not linear


def test_few_pairs_are_shrunken_towards_zero():
    rng = np.random.default_rng(1)
    many = shrunken_correlation(rng.normal(size=(4000, 2)) @ np.array([[1.0, 0.3], [0.0, 1.0]]))
    assert many[0, 1] == pytest.approx(0.287, abs=0.05)
    raw, shrunken = [], []
    for _ in range(200):
        one, two = (values / np.linalg.norm(values) for values in rng.normal(size=(2, 25)))
        raw.append(abs(one @ two))
        shrunken.append(abs(shrunken_correlation(np.column_stack([one, two]))[0, 1]))
    assert np.mean(shrunken) < 0.5 * np.mean(raw)
    assert np.mean(np.array(shrunken) == 0) > 0.5


def test_patients_without_one_outcome_lower_the_correlation_of_the_estimates():
    rng = np.random.default_rng(2)
    residuals = rng.normal(size=(6000, 1)) + np.zeros((6000, 2))  # copies
    residuals[:3000, 1] = np.nan
    found = shrunken_correlation(residuals)[0, 1]
    assert found == pytest.approx(np.sqrt(0.5), abs=0.02)  # 3,000 pairs of sqrt(6,000 x 3,000)
    residuals[3000:, 0] = np.nan
    assert (shrunken_correlation(residuals) == np.eye(2)).all()  # no patient has both


def test_three_outcomes_with_losses_have_a_correlation_matrix():
    rng = np.random.default_rng(3)
    residuals = rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=(60, 3))
    residuals[rng.random((60, 3)) < 0.4] = np.nan
    assert np.linalg.eigvalsh(shrunken_correlation(residuals)).min() > -1e-12


def test_a_score_counts_by_its_ranks():
    y = pd.Series([1.0, 1.0, 0.0, 0.0, np.nan, 1.0])
    score = np.array([5.0, 3.0, -1.0, -1.0, np.nan, np.nan])
    found = target_of(y, score)
    np.testing.assert_allclose(found, [1.0, 0.75, 0.375, 0.375, np.nan, 0.875])
    np.testing.assert_array_equal(target_of(y, None), y)


# --- selectors


@pytest.mark.parametrize("estimator", ["hierarchical", ArmwiseClassifier(LogisticRegression())])
def test_copies_of_an_outcome_have_the_same_draws(estimator):
    X, y = make()
    copies = fitted(X, y.assign(stays=y["remission"]), estimator=estimator)
    one, two = (copies.predict_draws(X.head(5), name) for name in GOOD)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_draws_have_the_correlation_of_the_outcomes(selector):
    X, _ = make()
    planted = 2 / np.pi * np.arcsin(0.9)
    assert correlation(selector, X) == pytest.approx(planted, abs=0.15)
    assert abs(correlation(fitted(*make(rho=0.0)), X)) < 0.15


def test_the_first_outcome_does_not_depend_on_further_ones(selector):
    X, y = make()
    three = fitted(X, y.assign(other=np.random.default_rng(0).permutation(y["stays"])))
    one, other = (each.predict_draws(X.head(3), "remission") for each in (selector, three))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_single_outcome_has_the_draws_of_its_model_alone():
    X, y = make()
    model = PooledClassifier(LogisticRegression(C=1.0), interaction_scale=0.5).fit(X, y["remission"])
    alone = ts.TreatmentSelector(estimator=model, event_is_good=True, random_state=0).fit(X, y["remission"])
    np.testing.assert_array_equal(
        alone.predict_draws(X.head(3)), model.additive().predict_draws(X.head(3)[["age", "score"]])
    )
    assert not alone.additive_["remission"].joint


def test_fits_are_reproducible(selector):
    X, _ = make()
    again = fitted(*make())
    for name in GOOD:
        np.testing.assert_array_equal(again.predict_draws(X, name), selector.predict_draws(X, name))


def test_labels_of_arms_do_not_matter(selector):
    X, y = make()
    new = {"CBT": "z", "IPT": "y", "TAU": "x"}
    renamed = fitted(X.assign(arm=X["arm"].map(new)), y, estimator="hierarchical")
    before = fitted(X, y, estimator="hierarchical")
    for name in GOOD:
        np.testing.assert_allclose(
            before.predict_draws(X.head(3), name),
            renamed.predict_draws(X.head(3), name)[..., ::-1],
            atol=1e-6,
        )


def valuation(model, weights):
    return Valuation.of(weights, outcomes=model.outcomes, event_is_good=model.event_is_good, arms=model.arms)


def test_records_and_tables_pair_the_same_draws(selector):
    from treatsel.fitted import _records, _tables

    X, _ = make()
    weights, model = {"remission": 0.6, "stays": 0.4}, selector.model_
    row = X.drop(columns="arm").head(1)
    table = _tables._utility_draws(model, row, valuation(model, weights), "known")
    scores = {name: model.scorers[name].score(row.iloc[0].to_dict(), None, "known") for name in weights}
    np.testing.assert_allclose(
        _records._utility_draws(model, scores, valuation(model, weights)), table, atol=1e-12
    )
    one, two = (selector.predict_draws(row, name) for name in weights)
    np.testing.assert_allclose(table, 0.6 * one + 0.4 * two, atol=1e-12)


def test_a_replaced_model_is_independent_of_the_others(selector):
    from treatsel.fitted import _tables

    X, y = make()
    changed = selector.with_models({"stays": selector.models_["stays"]})
    assert [model.joint for model in changed.additive_.values()] == [True, False]
    weights = {"remission": 0.5, "stays": 0.5}
    row = X.drop(columns="arm").head(1)
    wide, narrow = (
        _tables._utility_draws(s.model_, row, valuation(s.model_, weights), "known")
        for s in (selector, changed)
    )
    assert narrow.std() < wide.std()  # the correlation is positive
    updated = RecalibratedClassifier(selector.models_["stays"]).fit(X, y["stays"])
    assert not updated.additive().joint


def test_a_file_keeps_which_draws_are_joint(selector, tmp_path):
    X, _ = make()
    path = tmp_path / "model.treatsel"
    ts.save_model(selector, path, intended_use="test of joint draws")
    loaded = ts.load_model(path)
    assert all(model.joint for model in loaded.additive_.values())
    assert correlation(loaded, X) == pytest.approx(correlation(selector, X), abs=1e-6)
