"""Multiple imputation of lost outcomes from interim scores."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone

from treatsel.models import DropoutMixture, HierarchicalClassifier, ImputedClassifier, StackedClassifier
from treatsel.models._imputed import pooled
from treatsel.models.hierarchical import _screening

pytestmark = pytest.mark.one_version

ARMS = np.array(["A", "B", "C"])
AUXILIARY = ["interim", "dropout"]


def cohort(n, seed, *, sites=0, lost_share=1.0):
    """Return X with an interim score and dropout, y, the score and the true probabilities.

    The interim score shares an error with the score at the end; loss depends on it and on dropout.
    """
    rng = np.random.default_rng([seed, 59])
    z = rng.standard_normal((n, 2))
    arm, rows = rng.integers(0, 3, n), np.arange(n)
    site = rng.integers(0, max(sites, 1), n)
    effects = np.random.default_rng(4).normal(0, 0.4, (max(sites, 1), 3))
    base = 0.2 + 0.7 * z[:, [0]] + z[:, [1]] * np.array([0.6, -0.6, 0.0]) + effects[site]
    error = 1.2 * rng.standard_normal(n)  # of both measurements
    interim = base[rows, arm] + error + 0.5 * rng.standard_normal(n)
    dropout = (rng.random(n) < expit(-0.8 - 0.4 * interim)).astype(float)
    score = base[rows, arm] + error - 0.6 * dropout + rng.logistic(size=n)
    lost = rng.random(n) < lost_share * expit(-0.8 - 1.0 * interim + 1.0 * dropout)
    y = np.where(lost, np.nan, score > 0)
    X = pd.DataFrame(z, columns=["x0", "x1"]).assign(arm=ARMS[arm], interim=interim, dropout=dropout)
    # the probability of y given covariates, by simulation of what happens after the start
    truth = np.zeros((n, 3))
    for _ in range(200):
        e = 1.2 * rng.standard_normal((n, 1))
        u = base + e + 0.5 * rng.standard_normal((n, 3))
        chance = expit(-0.8 - 0.4 * u)
        truth += ((1 - chance) * expit(base + e) + chance * expit(base + e - 0.6)) / 200
    X = X.assign(site=site) if sites else X
    return X, y, np.where(lost, np.nan, score), pd.DataFrame(truth, columns=ARMS), score


def test_levels_are_right_where_loss_depends_on_interim_scores():
    found = {"imputed": [], "mixture": [], "complete": []}
    errors = {"imputed": [], "complete": []}
    for seed in range(6):
        X, y, score, _, _ = cohort(1200, seed)
        new, _, _, truth, _ = cohort(3000, 100 + seed)
        seen, plain = ~np.isnan(y), X.drop(columns=AUXILIARY)
        assert 0.25 < 1 - seen.mean() < 0.5
        models = {
            "imputed": ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY).fit(X, y, score),
            "mixture": DropoutMixture(HierarchicalClassifier()).fit(X.drop(columns="interim"), y, score),
            "complete": HierarchicalClassifier().fit(plain[seen], y[seen], score=score[seen]),
        }
        for name, model in models.items():
            difference = (model.predict_by_arm(new) - truth).to_numpy()
            found[name].append(100 * difference.mean())
            if name in errors:
                errors[name].append(np.sqrt((difference**2).mean()))
    se = np.std(found["imputed"], ddof=1) / np.sqrt(6)
    assert se < 1.0
    assert abs(np.mean(found["imputed"])) < 1 + 2 * se
    assert np.mean(found["mixture"]) > 4  # dropout alone does not say who was lost
    assert np.mean(found["complete"]) > 6
    assert np.mean(errors["imputed"]) < np.mean(errors["complete"])


@pytest.mark.slow
def test_intervals_cover_as_well_as_without_loss():
    found = {"imputed": [], "single": [], "complete": []}
    for seed in range(12):
        X, y, score, _, every = cohort(800, seed)
        new, _, _, truth, _ = cohort(400, 100 + seed)
        five, one = (
            ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY, n_imputations=m).fit(X, y, score)
            for m in (5, 1)
        )
        plain = HierarchicalClassifier().fit(
            X.drop(columns=AUXILIARY), (every > 0).astype(float), score=every
        )
        for name, model in (("imputed", five), ("single", one), ("complete", plain)):
            low, high = np.quantile(model.predict_draws(new), [0.025, 0.975], axis=0)
            found[name].append(((low <= truth) & (truth <= high)).to_numpy().mean())
    covered = {name: np.mean(values) for name, values in found.items()}
    assert covered["imputed"] > covered["complete"] - 0.02
    assert covered["imputed"] > covered["single"] + 0.03  # which takes what was drawn for observed


@pytest.mark.parametrize(
    "estimator",
    [HierarchicalClassifier(groups="site"), StackedClassifier(groups="site")],
    ids=["linear", "trees"],
)
def test_the_pooled_form_is_the_mean_on_the_logit_scale(estimator):
    X, y, score, _, _ = cohort(2600, 0, sites=8)
    X["x2"] = np.sign(X["x0"] * X["x1"])
    model = ImputedClassifier(estimator, auxiliary=AUXILIARY, n_imputations=2).fit(X, y, score)
    new = X.head(200)
    for service in ("known", "average", "new"):
        logits = []
        for each in model.completed_:
            form = each.additive()
            logits.append(form.logit(form.encoding.encode(new), form.sites_of(new, service)))
        mean = expit(np.mean(logits, axis=0))
        np.testing.assert_allclose(model.predict_by_arm(new, service), mean, atol=1e-12)
    draws = model.predict_draws(new)
    assert draws.shape == (1000, 200, 3)
    assert np.abs(draws.mean(axis=0) - model.predict_by_arm(new)).to_numpy().mean() < 0.012


def test_the_variance_follows_rubins_rules():
    X, y, score, _, _ = cohort(1500, 1)
    m = 5
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY, n_imputations=m).fit(X, y, score)
    forms = [each.additive() for each in model.completed_]
    between = np.stack([form.coefficients for form in forms]).var(axis=0, ddof=1)
    within = np.mean([form.coefficient_draws[:, :, 1:].var(axis=0) for form in forms], axis=0)
    total = model.additive().coefficient_draws[:, :, 1:].astype(float).var(axis=0)
    # each table gives a fifth of the draws, so that the part within varies
    np.testing.assert_allclose(total, within + (1 + 1 / m) * between, rtol=0.35)
    assert total.sum() == pytest.approx((within + (1 + 1 / m) * between).sum(), rel=0.05)
    assert between.sum() > 0.02 * within.sum()


def test_without_lost_outcomes_it_is_the_estimator():
    X, y, score, _, _ = cohort(600, 2, lost_share=0.0)
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY).fit(X, y, score)
    plain = HierarchicalClassifier().fit(X.drop(columns=AUXILIARY), y, score=score)
    np.testing.assert_allclose(model.predict_by_arm(X), plain.predict_by_arm(X), atol=1e-12)


def test_0_1_outcomes_are_imputed_as_well():
    X, y, _, truth, _ = cohort(2500, 3)
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY).fit(X, y)
    assert model.levels_ == 2
    assert abs((model.predict_by_arm(X) - truth).to_numpy().mean()) < 0.03


def test_imputed_scores_have_the_distribution_of_the_lost_ones():
    X, y, score, _, complete = cohort(4000, 4)
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY)
    model.fit(X, y, score)
    codes = pd.Index(model.imputation_.arms_).get_indexer(X["arm"])
    lost = np.isnan(y)
    for filled, scored in model._completions(X, codes, y, score):
        np.testing.assert_array_equal(filled[~lost], y[~lost])
        np.testing.assert_array_equal(scored[~lost], score[~lost])
        assert ((scored > 0) == filled).all()
        assert scored[lost].mean() == pytest.approx(complete[lost].mean(), abs=0.2)
        assert scored[lost].std() == pytest.approx(complete[lost].std(), rel=0.1)
        together = np.corrcoef(scored[lost], X["interim"][lost])[0, 1]
        assert together == pytest.approx(np.corrcoef(complete[lost], X["interim"][lost])[0, 1], abs=0.12)


def test_screened_covariates_are_the_same_in_every_table(monkeypatch):
    monkeypatch.setattr(_screening, "MAX_TERMS", 100)  # fewer, so that the fits are quick
    X, y, score, _, _ = cohort(500, 5)
    noise = np.random.default_rng(0).standard_normal((500, 40))
    X = X.join(pd.DataFrame(noise, columns=[f"n{j}" for j in range(40)]))
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY, n_imputations=2)
    with pytest.warns(UserWarning, match="more than can be fitted together"):
        model.fit(X, y, score)
    assert list(model.additive().encoding.names) == [c for c in X if c not in (*AUXILIARY, "arm")]
    assert model.predict_by_arm(X).notna().all(axis=None)


def test_it_is_deterministic_and_can_be_copied():
    X, y, score, _, _ = cohort(500, 6)
    model = ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY, n_imputations=2).fit(X, y, score)
    again = clone(model).fit(X, y, score)
    pd.testing.assert_frame_equal(again.predict_by_arm(X), model.predict_by_arm(X))
    other = clone(model).set_params(random_state=1).fit(X, y, score)
    assert np.abs(other.predict_by_arm(X) - model.predict_by_arm(X)).to_numpy().max() > 1e-4
    copied = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(copied.predict_by_arm(X), model.predict_by_arm(X))
    # auxiliary columns are not needed for prediction
    without = X.drop(columns=AUXILIARY)
    pd.testing.assert_frame_equal(model.predict_by_arm(without), model.predict_by_arm(X))


def test_a_shift_moves_imputed_outcomes_alone():
    X, y, score, _, _ = cohort(1500, 7)
    models = [
        ImputedClassifier(HierarchicalClassifier(), auxiliary=AUXILIARY, shift=shift).fit(X, y, score)
        for shift in (0.0, -1.0)
    ]
    means = [model.predict_by_arm(X).to_numpy().mean() for model in models]
    p = expit(models[0].imputation_.additive().logit_draws(X).mean(axis=2))
    own = p[np.arange(1500), pd.Index(ARMS).get_indexer(X["arm"])][np.isnan(y)]
    expected = (own - expit(np.log(own / (1 - own)) - 1)).sum() / 1500
    assert means[0] - means[1] == pytest.approx(expected, abs=0.015)


def test_one_table_is_pooled_as_it_is():
    X, y, score, _, _ = cohort(600, 8, lost_share=0.0)
    form = HierarchicalClassifier().fit(X.drop(columns=AUXILIARY), y, score=score).additive()
    one = pooled([form])
    np.testing.assert_array_equal(one.coefficient_draws, form.coefficient_draws)
    np.testing.assert_allclose(one.coefficients, form.coefficients)


def test_effects_of_therapists_are_pooled():
    X, y, score, _, _ = cohort(1500, 9, sites=5)
    X["therapist"] = np.random.default_rng(0).integers(0, 4, 1500)
    estimator = HierarchicalClassifier(groups="site", therapists="therapist", keep_therapists=True)
    model = ImputedClassifier(estimator, auxiliary=AUXILIARY, n_imputations=3).fit(X, y, score)
    parts = [each.therapist_effects_ for each in model.completed_]
    found = model.therapist_effects_
    np.testing.assert_allclose(found["effect"], np.mean([part["effect"] for part in parts], axis=0))
    assert (found["sd"] >= np.sqrt(np.mean([part["sd"] ** 2 for part in parts], axis=0))).all()
    assert (found["sd"] > 0).all()
    plain = ImputedClassifier(HierarchicalClassifier(groups="site"), auxiliary=AUXILIARY, n_imputations=1)
    assert plain.fit(X.drop(columns="therapist"), y, score).therapist_effects_ is None
